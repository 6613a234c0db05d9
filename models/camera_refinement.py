"""Motion of the camera to hundredths of a pixel, from the images themselves.

Optical flow errs by some tenths of a pixel, and alike over whole patches, so that no number of
matches averages it away. At both ends of the readout, where a camera's path is extrapolated, that
shows. Here both views are brought to t = 1/2 along the path, and its coefficients corrected until
they agree (direct alignment, as in B. Lucas, T. Kanade, IJCAI 1981, with a path over time in place
of a shift).

Arrays are NumPy, vectors (x, y) last, in pixels.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera_path import (
    CameraMotion,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    sum_of_products,
    time_basis,
)
from models.flow_measurement import robust_deviation, sample_image
from models.motion_field import SLOWEST_CLOSING
from models.parallax import Parallax

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Luma = npt.NDArray[np.uint8]

_SPACING, _MOST_POINTS = 4, 33_000  # px between the points compared, at least; and their number
_LEAST_POINTS = 500
_BLUR = 0.8  # px, standard deviation; takes what sampling between pixels cannot represent
_MARGIN = 6  # px from the border, where the blur knows one side only
_STEPS = 5
_SLACK = 1.05  # of the least cost: sampling alone changes it by some per cent
_NOISE = 0.3  # grey levels that any two images differ by
_MISPLACEMENT = 0.1  # px that a first path may be wrong by
_AROUND = 9  # points a side over which what moves by itself is told from noise
_WORST = 9.0  # squared residual, in variances, that counts as any larger one
_ALIKE = 50  # neighbouring points that err alike, and count as one against expectations
_LEAST_NOISE = 1e-6  # variances; what a perfect fit leaves open is then not left to chance
_FIRST_FOLLOWING = 3  # steps towards where points are exposed; later, each path takes one


class _Exposure(NamedTuple):
    """What one view shows of the points, and how that changes with the path.

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


class _Comparison(NamedTuple):
    """The views against each other.

    Attributes:
        cost: mean of the squared residuals in variances, none counting more than `_WORST`.
        normal: (K, K) products of slopes.
        right: (K,) products of slopes and residuals.
    """

    cost: float
    normal: Doubles
    right: Doubles


def refine_camera_motion(
    motion: CameraMotion,
    views: tuple[Luma, Luma],
    scan: tuple[float, float],
    parallax: Parallax,
) -> CameraMotion:
    """Correct a camera's motion until both views agree, as long as they do not come apart.

    What moves by itself, and points that one view does not show, lose their influence. Brightness
    and contrast of the views may differ.

    Args:
        motion: right to half a pixel or so.
        views: t2b and b2t, luma (H, W) each.
        scan: exposure instant of the first t2b row, and the step to the next row.
        parallax: displacement from t2b to b2t at equal instants.
    """
    alignment = _Alignment(views, scan, parallax)
    verified, allowed = motion, math.inf
    for _ in range(_STEPS):
        compared = alignment.compare(motion)
        if compared is None or compared.cost > allowed:
            break
        verified, allowed = motion, min(allowed, _SLACK * compared.cost)
        motion = motion.step(compared.normal, compared.right)
    return verified


class _Alignment:
    """Points of a grid at t = 1/2, followed into both views."""

    def __init__(
        self, views: tuple[Luma, Luma], scan: tuple[float, float], parallax: Parallax
    ) -> None:
        height, width = views[0].shape
        self.size = (height, width)
        self.diagonal = half_diagonal(self.size)
        self.images = [
            np.asarray(cv2.GaussianBlur(view.astype(np.float32), (0, 0), _BLUR), np.float32)
            for view in views
        ]
        self.scans = (scan, (1 - scan[0], -scan[1]))
        spacing = max(_SPACING, math.ceil(math.sqrt(height * width / _MOST_POINTS)))
        grid = np.meshgrid(*(np.arange(spacing // 2, side, spacing) for side in (width, height)))
        self.shape = grid[0].shape
        points = np.stack(grid, axis=-1).reshape(-1, 2).astype(np.float64)
        self.middle = normalise(points, self.size)
        self.basis = place_basis(self.middle)
        between = parallax.at(points[:, 0].astype(np.float32)).astype(np.float64)
        self.shifts = (-between / 2, between / 2)
        self.places = [points.copy(), points.copy()]
        self.variance: Doubles | None = None
        # By how much t2b has more contrast, and a higher level.
        self.brightness: Doubles = np.zeros(2)

    def compare(self, motion: CameraMotion) -> _Comparison | None:
        """Bring both views to t = 1/2 and compare them; None where too few points are in both."""
        if len(self.middle) < _LEAST_POINTS:
            return None
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(self._expose, (0, 1), (motion, motion))
        inside = first.inside & second.inside
        if np.count_nonzero(inside) < _LEAST_POINTS:
            return None
        mean = (first.value + second.value) / 2
        light = np.stack((mean, np.ones_like(mean)))
        residual = (first.value - second.value - self.brightness @ light).astype(np.float64)
        # The same for both views: what is even about t = 1/2 moves them so nearly alike that the
        # difference of two noisy gradients would drown it.
        gradient = (first.gradient + second.gradient) / np.float32(2)
        squared, weight = self._weigh(residual, gradient, inside)
        noise = float((weight * residual**2).sum() / np.count_nonzero(weight)) + _LEAST_NOISE
        slopes = first.slopes(gradient, motion.model.known)
        slopes -= second.slopes(gradient, motion.model.known)
        slopes = np.concatenate((slopes, -light))
        weighted = slopes * (weight / (noise * _ALIKE)).astype(np.float32)
        normal = sum_of_products(weighted, slopes)
        right = np.einsum("kn,n->k", weighted, residual, dtype=np.float64)
        return _Comparison(float(squared[inside].mean()), *self._settle_brightness(normal, right))

    def _weigh(self, residual: Doubles, gradient: Array, inside: Bools) -> tuple[Doubles, Doubles]:
        """Squared residuals (N,) in variances, and how much each point counts in grey levels."""
        if self.variance is None:
            usual = robust_deviation(residual[inside]) + _NOISE
            misplacement = np.float32(_MISPLACEMENT / self.diagonal)
            self.variance = usual**2 + ((misplacement * gradient) ** 2).sum(0)
        squared = np.minimum(residual**2 / self.variance, _WORST)
        around = cv2.boxFilter(squared.reshape(self.shape), -1, (_AROUND, _AROUND)).ravel()
        weight: Doubles = inside / ((1 + squared) * (1 + around / 2)) ** 2 / self.variance
        return squared, weight

    def _settle_brightness(self, normal: Doubles, right: Doubles) -> tuple[Doubles, Doubles]:
        """Correct the brightness, and take it out of the equations of the path.

        It is solved for along with the path, but of it nothing is expected.
        """
        inverse = np.linalg.pinv(normal[-2:, -2:], hermitian=True)
        self.brightness = self.brightness - inverse @ right[-2:]
        across = normal[:-2, -2:] @ inverse
        return (
            normal[:-2, :-2] - across @ normal[-2:, :-2],
            right[:-2] - across @ right[-2:],
        )

    def _expose(self, view: int, motion: CameraMotion) -> _Exposure:
        """Find where a view shows the points, and what."""
        (first, pace), place, shift = self.scans[view], self.places[view], self.shifts[view]
        velocity = -self.diagonal * np.einsum("k,ckn->cn", motion.path[:, 0], self.basis)
        closing = np.maximum(1 - velocity[1] * pace, SLOWEST_CLOSING)
        for _ in range(_FIRST_FOLLOWING if self.variance is None else 1):
            time = time_basis(first + pace * place[:, 1], motion.reach)
            back = map_points(motion.path @ time.T, normalise(place - shift, self.size))
            error = self.diagonal * (back - self.middle.T)
            down = -error[1] / closing
            place += np.stack((velocity[0] * pace * down - error[0], down), axis=-1)
        value, along_x, along_y = self._sample(view, place)
        # A point that is moved down is exposed at another instant, and then is elsewhere.
        along_y = (along_y + velocity[0] * pace * along_x) / closing
        gradient = (self.diagonal * np.stack((along_x, along_y))).astype(np.float32)
        basis = place_basis(normalise(place - shift, self.size).astype(np.float32))
        last = np.array(self.size[::-1]) - 1 - _MARGIN
        inside = np.all((place >= _MARGIN) & (place <= last), axis=1)
        return _Exposure(
            value=value,
            gradient=gradient,
            basis=np.asarray(basis, np.float32),
            time=time.T.astype(np.float32),
            inside=inside,
        )

    def _sample(self, view: int, place: Doubles) -> tuple[Array, Array, Array]:
        """Values (N,) at pixels (N, 2), and their slopes along x and y."""
        x, y = (part.reshape(self.shape).astype(np.float32) for part in place.T)

        def at(x: Array, y: Array) -> Array:
            return sample_image(self.images[view], x, y, cv2.INTER_CUBIC).ravel()

        half = np.float32(0.5)
        return at(x, y), at(x + half, y) - at(x - half, y), at(x, y + half) - at(x, y - half)
