"""Motion of the camera to hundredths of a pixel, from the images themselves.

Optical flow errs by some tenths of a pixel, and alike over whole patches, so that no number of
matches averages it away. At both ends of the readout, where a camera's path is extrapolated, that
shows. Here both views are brought to t = 1/2 along the path, and its coefficients corrected until
they agree (direct alignment, as in B. Lucas, T. Kanade, IJCAI 1981, with a path over time in place
of a shift).

Arrays are NumPy, vectors (x, y) last, in pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera.followed_points import Difference, FollowedPoints
from models.camera.path import CameraMotion, sum_of_products
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView
from models.measurement.scan import Scan
from models.measurement.statistics import robust_deviation

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Luma = npt.NDArray[np.uint8]

_LEAST_POINTS = 500
_STEPS = 5  # at most
_SETTLED = 0.98  # of the cost before: after less of a fall, one more step is enough
_SLACK = 1.05  # of the least cost: sampling alone changes it by some per cent
_NOISE = 0.3  # grey levels that any two images differ by
_MISPLACEMENT = 0.1  # px that a first path may be wrong by
_WORST = 16.0  # squared residual, in variances, that counts as any larger one
_ALIKE = 25  # neighbouring points that err alike, and count as one against expectations
_LEAST_NOISE = 1e-6  # variances; what a perfect fit leaves open is then not left to chance
# Standard deviations; a smaller parallax is none, and not solved for. Water that moves comes to 6.
_LEAST_CERTAINTY = 6.5
_OF_LINE, _OF_SHIFT = 4, 2  # unknowns of a parallax that is a line over x, or the same everywhere


class _Stage(NamedTuple):
    """How densely the views are compared.

    Attributes:
        spacing: px between points, at least.
        points: their number, at most.
        around: points a side over which what moves by itself is told from noise.
    """

    spacing: int
    points: int
    around: int


_ROUGH, _FINE = _Stage(4, 33_000, 9), _Stage(2, 131_000, 17)


class _Comparison(NamedTuple):
    """The views against each other.

    The unknowns are the path's K known coefficients, then, of which nothing is expected, those of
    the parallax, the views' ratio of contrasts and their difference in level.

    Attributes:
        cost: mean of the squared residuals in variances, none counting more than `_WORST`.
        normal: products of the residual's slopes with all unknowns.
        right: products of slopes and residuals.
        known: K.
    """

    cost: float
    normal: Doubles
    right: Doubles
    known: int

    def of_path(self) -> tuple[Doubles, Doubles]:
        """Products (K, K) and (K,) of the path alone, whatever the rest may be."""
        path, across, rest = self._blocks()
        shares = across @ np.linalg.pinv(rest, hermitian=True)
        right: Doubles = self.right[: self.known] - shares @ self.right[self.known :]
        return path - shares @ across.T, right

    def change_of_rest(self, change: Doubles) -> Doubles:
        """By how much the rest has to change along with the path's coefficients (K,)."""
        _, across, rest = self._blocks()
        right = self.right[self.known :] + change @ across
        changes: Doubles = -np.linalg.pinv(rest, hermitian=True) @ right
        return changes

    def covariance_of_rest(self, motion: CameraMotion) -> Doubles:
        """Covariances of the rest, whatever the path may be of those that are expected."""
        path, across, rest = self._blocks()
        expected = np.diag(motion.model.expected(motion.speed) ** -2)
        precision: Doubles = rest - across.T @ np.linalg.solve(path + expected, across)
        return np.asarray(np.linalg.pinv(precision, hermitian=True), np.float64)

    def _blocks(self) -> tuple[Doubles, Doubles, Doubles]:
        path, rest = slice(self.known), slice(self.known, None)
        return self.normal[path, path], self.normal[path, rest], self.normal[rest, rest]


class _Found(NamedTuple):
    """A motion and a parallax, and how the views compared under the last ones that were tried."""

    motion: CameraMotion
    parallax: Parallax
    compared: _Comparison | None


def refine_camera_motion(
    motion: CameraMotion,
    views: tuple[Luma, Luma],
    scan: Scan,
    parallax: Parallax,
) -> tuple[CameraMotion, Parallax]:
    """Correct a camera's motion until both views agree, as long as they do not come apart.

    What moves by itself, and points that one view does not show, lose their influence. Brightness
    and contrast of the views may differ. Their parallax is corrected along with the motion: a
    tenth of a pixel would be taken for motion that is even about mid-readout.

    Args:
        motion: right to half a pixel or so.
        views: t2b and b2t, luma (H, W) each.
        scan: of t2b.
        parallax: displacement from t2b to b2t at equal instants, right to half a pixel or so.
    """
    smoothed = [SmoothedView.of(view) for view in views]
    rough = _Alignment(smoothed, scan, _ROUGH).correct(motion, parallax, unknown=_OF_LINE)
    if rough.compared is None:
        return motion, parallax
    parallax, unknown = _certain_parallax(rough.motion, rough.parallax, rough.compared)
    fine = _Alignment(smoothed, scan, _FINE).correct(rough.motion, parallax, unknown=unknown)
    return fine.motion, fine.parallax


def _certain_parallax(
    motion: CameraMotion, parallax: Parallax, compared: _Comparison
) -> tuple[Parallax, int]:
    """What is certain of a parallax that was solved for as a line, and the number of unknowns.

    An error in it is easily taken for even deviations, and makes these uncertain: where there is no
    parallax, that is better known than solved for.
    """
    covariance = compared.covariance_of_rest(motion)

    def is_certain(value: Doubles, part: slice) -> bool:
        squared = value @ np.linalg.pinv(covariance[part, part], hermitian=True) @ value
        return float(squared) >= _LEAST_CERTAINTY**2

    if is_certain(parallax.change.astype(np.float64), slice(_OF_SHIFT, _OF_LINE)):
        return parallax, _OF_LINE
    parallax = parallax._replace(change=np.zeros_like(parallax.change))
    if is_certain(parallax.middle.astype(np.float64), slice(_OF_SHIFT)):
        return parallax, _OF_SHIFT
    return parallax._replace(middle=np.zeros_like(parallax.middle)), 0


def _corrected(parallax: Parallax, unknowns: Doubles) -> Parallax:
    """Parallax plus a correction: none of (0,), `middle` of (2,), `middle` and `change` of (4,)."""
    middle, change = (
        np.pad(unknowns, (0, _OF_LINE - len(unknowns))).reshape(2, 2).astype(np.float32)
    )
    return parallax._replace(middle=parallax.middle + middle, change=parallax.change + change)


class _Alignment:
    """Both views, compared in points that are followed into them."""

    def __init__(self, views: Sequence[SmoothedView], scan: Scan, stage: _Stage) -> None:
        self.points = FollowedPoints(views, scan, stage.spacing, stage.points)
        self.around = stage.around
        self.variance: Doubles | None = None
        # By how much t2b has more contrast, and a higher level.
        self.brightness: Doubles = np.zeros(2)

    def correct(self, motion: CameraMotion, parallax: Parallax, *, unknown: int) -> _Found:
        """Correct both as long as the views agree no worse; the last step is taken unseen.

        Args:
            motion: to start from.
            parallax: to start from.
            unknown: 0 to take it as it is, `_OF_SHIFT` or `_OF_LINE`.
        """
        found, least, before = _Found(motion, parallax, None), math.inf, math.inf
        for _ in range(_STEPS):
            compared = self._compare(motion, parallax, unknown)
            if compared is None or compared.cost > _SLACK * least:
                return found
            found = _Found(motion, parallax, compared)
            motion = motion.step(*compared.of_path())
            change = (motion.path - found.motion.path)[motion.model.known]
            rest = compared.change_of_rest(change)
            parallax = _corrected(parallax, rest[:unknown])
            self.brightness = self.brightness + rest[unknown:]
            if compared.cost > _SETTLED * before:
                break
            least, before = min(least, compared.cost), compared.cost
        return _Found(motion, parallax, compared)

    def _compare(
        self, motion: CameraMotion, parallax: Parallax, unknown: int
    ) -> _Comparison | None:
        """Bring both views to t = 1/2 and compare them; None where too few points are in both."""
        if len(self.points.x) < _LEAST_POINTS:
            return None
        seen = self.points.difference(motion, parallax)
        if np.count_nonzero(seen.inside) < _LEAST_POINTS:
            return None
        light = np.stack((seen.mean, np.ones_like(seen.mean)))
        residual = (seen.value - self.brightness @ light).astype(np.float64)
        squared, weight = self._weigh(residual, seen)
        noise = float((weight * residual**2).sum() / np.count_nonzero(weight)) + _LEAST_NOISE
        of_shift = -seen.gradient / self.points.diagonal
        of_parallax = np.concatenate((of_shift, of_shift * parallax.across(self.points.x)))
        slopes = np.concatenate((seen.slopes, of_parallax[:unknown], -light))
        weighted = slopes * (weight / (noise * _ALIKE)).astype(np.float32)
        return _Comparison(
            cost=float(squared[seen.inside].mean()),
            normal=sum_of_products(weighted, slopes),
            right=np.einsum("kn,n->k", weighted, residual, dtype=np.float64),
            known=len(seen.slopes),
        )

    def _weigh(self, residual: Doubles, seen: Difference) -> tuple[Doubles, Doubles]:
        """Squared residuals (N,) in variances, and how much each point counts in grey levels."""
        if self.variance is None:
            usual = robust_deviation(residual[seen.inside]) + _NOISE
            misplacement = np.float32(_MISPLACEMENT) / self.points.diagonal
            self.variance = usual**2 + ((misplacement * seen.gradient) ** 2).sum(0)
        squared = np.minimum(residual**2 / self.variance, _WORST)
        grid = squared.reshape(self.points.shape)
        around = cv2.boxFilter(grid, -1, (self.around, self.around)).ravel()
        weight: Doubles = seen.inside / ((1 + squared) * (1 + around / 2)) ** 2 / self.variance
        return squared, weight
