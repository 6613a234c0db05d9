"""From a capture of any size to global-shutter frames at any instants; and the baselines.

Every way to make frames has the shape of a `Method`, so that tables and videos do not care which
one they show: `functools.partial(correct, generator)` is one, each entry of `BASELINES` another.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from models.classical.correction import correct_classically
from models.inference.passes import InferenceSettings, Pass, expect_numbers, run_passes
from models.networks import Corrector

IN_FLOAT32 = InferenceSettings()
"""The default: results that can be compared with published ones, in tiles only where needed."""


class Method(Protocol):
    """A way to make the frames of a capture."""

    def __call__(
        self, pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
    ) -> Tensor:
        """Frames (T, 3, H, W) at T instants in [0, 1] of a pair (2, 3, H, W); RGB in [0, 1].

        `scan_time` (H,): exposure time of each t2b row, a readout of all rows by default.
        """
        ...


def frame_instants(count: int) -> tuple[float, ...]:
    """`count` instants evenly spaced over the readout, from 0 to 1.

    Raises:
        ValueError: `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"expected at least 2 frames, got {count}")
    return tuple(index / (count - 1) for index in range(count))


def correct(
    generator: Corrector,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    settings: InferenceSettings = IN_FLOAT32,
) -> Tensor:
    """Global-shutter frames of one capture, in as few passes as possible.

    A generator's pass gives the frames at 0, t and 1: one pass for each instant strictly between 0
    and 1, and the frames at 0 and 1 from the pass whose t is nearest to 0.5, where both ends are
    equally far. What does not depend on t is computed once.

    Args:
        generator: gives the frames at 0, t and 1 (`num_frames` 3), or is a refiner; its weights are
            laid out channels last from then on.
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these H rows by default.
        settings: precision and tiles.

    Returns:
        (T, 3, H, W) float32 in [0, 1] on the generator's device.

    Raises:
        InputError: the images have a single row, or the weights make no pictures of them.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    device = next(generator.parameters()).device
    frames = torch.empty((len(times), *pair.shape[1:]), device=device)

    def take(made: Pass) -> None:
        for frame, t in zip(made.frames, made.times, strict=True):
            for index in (index for index, wanted in enumerate(times) if wanted == t):
                made.tile.paste(frames[index], frame)

    run_passes(generator, pair, (times, scan_time), settings=settings, take=take)
    expect_numbers(frames)
    return frames


def _repeat_t2b(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
    return pair[:1].repeat(len(times), 1, 1, 1)


def _repeat_b2t(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
    return pair[1:].repeat(len(times), 1, 1, 1)


def _repeat_mean(
    pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
) -> Tensor:
    return pair.mean(dim=0, keepdim=True).repeat(len(times), 1, 1, 1)


BASELINES: Mapping[str, Method] = {
    "classical": correct_classically,
    "t2b": _repeat_t2b,
    "b2t": _repeat_b2t,
    "mean": _repeat_mean,
}
"""What needs no network: the classical correction; each input, and their mean, throughout."""
