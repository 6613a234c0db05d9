"""What both views of a capture show of points of mid-readout, as their camera moves.

Arrays are NumPy; vectors (x, y) come first here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.camera.path import (
    CameraMotion,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    time_basis,
)
from models.classical.field import SLOWEST_CLOSING
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView, spacing_between
from models.measurement.scan import Scan

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_MARGIN = 6  # px from the border, where a blurred image knows one side only
_TOGETHER = 8192  # points that are followed at once: what that takes stays in the cache
_FIRST_STEPS = 3  # towards where points are exposed; later, each path takes one


class _Exposure(NamedTuple):
    """What one view shows of N points, and how that changes with the path.

    Attributes:
        value: (N,) grey levels.
        gradient: (2, N) their slope with the points' places at t = 1/2, grey levels per half
            diagonal.
        basis: (2, 8, N) change of these places with each component of the path.
        time: (4, N) change of the components with their coefficients.
        inside: (N,) whether the view shows the point, away from its border.
    """

    value: Array
    gradient: Array
    basis: Array
    time: Array
    inside: Bools

    def slopes(self, gradient: Array, known: Bools) -> Array:
        """(K, N) change of the value with each known coefficient, by this gradient."""
        component, term = np.nonzero(known)
        by_component = -(gradient[0] * self.basis[0] + gradient[1] * self.basis[1])
        slopes: Array = by_component[component] * self.time[term]
        return slopes


class Difference(NamedTuple):
    """What both views show of N points at t = 1/2.

    Attributes:
        value: (N,) grey levels of t2b less those of b2t.
        mean: (N,) of both.
        gradient: (2, N) of both, grey levels per half diagonal.
        slopes: (K, N) change of the difference with each known coefficient of the path.
        inside: (N,) whether both views show the point.
    """

    value: Array
    mean: Array
    gradient: Array
    slopes: Array
    inside: Bools


class FollowedPoints:
    """A grid of points at t = 1/2, followed into both views along one path after another.

    Attributes:
        x: (N,) columns of the points.
        shape: (rows, columns) of the grid; N points in all.
        diagonal: half that of the image, in px.
    """

    def __init__(self, views: Sequence[SmoothedView], scan: Scan, spacing: int, most: int) -> None:
        """Lay the grid.

        Args:
            views: t2b and b2t.
            scan: of t2b.
            spacing: px between points, at least.
            most: points.
        """
        height, width = views[0].level.shape
        self._views = views
        self._size = (height, width)
        self._scans = (scan, scan.reversed)
        self._last = np.array([[width - 1], [height - 1]], np.float32)
        self.diagonal = np.float32(half_diagonal(self._size))
        spacing = spacing_between(self._size, spacing, most)
        grid = np.meshgrid(*(np.arange(spacing // 2, side, spacing) for side in (width, height)))
        self._points = np.stack(grid).reshape(2, -1).astype(np.float32)
        self._basis = place_basis(normalise(self._points.T, self._size))
        self._places = [self._points.copy(), self._points.copy()]
        self._steps = _FIRST_STEPS
        self.x = self._points[0]
        self.shape = grid[0].shape
        rows, columns = self.shape
        whole_rows = max(_TOGETHER // max(columns, 1), 1)
        self._pieces = [
            slice(top * columns, (top + whole_rows) * columns) for top in range(0, rows, whole_rows)
        ]

    def difference(self, motion: CameraMotion, parallax: Parallax) -> Difference:
        """Bring both views to t = 1/2, and subtract them."""
        found = [self._subtract(piece, motion, parallax) for piece in self._pieces]
        self._steps = 1
        return Difference(*(np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)))

    def _subtract(self, piece: slice, motion: CameraMotion, parallax: Parallax) -> Difference:
        shift = parallax.at(self.x[piece]).T / np.float32(2)
        first = self._expose(piece, 0, motion, -shift)
        second = self._expose(piece, 1, motion, shift)
        # The same for both views: what is even about t = 1/2 moves them so nearly alike that the
        # difference of two noisy gradients would drown it.
        gradient = (first.gradient + second.gradient) / np.float32(2)
        slopes = first.slopes(gradient, motion.model.known)
        slopes -= second.slopes(gradient, motion.model.known)
        return Difference(
            value=first.value - second.value,
            mean=(first.value + second.value) / np.float32(2),
            gradient=gradient,
            slopes=slopes,
            inside=first.inside & second.inside,
        )

    def _expose(self, piece: slice, view: int, motion: CameraMotion, shift: Array) -> _Exposure:
        """Find where a view that is shifted by (2, N) px shows the points, and what."""
        path, scan = motion.path.astype(np.float32), self._scans[view]
        place, points = self._places[view][:, piece], self._points[:, piece]
        velocity = -self.diagonal * np.einsum("k,ckn->cn", path[:, 0], self._basis[..., piece])
        closing = np.maximum(1 - velocity[1] * scan.pace, SLOWEST_CLOSING)
        for _ in range(self._steps):
            time = time_basis(scan.at(place[1]), motion.reach).astype(np.float32).T
            back = map_points(path @ time, normalise((place - shift).T, self._size))
            error = self.diagonal * back + self._last / 2 - points
            down = -error[1] / closing
            place[0] += velocity[0] * scan.pace * down - error[0]
            place[1] += down
        x, y = place.reshape(2, len(place[0]) // self.shape[1], self.shape[1])
        level, slopes = self._views[view].at(x, y)
        along_x, along_y = slopes.reshape(-1, 2).T
        # A point that is moved down is exposed at another instant, and then is elsewhere.
        along_y = (along_y + velocity[0] * scan.pace * along_x) / closing
        return _Exposure(
            value=level.ravel(),
            gradient=self.diagonal * np.stack((along_x, along_y)),
            basis=place_basis(normalise((place - shift).T, self._size)),
            time=time,
            inside=np.all((place >= _MARGIN) & (place <= self._last - _MARGIN), axis=0),
        )
