"""Motion over clips of several readouts: steady acceleration, objects that come and go, shake."""

import math
from dataclasses import replace

import numpy as np
import torch

from data.simulator.settings import MAX_READOUTS
from data.simulator.trajectories import Motion, Oscillation

_DEVIATION_FREQUENCIES = (0.25, 0.9)  # cycles per readout
_SHAKE_FREQUENCIES = (0.15, 0.8)  # a hand: about 4 to 25 Hz at 30 pairs per second
_SHAKE_PARTS = 3
_SHAKE_TURN = 0.5  # rotation, as a share of what moves the frame's corners as far as the shift


def lengthen_motion(
    motion: Motion, rng: np.random.Generator, readouts: int, *, middle: float
) -> Motion:
    """Make one readout's motion that of a clip.

    Uniform motion goes on. The deviation from it vanishes at the ends of one readout, so it would
    repeat there; oscillations of random frequency and phase that deviate as far from a straight
    path within a readout take its place.

    Args:
        motion: of one readout, without oscillations.
        rng: random generator.
        readouts: length of the clip, from t = 0 to `readouts`.
        middle: instant at which the motion is what it was halfway through the one readout.

    Raises:
        ValueError: the clip has more than `MAX_READOUTS` readouts, or less than 1.
    """
    if not 1 <= readouts <= MAX_READOUTS:
        raise ValueError(f"expected 1 to {MAX_READOUTS} readouts, got {readouts}")
    coefficients = motion.coefficients.clone()
    coefficients[:, 0] -= coefficients[:, 1] * (middle - 0.5)
    oscillations = []
    for deviation in motion.coefficients[:, 2:].T:
        frequency = rng.uniform(*_DEVIATION_FREQUENCIES)
        phase = rng.uniform(0, 2 * math.pi)
        # A sine of amplitude A is at most A (1 - cos(pi f)) off its chord over one readout.
        amplitudes = deviation / (1 - math.cos(math.pi * frequency))
        oscillations.append(Oscillation(frequency, phase, amplitudes))
    coefficients[:, 2:] = 0
    return replace(motion, coefficients=coefficients, oscillations=tuple(oscillations))


def shake_camera(
    camera: Motion, rng: np.random.Generator, *, amplitude: float, reach: float
) -> Motion:
    """Add the shake of a hand: shifts and rotation of three random frequencies.

    Args:
        camera: the motion without shake.
        rng: random generator.
        amplitude: largest shift in px.
        reach: half the diagonal of the frame in px.
    """
    shares = rng.dirichlet(np.ones(_SHAKE_PARTS))
    parts = []
    for share in shares:
        frequency, phase = rng.uniform(*_SHAKE_FREQUENCIES), rng.uniform(0, 2 * math.pi)
        angle = rng.uniform(0, 2 * math.pi)
        turn = _SHAKE_TURN * rng.uniform(-1, 1) / reach
        size = amplitude * share
        amplitudes = [size * math.cos(angle), size * math.sin(angle), size * turn, 0.0, 0.0, 0.0]
        parts.append(Oscillation(frequency, phase, torch.tensor(amplitudes, dtype=torch.float64)))
    return replace(camera, oscillations=(*camera.oscillations, *parts))
