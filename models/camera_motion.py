"""Motion of the camera from matches between the two views of a capture, by robust least squares.

The picture of a camera that shifts, turns, zooms and tilts is a homography that changes with time.
Uniform motion and what is odd about mid-readout show plainly in a pair. What is even about it, such
as a steady acceleration, moves both exposures of a point alike, up to what vertical motion leaves:
that shifts the rows, so that the two instants no longer lie symmetrically about 1/2. The trace is
a few per cent of the deviation, but thousands of matches share it. It looks much like a picture
that shears, so one model knows even deviations and no shear, another shear alone, and the one that
explains the matches better is taken.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SWING_TERMS = 3
"""Number of terms of `swing_basis`; the last one is even about t = 1/2."""

_LEAST_MATCHES = 40  # of two equations each, for up to 18 coefficients
_STEPS = 14
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 8.0, 0.5, 0.7  # px
_ALIKE = 40  # neighbouring matches that err alike, and count as one against expectations
_LEAST_PACE = 0.1  # px per readout
_PIECE = 512  # matches whose products are summed at once
_LEAST_NOISE = 1e-6  # px squared; what a perfect fit leaves open is then not left to chance

# Sizes that are expected, in half diagonals and radians, or 0 for what a model does not know:
# a row for each of the components of `_place_basis`, a column for each term of `_time_basis`.
_SHIFT, _TURN, _TILT = (0.3, 0.05, 0.02, 0.0), (0.3, 0.02, 0.006, 0.0), (0.03, 0.0, 0.0, 0.0)
_NOTHING, _SHEAR = (0.0,) * 4, (0.05, 0.0, 0.0, 0.0)
_SIZES = np.array((_SHIFT,) * 2 + (_TURN,) * 2 + (_TILT,) * 2 + (_NOTHING,) * 2)
_SHEARING_SIZES = np.array((_SHIFT,) * 2 + (_TURN,) * 2 + (_TILT,) * 2 + (_SHEAR,) * 2)
# Even deviations are expected in proportion to the motion.
_EVEN_SHARES = np.array((0.1,) * 2 + (0.03,) * 2 + (0.0,) * 4)


class Matches(NamedTuple):
    """Points seen in one view and found in the other.

    Attributes:
        place: (N, 2) pixels (x, y) in the one view.
        instant: (N,) of their exposure there.
        other_place: (N, 2) pixels in the other view.
        other_instant: (N,) of their exposure there.
        confidence: (N,) in [0, 1].
    """

    place: Array
    instant: Array
    other_place: Array
    other_instant: Array
    confidence: Array


@dataclass(frozen=True)
class CameraMotion:
    """How the picture of what stands still moves.

    Attributes:
        path: (8, 4) components (shift along x and y, turn, zoom, tilt along x and y, stretch,
            shear) of the homography from the picture at t to that at t = 1/2, each the sum of
            uniform motion and swing; in half diagonals and radians.
        size: (H, W) of the image.
        reach: of the exposures, as `swing_basis` takes it.
    """

    path: Doubles
    size: tuple[int, int]
    reach: float

    def velocity(self, x: Array, y: Array) -> Array:
        """(..., 2) px per readout at pixels (x, y) of t = 1/2."""
        early, late = self._displacements(x, y)
        return ((late - early) / (2 * self.reach)).astype(np.float32)

    def swing(self, x: Array, y: Array) -> Array:
        """(..., 2, 3) coefficients of `swing_basis` of the x and y components at pixels (x, y)."""
        early, late = self._displacements(x, y)
        place = _normalised(np.stack((x, y), axis=-1), self.size)
        # To first order; the path leads to t = 1/2, points from there.
        odd = -_half_diagonal(self.size) * np.einsum(
            "ck...,kn->...cn", _place_basis(place), self.path[:, 1:SWING_TERMS]
        )
        return np.concatenate((odd, -(early + late)[..., None] / 2), axis=-1).astype(np.float32)

    def _displacements(self, x: Array, y: Array) -> tuple[Doubles, Doubles]:
        """Where points at (x, y) at t = 1/2 are at both ends of the reach, from there, in px."""
        place = _normalised(np.stack((x, y), axis=-1), self.size)
        moved = []
        for instant in (0.5 - self.reach, 0.5 + self.reach):
            time = _time_basis(np.array(instant), self.reach)
            back = np.linalg.inv(np.array(_entries(self.path @ time)).reshape(3, 3))
            there = place @ back[:, :2].T + back[:, 2]
            moved.append(_half_diagonal(self.size) * (there[..., :2] / there[..., 2:] - place))
        return moved[0], moved[1]


def swing_basis(instant: Array | np.float32, reach: float) -> Array:
    """Deviations from uniform motion: (..., 3), two that are odd about t = 1/2 and one even.

    With e = (t - 1/2) / (2 reach): e - 4 e^3, 4 e^2 times that, and cos(pi e) - 1. The odd ones are
    zero at e = -1/2, 0 and 1/2; beyond that, where nothing was exposed, all are constant.

    Args:
        instant: t, any shape.
        reach: time from 1/2 to the first or last exposure, whichever is longer.
    """
    e = np.asarray(instant, dtype=np.float32) - np.float32(0.5)
    e = np.clip(e / np.float32(2 * reach), np.float32(-0.5), np.float32(0.5))
    square = 4 * e * e  # products: NumPy's powers are ten times slower
    first = e - square * e
    return np.stack((first, square * first, np.cos(np.float32(np.pi) * e) - 1), axis=-1)


def fit_camera_motion(matches: Matches, size: tuple[int, int], reach: float) -> CameraMotion:
    """Fit the motion that most of the image shares.

    Residuals count by 1 / (1 + r^2 / scale^2)^2, the scale shrinking step by step to 0.5 px: what
    moves by itself loses its influence. From too few matches the camera is taken to rest.

    Args:
        matches: from either view or both.
        size: (H, W) of the image.
        reach: of the exposures, as `swing_basis` takes it.
    """
    used = matches.confidence > 0.1
    if np.count_nonzero(used) < _LEAST_MATCHES:
        return CameraMotion(np.zeros_like(_SIZES), size, reach)
    equations = _Equations(Matches(*(part[used] for part in matches)), size, reach)
    rigid = equations.solve(_SIZES, _EVEN_SHARES)
    shearing = equations.solve(_SHEARING_SIZES, np.zeros(len(_SIZES)))
    path = rigid if equations.misfit(rigid) <= equations.misfit(shearing) else shearing
    return CameraMotion(path, size, reach)


class _Equations:
    """Points are in the same place at t = 1/2, whichever view says so."""

    def __init__(self, matches: Matches, size: tuple[int, int], reach: float) -> None:
        self.diagonal = _half_diagonal(size)
        self.confidence = matches.confidence.astype(np.float64)
        self.places = [_normalised(place, size) for place in (matches.place, matches.other_place)]
        self.times = [
            np.ascontiguousarray(_time_basis(instant, reach).T)
            for instant in (matches.instant, matches.other_instant)
        ]
        self.basis = [_place_basis(place) for place in self.places]

    def solve(self, sizes: Doubles, even_shares: Doubles) -> Doubles:
        """The path with the expected sizes and shares that fits best."""
        path, scale = np.zeros_like(sizes), _FIRST_SCALE
        weight = self.confidence
        known = sizes > 0
        known[:, SWING_TERMS] = even_shares > 0
        slopes = self._slopes(known)
        independent = max(len(weight) / _ALIKE, 1.0)
        for _ in range(_STEPS):
            residual = self.residual(path)
            squared = (residual**2).sum(0)
            weight = self.confidence / (1 + squared / scale**2) ** 2
            scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
            expected = sizes.copy()
            expected[:, SWING_TERMS] = even_shares * self.pace(path)
            noise = (weight * squared).sum() / weight.sum() / 2 + _LEAST_NOISE
            prior = noise / independent / expected[known] ** 2
            normal, right = np.diag(prior), prior * path[known]
            for terms, error in zip(slopes, residual, strict=True):
                weighted = terms * (weight / weight.sum())
                normal = normal + _products(terms, weighted)
                right = right + np.einsum("n,kn->k", error, weighted)
            path[known] -= np.linalg.solve(normal, right)
        return path

    def _slopes(self, known: Bools) -> Doubles:
        """(2, K, N) change of the residual in px with each known coefficient, near no motion."""
        component, term = np.nonzero(known)
        here, there = (
            basis[:, component] * time[term]
            for basis, time in zip(self.basis, self.times, strict=True)
        )
        change: Doubles = self.diagonal * (here - there)
        return change

    def residual(self, path: Doubles) -> Doubles:
        """(2, N) px by which the views disagree about the place at t = 1/2."""
        here, there = (
            _map(_entries(np.einsum("ck,kn->cn", path, time)), place)
            for place, time in zip(self.places, self.times, strict=True)
        )
        return self.diagonal * (here - there)

    def pace(self, path: Doubles) -> float:
        """Root mean square velocity of the matched points in half diagonals, not quite zero."""
        velocity = np.einsum("k,ckn->cn", path[:, 0], self.basis[0])
        return float(np.sqrt((velocity**2).sum(0).mean())) + _LEAST_PACE / self.diagonal

    def misfit(self, path: Doubles) -> float:
        """Sum of the residuals' squares in px by confidence, none counting more than 0.5 px."""
        squared = (self.residual(path) ** 2).sum(0)
        return float((self.confidence * squared / (1 + squared / _LAST_SCALE**2)).sum())


def _products(first: Doubles, second: Doubles) -> Doubles:
    """(K, L) sums over N of the products of (K, N) and (L, N).

    In pieces too small for BLAS to share among threads, which are slower than one for so few rows,
    and many times slower where other processes need the cores they wait on.
    """
    pieces = range(0, first.shape[1], _PIECE)
    total: Doubles = sum(
        (
            first[:, start : start + _PIECE] @ second[:, start : start + _PIECE].T
            for start in pieces
        ),
        np.zeros((len(first), len(second))),
    )
    return total


def _time_basis(instant: Array | Doubles, reach: float) -> Doubles:
    """(..., 4) uniform motion since t = 1/2, then `swing_basis`."""
    swing = swing_basis(np.asarray(instant, np.float32), reach).astype(np.float64)
    uniform = np.asarray(instant, np.float64) - 0.5
    return np.concatenate((uniform[..., None], swing), axis=-1)


def _place_basis(place: Doubles) -> Doubles:
    """(2, 8, ...): how each component moves points (..., 2) along x and y, to first order."""
    x, y = place[..., 0], place[..., 1]
    one, none = np.ones_like(x), np.zeros_like(x)
    along_x = np.stack((one, none, -y, x, -x * x, -x * y, x, y))
    along_y = np.stack((none, one, x, y, -x * y, -y * y, -y, x))
    return np.stack((along_x, along_y))


def _entries(components: Doubles) -> tuple[Doubles, ...]:
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


def _map(entries: tuple[Doubles, ...], points: Doubles) -> Doubles:
    """Where homographies with entries (N,) bring points (N, 2): (2, N)."""
    x, y = points.T
    along_x, along_y, depth = (
        entries[row] * x + entries[row + 1] * y + entries[row + 2] for row in (0, 3, 6)
    )
    return np.stack((along_x / depth, along_y / depth))


def _half_diagonal(size: tuple[int, int]) -> float:
    return float(np.hypot(*size)) / 2


def _normalised(pixels: Array, size: tuple[int, int]) -> Doubles:
    """Points (..., 2) from the centre of the image in half diagonals."""
    centre = np.array(((size[1] - 1) / 2, (size[0] - 1) / 2))
    return (pixels - centre) / _half_diagonal(size)
