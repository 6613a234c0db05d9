"""The path of a camera over the readout: what may happen to the picture, and what is expected.

The picture of a camera that shifts, turns, zooms and tilts is a homography that changes with time:
eight components, each the sum of uniform motion and of deviations from it (`swing_basis`).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Floats = TypeVar("Floats", Array, Doubles)

SWING_TERMS = 3
"""Number of terms of `swing_basis`; the last one is even about t = 1/2."""

_LEAST_SPEED = 0.1  # px per readout
_PIECE = 512  # places whose products are summed at once
_ACROSS = 9  # places along each side whose velocities make the mean one
_SECOND_TERM = np.float32(1.55)  # makes the second deviation about as large as the first
_CYCLE = np.float32(2 * np.pi)


class PathModel(NamedTuple):
    """What a camera may do, and how much of it is expected.

    Attributes:
        sizes: (8, 3) standard deviations expected of each uniform and odd coefficient, in half
            diagonals and radians; 0 fixes a coefficient at zero.
        even_shares: (8,) the same of the even ones, in shares of the root mean square velocity.
    """

    sizes: Doubles
    even_shares: Doubles

    @property
    def known(self) -> Bools:
        """(8, 4) which coefficients the model has; K of them."""
        known: Bools = self._all_sizes(1) > 0
        return known

    def expected(self, velocity: float) -> Doubles:
        """(K,) standard deviations of the known coefficients at a root mean square velocity."""
        expected: Doubles = self._all_sizes(velocity)[self.known]
        return expected

    def _all_sizes(self, velocity: float) -> Doubles:
        """(8, 4) standard deviations of all coefficients."""
        return np.concatenate((self.sizes, velocity * self.even_shares[:, None]), axis=1)


# A row for each of the components of `place_basis`.
_SHIFT, _TURN_OR_ZOOM, _TILT = (0.3, 0.05, 0.02), (0.3, 0.02, 0.006), (0.03, 0.0, 0.0)
_NOTHING, _SHEAR = (0.0, 0.0, 0.0), (0.05, 0.0, 0.0)
_RIGID_ROWS = (_SHIFT,) * 2 + (_TURN_OR_ZOOM,) * 2 + (_TILT,) * 2

RIGID = PathModel(
    np.array(_RIGID_ROWS + (_NOTHING,) * 2), np.array((0.1,) * 2 + (0.03,) * 2 + (0.0,) * 4)
)
"""A distant or flat scene past which the camera accelerates."""

SHEARING = PathModel(np.array(_RIGID_ROWS + (_SHEAR,) * 2), np.zeros(8))
"""A scene whose depth shears the picture, as a floor seen from the side; no even deviations."""


@dataclass(frozen=True)
class CameraMotion:
    """How the picture of what stands still moves.

    Attributes:
        path: (8, 4) components (shift along x and y, turn, zoom, tilt along x and y, stretch,
            shear) of the homography from the picture at t to that at t = 1/2, each the sum of
            uniform motion and swing; in half diagonals and radians.
        size: (H, W) of the image.
        reach: of the exposures, as `swing_basis` takes it.
        model: which coefficients may differ from 0.
    """

    path: Doubles
    size: tuple[int, int]
    reach: float
    model: PathModel

    def velocity(self, x: Array, y: Array) -> Array:
        """(..., 2) px per readout at pixels (x, y) of t = 1/2."""
        early, late = self._displacements(x, y)
        return ((late - early) / (2 * self.reach)).astype(np.float32)

    @property
    def speed(self) -> float:
        """Root mean square velocity of the picture in half diagonals, not quite zero."""
        y, x = (np.linspace(0, side - 1, _ACROSS) for side in self.size)
        place = normalise(np.stack(np.meshgrid(x, y), axis=-1), self.size)
        velocity = np.einsum("k,ck...->c...", self.path[:, 0], place_basis(place))
        return float(np.sqrt((velocity**2).sum(0).mean())) + _LEAST_SPEED / half_diagonal(self.size)

    def swing(self, x: Array, y: Array) -> Array:
        """(..., 2, 3) coefficients of `swing_basis` of the x and y components at pixels (x, y)."""
        early, late = self._displacements(x, y)
        place = normalise(np.stack((x, y), axis=-1), self.size)
        # To first order; the path leads to t = 1/2, points from there.
        odd = -half_diagonal(self.size) * np.einsum(
            "ck...,kn->...cn", place_basis(place), self.path[:, 1:SWING_TERMS]
        )
        return np.concatenate((odd, -(early + late)[..., None] / 2), axis=-1).astype(np.float32)

    def step(self, normal: Doubles, right: Doubles) -> "CameraMotion":
        """The motion after a Gauss-Newton step, with what is expected of it as a prior.

        Args:
            normal: (K, K) products of the slopes of residuals of unit variance with each known
                coefficient.
            right: (K,) products of slopes and residuals.
        """
        known, path = self.model.known, self.path.copy()
        prior = self.model.expected(self.speed) ** -2
        path[known] -= np.linalg.solve(normal + np.diag(prior), right + prior * path[known])
        return replace(self, path=path)

    def _displacements(self, x: Array, y: Array) -> tuple[Doubles, Doubles]:
        """Where points at (x, y) at t = 1/2 are at both ends of the reach, from there, in px."""
        place = normalise(np.stack((x, y), axis=-1), self.size)
        moved = []
        for instant in (0.5 - self.reach, 0.5 + self.reach):
            time = time_basis(np.array(instant), self.reach)
            back = np.linalg.inv(np.array(_entries(self.path @ time)).reshape(3, 3))
            there = place @ back[:, :2].T + back[:, 2]
            moved.append(half_diagonal(self.size) * (there[..., :2] / there[..., 2:] - place))
        return moved[0], moved[1]


def swing_basis(instant: Array | np.float32, reach: float) -> Array:
    """Deviations from uniform motion: (..., 3), two that are odd about t = 1/2 and one even.

    With e = (t - 1/2) / (2 reach): e - 4 e^3, 1.55 times what that exceeds sin(2 pi e) / (2 pi) by,
    and cos(pi e) - 1. The odd ones are zero at e = -1/2, 0 and 1/2, and make up both a force that
    changes steadily and an oscillation; beyond that, where nothing was exposed, all are constant.

    Args:
        instant: t, any shape.
        reach: time from 1/2 to the first or last exposure, whichever is longer.
    """
    e = np.asarray(instant, dtype=np.float32) - np.float32(0.5)
    e = np.clip(e / np.float32(2 * reach), np.float32(-0.5), np.float32(0.5))
    first = e - 4 * e * e * e  # products: NumPy's powers are ten times slower
    second = _SECOND_TERM * (first - np.sin(_CYCLE * e) / _CYCLE)
    return np.stack((first, second, np.cos(np.float32(np.pi) * e) - 1), axis=-1)


def time_basis(instant: Array | Doubles, reach: float) -> Doubles:
    """(..., 4) uniform motion since t = 1/2, then `swing_basis`."""
    swing = swing_basis(np.asarray(instant, np.float32), reach).astype(np.float64)
    uniform = np.asarray(instant, np.float64) - 0.5
    return np.concatenate((uniform[..., None], swing), axis=-1)


def place_basis(place: Floats) -> Floats:
    """(2, 8, ...): how each component moves points (..., 2) along x and y, to first order."""
    x, y = place[..., 0], place[..., 1]
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = np.stack((one, none, -y, x, -x * x, -x * y, x, y))
    along_y = np.stack((none, one, x, y, -x * y, -y * y, -y, x))
    return np.stack((along_x, along_y))


def map_points(components: Floats, points: Floats) -> Floats:
    """Where homographies with components (8, N) bring points (N, 2): (2, N)."""
    entries = _entries(components)
    x, y = points.T
    along_x, along_y, depth = (
        entries[row] * x + entries[row + 1] * y + entries[row + 2] for row in (0, 3, 6)
    )
    return np.stack((along_x / depth, along_y / depth))


def half_diagonal(size: tuple[int, int]) -> float:
    """Of an image (H, W), in px."""
    return float(np.hypot(*size)) / 2


def normalise(pixels: Floats, size: tuple[int, int]) -> Floats:
    """Points (..., 2) from the centre of the image in half diagonals."""
    centre = np.array(((size[1] - 1) / 2, (size[0] - 1) / 2), pixels.dtype)
    return (pixels - centre) / pixels.dtype.type(half_diagonal(size))


def _entries(components: Floats) -> tuple[Floats, ...]:
    """The nine entries, row by row, of homographies with components (8, ...)."""
    shift_x, shift_y, turn, zoom, tilt_x, tilt_y, stretch, shear = components
    growth = np.exp(zoom)
    cosine, sine = growth * np.cos(turn), growth * np.sin(turn)
    return (
        cosine * (1 + stretch) - sine * shear,
        cosine * shear - sine * (1 - stretch),
        shift_x,
        sine * (1 + stretch) + cosine * shear,
        sine * shear + cosine * (1 - stretch),
        shift_y,
        tilt_x,
        tilt_y,
        np.ones_like(turn),
    )


def sum_of_products(first: Array | Doubles, second: Array | Doubles) -> Doubles:
    """(K, L) sums over N of the products of (K, N) and (L, N).

    In pieces too small for BLAS to share among threads, which are slower than one for so few rows,
    and many times slower where other processes need the cores they wait on.
    """
    total = np.zeros((len(first), len(second)))
    for start in range(0, first.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        total += first[:, piece] @ second[:, piece].T
    return total
