"""The camera path: a homography that changes over the readout, with a Gaussian prior.

A camera that shifts, turns, zooms and tilts transforms the image by a homography. Each of its eight
components is a function of time: uniform motion plus deviations from it (`deviation_basis`).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from models.measurement.arrays import Array, Bools, Doubles, Floats, library

DEVIATION_TERMS = 3
"""Number of terms of `deviation_basis`; the last one is even about t = 1/2."""

NOISE_FLOOR = 1e-6
"""Added to estimates of the noise variance, so that a perfect fit has no infinite weight."""

MIN_SPEED = 0.1  # px per readout
_CHUNK = 512  # points whose products are summed by one BLAS call
SPEED_POINTS = 9  # along each side, over which the speed is averaged
_SECOND_TERM = 1.55  # makes the second deviation about as large as the first
_CYCLE = 2 * math.pi


class PathModel(NamedTuple):
    """Free coefficients of a camera path, and their Gaussian prior.

    Attributes:
        sizes: (8, 4) prior standard deviations in half diagonals and radians, those of the even
            coefficients relative to the root mean square velocity; 0 fixes a coefficient at zero.
    """

    sizes: Doubles

    @property
    def known(self) -> Bools:
        """(8, 4) which coefficients are free; K of them."""
        return self.sizes > 0

    def expected(self, velocity: float) -> Doubles:
        """(K,) prior standard deviations at a root mean square velocity."""
        return (self.sizes * (1, 1, 1, velocity))[self.known]


# For each component of `place_basis`: uniform motion, two odd deviations and the even one.
_SHIFT, _TURN_OR_ZOOM = (0.3, 0.05, 0.02, 0.1), (0.3, 0.02, 0.006, 0.03)
_TILT, _NOTHING, _SHEAR = (0.03, 0, 0, 0), (0, 0, 0, 0), (0.05, 0, 0, 0)

RIGID = PathModel(np.repeat((_SHIFT, _TURN_OR_ZOOM, _TILT, _NOTHING), 2, axis=0))
"""A distant or flat scene past an accelerating camera."""

STEADY = PathModel(RIGID.sizes * (1, 1, 1, 0))
"""The same past a camera without even deviations: most captures cannot show them."""

SHEARING = PathModel(np.repeat((_SHIFT, _TURN_OR_ZOOM, _TILT, _SHEAR), 2, axis=0) * (1, 1, 1, 0))
"""A scene whose depth shears the image, such as a floor seen from the side; no even deviations."""


@dataclass(frozen=True)
class CameraMotion:
    """Image motion of everything at rest.

    Attributes:
        path: (8, 4) coefficients of the components (shift along x and y, turn, zoom, tilt along x
            and y, stretch, shear) of the homography from the image at t to that at t = 1/2, each
            the sum of uniform motion and deviations; in half diagonals and radians.
        size: (H, W) of the image.
        reach: of the exposures, as in `deviation_basis`.
        model: the free coefficients.
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
        """Root mean square velocity of the image in half diagonals, plus a small minimum."""
        y, x = (np.linspace(0, side - 1, SPEED_POINTS) for side in self.size)
        place = normalise(np.stack(np.meshgrid(x, y), axis=-1), self.size)
        velocity = np.einsum("k,ck...->c...", self.path[:, 0], place_basis(place))
        return float(np.sqrt((velocity**2).sum(0).mean())) + MIN_SPEED / half_diagonal(self.size)

    def deviation(self, x: Array, y: Array) -> Array:
        """(..., 2, 3) coefficients of `deviation_basis` in x and y at pixels (x, y)."""
        early, late = self._displacements(x, y)
        place = normalise(np.stack((x, y), axis=-1), self.size)
        # To first order. Negative: the path leads to t = 1/2, points move away from there.
        odd = -half_diagonal(self.size) * np.einsum(
            "ck...,kn->...cn", place_basis(place), self.path[:, 1:DEVIATION_TERMS]
        )
        return np.concatenate((odd, -(early + late)[..., None] / 2), axis=-1).astype(np.float32)

    def step(self, normal: Doubles, right: Doubles) -> "CameraMotion":
        """The motion after a Gauss-Newton step with the model's prior.

        The normal equations (K, K) and (K,) are those of residuals of unit variance.
        """
        known, path = self.model.known, self.path.copy()
        prior = self.model.expected(self.speed) ** -2
        path[known] -= np.linalg.solve(normal + np.diag(prior), right + prior * path[known])
        return replace(self, path=path)

    def _displacements(self, x: Array, y: Array) -> tuple[Doubles, Doubles]:
        """Displacements in px, from t = 1/2 to both ends of the reach, of points at (x, y)."""
        place = normalise(np.stack((x, y), axis=-1), self.size)
        moved = []
        for instant in (0.5 - self.reach, 0.5 + self.reach):
            time = time_basis(np.array(instant), self.reach)
            back = np.linalg.inv(np.array(homography_entries(self.path @ time)).reshape(3, 3))
            there = place @ back[:, :2].T + back[:, 2]
            moved.append(half_diagonal(self.size) * (there[..., :2] / there[..., 2:] - place))
        return moved[0], moved[1]


def deviation_basis(instant: Any, reach: Any) -> Any:
    """Deviations from uniform motion: (..., 3), two odd about t = 1/2 and one even.

    With e = (t - 1/2) / (2 reach): e - 4 e³; 1.55 (e - 4 e³ - sin(2 pi e) / (2 pi)); cos(pi e) - 1.
    The odd terms vanish at e = -1/2, 0 and 1/2, and combine to a steadily changing force or to an
    oscillation. Beyond |e| = 1/2, where nothing is exposed, all terms are constant. `reach` is the
    time from t = 1/2 to the farthest exposure.
    """
    xp = library(instant)
    e = xp.asarray(instant, dtype=xp.float32) - 0.5
    e = xp.clip(e / (2 * reach), -0.5, 0.5)
    first = e - 4 * e * e * e  # products: NumPy's powers are ten times slower
    second = _SECOND_TERM * (first - xp.sin(_CYCLE * e) / _CYCLE)
    return xp.stack((first, second, xp.cos(math.pi * e) - 1), axis=-1)


def time_basis(instant: Array | Doubles, reach: float) -> Doubles:
    """(..., 4) uniform motion since t = 1/2, then `deviation_basis`."""
    deviations = deviation_basis(np.asarray(instant, np.float32), reach).astype(np.float64)
    uniform = np.asarray(instant, np.float64) - 0.5
    return np.concatenate((uniform[..., None], deviations), axis=-1)


def place_basis(place: Floats) -> Floats:
    """(2, 8, ...) first-order motion of points (..., 2) along x and y with each component."""
    x, y = place[..., 0], place[..., 1]
    xp = library(place)
    one, none = xp.ones_like(x), xp.zeros_like(x)
    along_x = xp.stack((one, none, -y, x, -x * x, -x * y, x, y))
    along_y = xp.stack((none, one, x, y, -x * y, -y * y, -y, x))
    basis: Floats = xp.stack((along_x, along_y))
    return basis


def map_points(components: Floats, points: Floats) -> Floats:
    """Map points (..., N, 2) by homographies with components (8, ..., N): (2, ..., N)."""
    entries = homography_entries(components)
    x, y = points[..., 0], points[..., 1]
    along_x, along_y, depth = (
        entries[row] * x + entries[row + 1] * y + entries[row + 2] for row in (0, 3, 6)
    )
    mapped: Floats = library(points).stack((along_x / depth, along_y / depth))
    return mapped


def half_diagonal(size: tuple[int, int]) -> float:
    """Half the diagonal of an image (H, W), in px."""
    return float(np.hypot(*size)) / 2


def normalise(pixels: Any, size: tuple[int, int]) -> Any:
    """Points (..., 2) relative to the centre of the image, in half diagonals."""
    centre = np.array(((size[1] - 1) / 2, (size[0] - 1) / 2), pixels.dtype)
    return (pixels - centre) / pixels.dtype.type(half_diagonal(size))


def homography_entries(components: Floats) -> tuple[Floats, ...]:
    """The nine entries, row by row, of homographies with components (8, ...)."""
    shift_x, shift_y, turn, zoom, tilt_x, tilt_y, stretch, shear = components
    xp = library(components)
    growth = xp.exp(zoom)
    cosine, sine = growth * xp.cos(turn), growth * xp.sin(turn)
    return (
        cosine * (1 + stretch) - sine * shear,
        cosine * shear - sine * (1 - stretch),
        shift_x,
        sine * (1 + stretch) + cosine * shear,
        sine * shear + cosine * (1 - stretch),
        shift_y,
        tilt_x,
        tilt_y,
        xp.ones_like(turn),
    )


def sum_of_products(first: Array | Doubles, second: Array | Doubles) -> Doubles:
    """(K, L) sums over N of the products of (K, N) and (L, N).

    In chunks too small for BLAS to use several threads: for so few rows these are slower than one,
    and many times slower while other processes occupy the cores.
    """
    total = np.zeros((len(first), len(second)))
    for start in range(0, first.shape[1], _CHUNK):
        chunk = slice(start, start + _CHUNK)
        total += first[:, chunk] @ second[:, chunk].T
    return total
