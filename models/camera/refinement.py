"""Camera motion to hundredths of a pixel, by direct alignment of both views.

Optical flow errs by tenths of a pixel, equally over whole patches, so that averaging many matches
does not help; at both ends of the readout, where the path is extrapolated, that is visible. Here
both views are warped to t = 1/2 along the path, and Gauss-Newton steps minimise their difference
(as Lucas and Kanade, 1981, but with a path over time in place of a shift).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from models.camera.followed_points import Difference, FollowedPoints
from models.camera.path import NOISE_FLOOR, CameraMotion, sum_of_products
from models.measurement.arrays import Doubles, Luma
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView, box_mean
from models.measurement.scan import Scan
from models.measurement.statistics import robust_std

MIN_POINTS = 500
MAX_STEPS = 5
CONVERGED = 0.98  # of the last cost: after a smaller decrease, one more step is enough
DIVERGED = 1.05  # of the lowest cost: resampling alone changes it by some per cent
NOISE = 0.3  # grey levels by which any two images differ
MISPLACEMENT = 0.1  # px of error expected in the first path
MAX_SQUARED = 16.0  # limit of squared residuals, in variances
CORRELATED = 25  # neighbouring points with equal errors: they count as one against the prior
MIN_CERTAINTY = 6.5  # standard deviations of a parallax that is kept; moving water reaches 6
OF_LINE, OF_SHIFT = 4, 2  # unknowns of a parallax that is a line over x, or constant
# Points: min. spacing in px, max. number, and side of the window that detects moving objects.
COARSE, FINE = (4, 33_000, 9), (2, 131_000, 17)


class _NormalEquations(NamedTuple):
    """Normal equations of the difference between both views.

    The unknowns are the path's K free coefficients, then the nuisance parameters, which have no
    prior: those of the parallax, and the views' ratio of contrasts and difference in level.
    """

    cost: float  # mean squared residual in variances, with limited outliers
    path: Doubles  # (K, K) products of the residual's derivatives by the path's coefficients
    across: Doubles  # (K, M) by these and the nuisance parameters
    rest: Doubles  # (M, M) by the nuisance parameters
    right: Doubles  # (K + M,) products of derivatives and residuals

    def of_path(self) -> tuple[Doubles, Doubles]:
        """Equations (K, K) and (K,) of the path, the rest eliminated by a Schur complement."""
        count = len(self.path)
        shares = self.across @ np.linalg.pinv(self.rest, hermitian=True)
        right = self.right[:count] - shares @ self.right[count:]
        return self.path - shares @ self.across.T, right

    def change_of_rest(self, change: Doubles) -> Doubles:
        """Change of the nuisance parameters, given that of the path's coefficients (K,)."""
        right = self.right[len(self.path) :] + change @ self.across
        return -np.linalg.pinv(self.rest, hermitian=True) @ right

    def covariance_of_rest(self, motion: CameraMotion) -> Doubles:
        """Covariances of the nuisance parameters, marginalised over the path with its prior."""
        prior = np.diag(motion.model.expected(motion.speed) ** -2)
        precision = self.rest - self.across.T @ np.linalg.solve(self.path + prior, self.across)
        return np.asarray(np.linalg.pinv(precision, hermitian=True), np.float64)


def refine_camera_motion(
    motion: CameraMotion, views: tuple[Luma, Luma], scan: Scan, parallax: Parallax
) -> tuple[CameraMotion, Parallax]:
    """Refine a camera's motion and the parallax by Gauss-Newton steps, coarse to fine.

    Robust weights suppress moving objects and points that one view does not show. Brightness and
    contrast of the views may differ. The parallax is solved for together with the motion, because
    an error of a tenth of a pixel would be taken for an even deviation.

    Args:
        motion: accurate to about half a pixel.
        views: t2b and b2t, luma (H, W) each.
        scan: of t2b.
        parallax: accurate to about half a pixel.
    """
    smoothed = [SmoothedView.of(view) for view in views]
    motion, parallax, compared = _Alignment(smoothed, scan, COARSE).solve(
        motion, parallax, unknowns=OF_LINE
    )
    if compared is None:
        return motion, parallax
    parallax, unknowns = _significant_parallax(parallax, compared.covariance_of_rest(motion))
    return _Alignment(smoothed, scan, FINE).solve(motion, parallax, unknowns=unknowns)[:2]


def _significant_parallax(parallax: Parallax, covariance: Doubles) -> tuple[Parallax, int]:
    """Drop what is not significant of a fitted parallax; also return the number of unknowns left.

    Errors of the parallax resemble even deviations and make these uncertain: where there is no
    parallax, assuming so is better than solving for it.
    """

    def is_significant(value: Doubles, part: slice) -> bool:
        squared = value @ np.linalg.pinv(covariance[part, part], hermitian=True) @ value
        return float(squared) >= MIN_CERTAINTY**2

    if is_significant(parallax.change.astype(np.float64), slice(OF_SHIFT, OF_LINE)):
        return parallax, OF_LINE
    parallax = parallax._replace(change=np.zeros_like(parallax.change))
    if is_significant(parallax.middle.astype(np.float64), slice(OF_SHIFT)):
        return parallax, OF_SHIFT
    return parallax._replace(middle=np.zeros_like(parallax.middle)), 0


def _add_to_parallax(parallax: Parallax, change: Doubles) -> Parallax:
    """Add a change (0,), (2,) of `middle`, or (4,) of `middle` and `change`."""
    middle, slope = np.pad(change, (0, OF_LINE - len(change))).reshape(2, 2).astype(np.float32)
    return parallax._replace(middle=parallax.middle + middle, change=parallax.change + slope)


class _Alignment:
    """Direct alignment of both views at points that are followed into them."""

    def __init__(
        self, views: Sequence[SmoothedView], scan: Scan, density: tuple[int, int, int]
    ) -> None:
        min_spacing, max_points, self.window = density
        self.points = FollowedPoints(views, scan, min_spacing, max_points)
        self.variance: Doubles | None = None
        # Excess of t2b's contrast and level over b2t's.
        self.brightness: Doubles = np.zeros(2)

    def solve(
        self, motion: CameraMotion, parallax: Parallax, *, unknowns: int
    ) -> tuple[CameraMotion, Parallax, _NormalEquations | None]:
        """Take Gauss-Newton steps while the cost does not rise; the last one is not verified.

        The parallax has 0, `OF_SHIFT` or `OF_LINE` unknowns. Also returns the last equations that
        were accepted, if any.
        """
        found: tuple[CameraMotion, Parallax, _NormalEquations | None] = (motion, parallax, None)
        lowest = last = math.inf
        for _ in range(MAX_STEPS):
            compared = self._compare(motion, parallax, unknowns)
            if compared is None or compared.cost > DIVERGED * lowest:
                return found
            found = (motion, parallax, compared)
            motion = motion.step(*compared.of_path())
            change = (motion.path - found[0].path)[motion.model.known]
            rest = compared.change_of_rest(change)
            parallax = _add_to_parallax(parallax, rest[:unknowns])
            self.brightness = self.brightness + rest[unknowns:]
            if compared.cost > CONVERGED * last:
                break
            lowest, last = min(lowest, compared.cost), compared.cost
        return motion, parallax, compared

    def _compare(
        self, motion: CameraMotion, parallax: Parallax, unknowns: int
    ) -> _NormalEquations | None:
        """Warp both views to t = 1/2 and compare them; None if too few points are in both."""
        if len(self.points.x) < MIN_POINTS:
            return None
        seen = self.points.difference(motion, parallax)
        if np.count_nonzero(seen.inside) < MIN_POINTS:
            return None
        light = np.stack((seen.mean, np.ones_like(seen.mean)))
        residual = (seen.value - self.brightness @ light).astype(np.float64)
        squared, weight = self._weigh(residual, seen)
        noise = float((weight * residual**2).sum() / np.count_nonzero(weight)) + NOISE_FLOOR
        of_shift = -seen.gradient / self.points.diagonal
        of_parallax = np.concatenate((of_shift, of_shift * parallax.across(self.points.x)))
        slopes = np.concatenate((seen.slopes, of_parallax[:unknowns], -light))
        weighted = slopes * (weight / (noise * CORRELATED)).astype(np.float32)
        normal, count = sum_of_products(weighted, slopes), len(seen.slopes)
        return _NormalEquations(
            float(squared[seen.inside].mean()),
            *(normal[:count, :count], normal[:count, count:], normal[count:, count:]),
            right=np.einsum("kn,n->k", weighted, residual, dtype=np.float64),
        )

    def _weigh(self, residual: Doubles, seen: Difference) -> tuple[Doubles, Doubles]:
        """Squared residuals (N,) in variances, and inverse variances with robust weights."""
        if self.variance is None:
            noise = robust_std(residual[seen.inside]) + NOISE
            misplacement = np.float32(MISPLACEMENT) / self.points.diagonal
            self.variance = noise**2 + ((misplacement * seen.gradient) ** 2).sum(0)
        squared = np.minimum(residual**2 / self.variance, MAX_SQUARED)
        grid = squared.reshape(self.points.shape)
        around = box_mean(grid, self.window, cv2.BORDER_DEFAULT).ravel()
        weight = seen.inside / ((1 + squared) * (1 + around / 2)) ** 2 / self.variance
        return squared, weight
