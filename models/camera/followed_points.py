"""Grey levels of both views along a camera path, and their derivatives with respect to the path.

Vectors (x, y) come first here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.camera.path import (
    CameraMotion,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    time_basis,
)
from models.measurement.arrays import Array, Bools
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView, grid_spacing
from models.measurement.scan import Scan

MARGIN = 6  # px from the border, where the blur has data on one side only
_CHUNK = 8192  # points that are followed at once: their arrays fit into the CPU's cache
FIRST_ITERATIONS = 3  # of the fixed-point search for the exposures; later calls do one each


class _Exposure(NamedTuple):
    """Grey levels of one view at N points, and their derivatives."""

    value: Array  # (N,) grey levels
    gradient: Array  # (2, N) by the points' places at t = 1/2, grey levels per half diagonal
    basis: Array  # (2, 8, N) derivative of these places by each component of the path
    time: Array  # (4, N) derivative of the components by their coefficients
    inside: Bools  # (N,) whether the view shows the point, away from its border


class Difference(NamedTuple):
    """Comparison of both views at N points of t = 1/2."""

    value: Array  # (N,) grey levels of t2b minus those of b2t
    mean: Array  # (N,) of both
    gradient: Array  # (2, N) of both, grey levels per half diagonal
    slopes: Array  # (K, N) derivative of `value` by each free coefficient of the path
    inside: Bools  # (N,) whether both views show the point


class FollowedPoints:
    """A grid of points at t = 1/2 that is followed into both views along successive paths.

    Attributes:
        x: (N,) columns of the points.
        shape: (rows, columns) of the grid; N points in all.
        diagonal: half that of the image, in px.
    """

    def __init__(
        self, views: Sequence[SmoothedView], scan: Scan, min_spacing: int, max_points: int
    ) -> None:
        """Create the grid for t2b and b2t, given the scan of t2b.

        Its spacing is at least `min_spacing` px, and more where that gives too many points.
        """
        height, width = views[0].level.shape
        self._views = views
        self._size = (height, width)
        self._scans = (scan, scan.reversed)
        self._last = np.array([[width - 1], [height - 1]], np.float32)
        self.diagonal = np.float32(half_diagonal(self._size))
        spacing = grid_spacing(self._size, min_spacing, max_points)
        grid = np.meshgrid(*(np.arange(spacing // 2, side, spacing) for side in (width, height)))
        self._points = np.stack(grid).reshape(2, -1).astype(np.float32)
        self._basis = place_basis(normalise(self._points.T, self._size))
        self._places = [self._points.copy(), self._points.copy()]
        self._iterations = FIRST_ITERATIONS
        self.x = self._points[0]
        self.shape = grid[0].shape
        chunk = max(_CHUNK // max(self.shape[1], 1), 1) * self.shape[1]
        self._chunks = [
            slice(start, start + chunk) for start in range(0, self.x.size, max(chunk, 1))
        ]

    def difference(self, motion: CameraMotion, parallax: Parallax) -> Difference:
        """Warp both views to t = 1/2 and subtract them."""
        found = [self._subtract(chunk, motion, parallax) for chunk in self._chunks]
        self._iterations = 1
        return Difference(*(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)))

    def _subtract(self, chunk: slice, motion: CameraMotion, parallax: Parallax) -> Difference:
        shift = parallax.at(self.x[chunk]).T / np.float32(2)
        first = self._expose(chunk, 0, motion, -shift)
        second = self._expose(chunk, 1, motion, shift)
        # One gradient for both views: even deviations move them so nearly alike that the
        # difference of two noisy gradients would drown their effect.
        gradient = (first.gradient + second.gradient) / np.float32(2)
        component, term = np.nonzero(motion.model.known)
        slopes, other_slopes = (
            -(gradient[0] * seen.basis[0] + gradient[1] * seen.basis[1])[component]
            * seen.time[term]
            for seen in (first, second)
        )
        return Difference(
            value=first.value - second.value,
            mean=(first.value + second.value) / np.float32(2),
            gradient=gradient,
            slopes=slopes - other_slopes,
            inside=first.inside & second.inside,
        )

    def _expose(self, chunk: slice, view: int, motion: CameraMotion, shift: Array) -> _Exposure:
        """Sample a view that is shifted by (2, N) px where it exposes the points."""
        path, scan = motion.path.astype(np.float32), self._scans[view]
        place, points = self._places[view][:, chunk], self._points[:, chunk]
        velocity = -self.diagonal * np.einsum("k,ckn->cn", path[:, 0], self._basis[..., chunk])
        closing = scan.closing_speed(velocity[1])
        for _ in range(self._iterations):
            time = time_basis(scan.at(place[1]), motion.reach).astype(np.float32).T
            back = map_points(path @ time, normalise((place - shift).T, self._size))
            error = self.diagonal * back + self._last / 2 - points
            down = -error[1] / closing
            place[0] += velocity[0] * scan.row_time * down - error[0]
            place[1] += down
        x, y = place.reshape(2, -1, self.shape[1])
        level, slopes = self._views[view].at(x, y)
        along_x, along_y = slopes.reshape(-1, 2).T
        # A point that is moved down is exposed at another time, and has moved until then.
        along_y = (along_y + velocity[0] * scan.row_time * along_x) / closing
        return _Exposure(
            value=level.ravel(),
            gradient=self.diagonal * np.stack((along_x, along_y)),
            basis=place_basis(normalise((place - shift).T, self._size)),
            time=time,
            inside=np.all((place >= MARGIN) & (place <= self._last - MARGIN), axis=0),
        )
