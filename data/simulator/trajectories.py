"""Smooth motion of planes over the readout, and the exposure of moving points.

Homographies are (..., 3, 3) float64 and act on points (x, y) in pixels. Time t is normalised to
the readout, [0, 1]; motion is an analytic function of t, also outside that range, where rows beyond
the frame are exposed.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from utils.errors import InputError

EXPOSURE_INSTANTS = torch.linspace(-3, 4, 2401, dtype=torch.float64)
"""`exposed_positions` interpolates motion between these; the error is below 0.002 px by default."""

_MAX_ITERATIONS = 30
_TOLERANCE = 1e-3  # rows

_MIN_TRAVEL = 0.4  # of the longest translation
_STEADY, _SPINNING = (0.0, 3.0), (15.0, 50.0)  # degrees over the readout at strength 1


class Oscillation(NamedTuple):
    """A sine that is added to the components of a motion."""

    frequency: float  # cycles per readout
    phase: float  # radians at t = 0
    amplitudes: Tensor  # (6,) float64, in the units of the components


@dataclass(frozen=True)
class Motion:
    """A homography that changes smoothly with time, from moving to resting coordinates.

    Each of six components follows `start + rate t + bow sin(pi t) + sway sin(2 pi t)`: uniform
    motion plus a deviation that vanishes at t = 0 and t = 1. Motion of clips adds oscillations.

    Attributes:
        coefficients: (6, 4) float64; a row (start, rate, bow, sway) for each of: shift along x and
            y (px), angle (radians), logarithm of the zoom, perspective along x and y (1/px).
        oscillations: added to the components.
        begin: added to all times: readout n of a clip begins at n.
    """

    coefficients: Tensor
    oscillations: tuple[Oscillation, ...] = ()
    begin: int = 0

    def __post_init__(self) -> None:
        """Check the coefficients.

        Raises:
            ValueError: they are not (6, 4) float64.
        """
        if tuple(self.coefficients.shape) != (6, 4) or self.coefficients.dtype != torch.float64:
            got = f"{tuple(self.coefficients.shape)} {self.coefficients.dtype}"
            raise ValueError(f"a motion needs (6, 4) torch.float64 coefficients, got {got}")

    @classmethod
    def at_rest(cls) -> "Motion":
        """The identity at all times."""
        return cls(torch.zeros(6, 4, dtype=torch.float64))

    def homographies(self, times: Tensor) -> Tensor:
        """Homographies (..., 3, 3) from moving to resting coordinates at `times` (...)."""
        t = times.to(self.coefficients) + self.begin
        basis = (torch.ones_like(t), t, torch.sin(math.pi * t), torch.sin(2 * math.pi * t))
        components = torch.stack(basis, dim=-1) @ self.coefficients.T
        for frequency, phase, amplitudes in self.oscillations:
            sine = torch.sin(2 * math.pi * frequency * t + phase)
            components = components + sine[..., None] * amplitudes
        x, y, angle, log_zoom, tilt_x, tilt_y = components.unbind(-1)
        cosine, sine = log_zoom.exp() * angle.cos(), log_zoom.exp() * angle.sin()
        entries = (cosine, -sine, x, sine, cosine, y, tilt_x, tilt_y, torch.ones_like(t))
        return torch.stack(entries, dim=-1).reshape(*t.shape, 3, 3)


def shift_and_scale(shift: tuple[float, float], scale: float = 1.0, angle: float = 0.0) -> Tensor:
    """The homography p -> scale * rotation(angle) p + shift, (3, 3)."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    rows = [[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0.0, 0.0, 1.0]]
    return torch.tensor(rows, dtype=torch.float64)


def inverse(homographies: Tensor) -> Tensor:
    """Inverse homographies (..., 3, 3), up to scale."""
    first, second, third = homographies.unbind(-2)
    columns = (
        torch.linalg.cross(second, third),
        torch.linalg.cross(third, first),
        torch.linalg.cross(first, second),
    )
    return torch.stack(columns, dim=-1)


def apply(homographies: Tensor, points: Tensor) -> Tensor:
    """Map points (..., 2) by homographies (..., 3, 3); leading axes broadcast."""
    x, y = points.unbind(-1)
    rows = [row[..., 0] * x + row[..., 1] * y + row[..., 2] for row in homographies.unbind(-2)]
    return torch.stack((rows[0] / rows[2], rows[1] / rows[2]), dim=-1)


def draw_camera_motion(
    rng: np.random.Generator, *, travel: float, acceleration: float, reach: float
) -> Motion:
    """Draw a camera's motion: translation, rotation, zoom and slight perspective.

    Args:
        rng: random generator.
        travel: longest translation over the readout in px; the other components move points at
            distance `reach` from the centre by fixed fractions of it.
        acceleration: largest deviation from uniform translation in px.
        reach: half the diagonal of the frame in px.
    """
    shift = _draw_translation(rng, travel, acceleration)
    turn = _draw_component(rng, 0.35 * travel / reach, 0.2 * acceleration / reach)
    zoom = _draw_component(rng, 0.25 * travel / reach, 0.2 * acceleration / reach)
    tilt = [_draw_component(rng, 0.12 * travel / reach**2, 0.0) for _ in range(2)]
    return Motion(torch.from_numpy(np.vstack((shift, turn, zoom, *tilt))))


def draw_object_motion(
    rng: np.random.Generator,
    centre: tuple[float, float],
    *,
    travel: float,
    acceleration: float,
    strength: float,
) -> Motion:
    """Draw an object's motion; one in three objects spins.

    Args:
        rng: random generator.
        centre: (x, y) px of the object halfway through the readout.
        travel: longest translation over the readout in px.
        acceleration: largest deviation from uniform translation in px.
        strength: scales spin and zoom: 15 to 50 degrees over the readout for spinning objects, up
            to 3 degrees for others, and up to 5 % of zoom, at strength 1.
    """
    shift = _draw_translation(rng, travel, acceleration)
    shift[:, 0] += centre
    low, high = _SPINNING if rng.random() < 1 / 3 else _STEADY
    spin = strength * rng.choice((-1, 1)) * math.radians(rng.uniform(low, high))
    turn = np.array([rng.uniform(-math.pi, math.pi), spin, 0.0, 0.0])
    zoom = _draw_component(rng, 0.05 * strength, 0.0)
    return Motion(torch.from_numpy(np.vstack((shift, turn, zoom, np.zeros((2, 4))))))


def exposed_positions(
    points: Tensor, rows: Tensor, homographies: Tensor, *, height: int, bottom_up: bool
) -> Tensor:
    """Solve q = H_s(q_y) u for where moving points meet the scan line, to 0.01 px.

    The scan line continues at its pace outside the frame. Newton's method: each step intersects it
    with a short straight segment of the point's path.

    Args:
        points: (N, 2) float64 points u in the moving plane's coordinates.
        rows: (N,) sensor rows where the search starts.
        homographies: (I, 3, 3) from the plane to the frame at the I `EXPOSURE_INSTANTS`.
        height: sensor rows, read out from t = 0 to t = 1.
        bottom_up: whether the last row is exposed first.

    Returns:
        (N, 2) positions (x, y) in pixels, possibly outside the frame.

    Raises:
        InputError: a point moves about as fast as the scan line, so the search does not converge.
    """
    # One contiguous row per matrix entry: faster to gather than 3x3 matrices.
    entries = homographies.to(points).flatten(1).T.contiguous()
    instants = EXPOSURE_INSTANTS.to(points)
    x, y = points.unbind(-1)

    def mapped(row: int, index: Tensor) -> Tensor:
        along_x, along_y, constant = entries[3 * row : 3 * row + 3, index]
        return torch.addcmul(torch.addcmul(constant, along_x, x), along_y, y)

    scan_rows = (height - 1) * ((1 - instants) if bottom_up else instants)
    times = rows.to(points) / (height - 1)
    times = 1 - times if bottom_up else times
    for _ in range(_MAX_ITERATIONS):
        early = torch.searchsorted(instants, times).sub_(1).clamp_(0, len(instants) - 2)
        late = early + 1
        depth_early, depth_late = mapped(2, early), mapped(2, late)
        y_early, y_late = mapped(1, early) / depth_early, mapped(1, late) / depth_late
        gap_early, gap_late = y_early - scan_rows[early], y_late - scan_rows[late]
        share = gap_early / (gap_early - gap_late)
        previous, times = times, torch.lerp(instants[early], instants[late], share)
        settled = (times - previous).abs() * (height - 1) < _TOLERANCE
        if bool((settled & (times >= instants[0]) & (times <= instants[-1])).all()):
            x_early, x_late = mapped(0, early) / depth_early, mapped(0, late) / depth_late
            ends = ((x_early, x_late), (y_early, y_late))
            return torch.stack([a + share * (b - a) for a, b in ends], dim=-1)
    raise InputError(
        f"scene: content moves about as fast as the scan of {height} rows, so exact flows do not "
        "exist; use less motion (camera_motion, object_motion, acceleration, strength) or more rows"
    )


def _draw_translation(
    rng: np.random.Generator, travel: float, acceleration: float
) -> npt.NDArray[np.float64]:
    """Draw (2, 4) coefficients of a translation that is 0 at t = 1/2, in a random direction."""
    distance = travel * rng.uniform(_MIN_TRAVEL, 1)
    deviation = acceleration * rng.uniform(0, 1)
    share = rng.uniform(0, 1)
    lengths = np.array([-distance / 2, distance, deviation * share, deviation * (1 - share)])
    angles = rng.uniform(0, 2 * math.pi, size=3)[[0, 0, 1, 2]]
    return np.stack((lengths * np.cos(angles), lengths * np.sin(angles)))


def _draw_component(
    rng: np.random.Generator, change: float, deviation: float
) -> npt.NDArray[np.float64]:
    """Draw (4,) coefficients of a component that is 0 at t = 1/2, up to the given sizes."""
    rate = rng.uniform(-change, change)
    bow, sway = rng.uniform(-deviation / 2, deviation / 2, size=2)
    return np.array([-rate / 2, rate, bow, sway])
