"""Misalignment of the two cameras: its estimation, and the correction of both views.

Only where both views are exposed at the same time is their displacement due to the rig alone;
elsewhere a single pair cannot separate it from motion. That row suffices for a similarity: shift,
turn and zoom. Parallax from depth, different for every object, remains.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from models.measurement.arrays import Doubles
from models.measurement.flow_measurement import Measurement, measure_pair
from models.measurement.parallax import (
    MIN_CERTAINTY,
    MIN_CHANGE,
    MIN_STRIPS,
    MIN_STRIPS_OF_LINE,
    standard_error,
    strip_intercepts,
)
from models.measurement.scan import Scan

Matches = tuple[Doubles, Doubles]

_INLIER_DISTANCE = 1.0  # px between a strip and the similarity, for RANSAC
_MIN_INLIERS = 0.6  # share of the strips: with fewer, depth may look like a turn
_MIN_CORRECTED = 0.25  # px


class Alignment(NamedTuple):
    """Similarity about the image's centre that maps t2b to b2t.

    Attributes:
        shift: (x, y) px by which the centre is further right and down in b2t.
        angle: radians by which b2t is turned clockwise, as seen.
        zoom: size of things in b2t over that in t2b.
        spread: px, median distance of strips from the similarity: depth, or noise.
        strips: how many were used, from both views; 0 means that nothing is known.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    zoom: float = 1.0
    spread: float = 0.0
    strips: int = 0

    @property
    def transposed(self) -> "Alignment":
        """The alignment of the same views with rows and columns exchanged."""
        return self._replace(shift=(self.shift[1], self.shift[0]), angle=-self.angle)

    def matrix(self, size: tuple[int, int], *, share: float = 1.0) -> Doubles:
        """(2, 3) map from pixels of t2b to those of b2t, images of (H, W), or a share of it.

        Two maps of share 1/2 make the whole; negative ones lead back.
        """
        rotation = self.zoom * np.exp(1j * self.angle)
        part = rotation**share
        # Repeated maps add up like a geometric series: shift * (1 + part + ...) = whole shift.
        ratio = (part - 1) / (rotation - 1) if abs(rotation - 1) > 1e-9 else share
        centre = complex(size[1] - 1, size[0] - 1) / 2
        offset = centre - part * centre + ratio * complex(*self.shift)
        return np.array([[part.real, -part.imag, offset.real], [part.imag, part.real, offset.imag]])

    def max_displacement(self, size: tuple[int, int]) -> float:
        """Displacement in px of the corner of an image (H, W) that is displaced most."""
        matrix, (height, width) = self.matrix(size), size
        corners = np.array([(x, y) for x in (0, width - 1) for y in (0, height - 1)])
        return float(np.hypot(*(corners @ matrix[:, :2].T + matrix[:, 2] - corners).T).max())


def estimate_alignment(pairs: Iterable[Tensor], scan_time: Tensor | None = None) -> Alignment:
    """Estimate the alignment of a rig from one or, better, several of its captures.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1]: t2b, b2t, all of one size.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
    """
    found, size = [], (0, 0)
    for pair in pairs:
        size = (pair.shape[-2], pair.shape[-1])
        scan = Scan.of(scan_time, size[0])
        found.append(match_strips(measure_pair(pair, scan_time), scan))
    return fit_alignment(found, size)


def align(pair: Tensor, alignment: Alignment) -> Tensor:
    """Warp both views bicubically to the middle between them.

    Each is moved half the way, so that equal rows are still exposed at s and at 1 - s; time shifts
    by the readout of half the vertical shift. Beyond a view's border its nearest pixel is repeated.
    A misalignment below a quarter of a pixel is ignored: resampling would cost more quality.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1].
        alignment: as estimated from this rig.

    Returns:
        (2, 3, H, W) in [0, 1], on the pair's device.
    """
    size = (pair.shape[-2], pair.shape[-1])
    if alignment.max_displacement(size) < _MIN_CORRECTED:
        return pair
    views = []
    for view, share in zip(pair, (-0.5, 0.5), strict=True):
        moved = cv2.warpAffine(
            view.detach().float().permute(1, 2, 0).cpu().numpy(),
            alignment.matrix(size, share=share),
            size[::-1],
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        views.append(torch.from_numpy(moved).permute(2, 0, 1).clamp(0, 1))
    return torch.stack(views).to(pair)


def match_strips(measurements: tuple[Measurement, Measurement], scan: Scan) -> Matches:
    """Points (N, 2) of t2b and of b2t that show the same things at the same time.

    The measurements include parallax; the scan is t2b's.
    """
    # Rows y of t2b and y' of b2t are exposed at once where y + y' is twice this.
    middle = (1 - 2 * scan.first) / (2 * scan.row_time)
    matches = []
    for measurement, order in zip(measurements, (1, -1), strict=True):
        for column, value in strip_intercepts(measurement):
            x, y = float(value[0]), float(value[1])
            matches.append(((column, middle - y / 2), (column + x, middle + y / 2))[::order])
    first, second = np.array(matches).reshape(-1, 2, 2).swapaxes(0, 1)
    return first, second


def fit_alignment(matches: Sequence[Matches], size: tuple[int, int]) -> Alignment:
    """Fit a similarity by RANSAC; where turn and zoom are not significant, a shift or none.

    `matches` has the result of `match_strips` for each capture; the images are (H, W).
    """
    centre = np.array((size[1] - 1, size[0] - 1)) / 2
    first, second = (
        np.concatenate([np.zeros((0, 2)), *(part[view] for part in matches)]) - centre
        for view in (0, 1)
    )
    if len(first) < MIN_STRIPS:
        return Alignment()
    similarity = _fit_similarity(first, second, half_width=size[1] / 2)
    if similarity is None:
        similarity = np.column_stack((np.eye(2), _fit_shift(second - first)))
    linear, shift = similarity[:, :2], similarity[:, 2]
    residual = np.hypot(*(second - first @ linear.T - shift).T)
    rotation = complex(linear[0, 0], linear[1, 0])
    return Alignment(
        (float(shift[0]), float(shift[1])),
        float(np.angle(rotation)),
        abs(rotation),
        float(np.median(residual)),
        len(first),
    )


def _fit_shift(displacements: Doubles) -> Doubles:
    """Median (2,) of strips' displacements (N, 2), or zero if it is not significant."""
    shift = np.median(displacements, axis=0)
    error = standard_error(displacements - shift)
    return shift if np.hypot(*shift) > MIN_CERTAINTY * error else np.zeros(2)


def _fit_similarity(first: Doubles, second: Doubles, *, half_width: float) -> Doubles | None:
    """Fit a similarity (2, 3) by RANSAC; None if its turn and zoom are not significant."""
    if len(first) < MIN_STRIPS_OF_LINE:
        return None
    similarity, inliers = cv2.estimateAffinePartial2D(
        first, second, method=cv2.RANSAC, ransacReprojThreshold=_INLIER_DISTANCE, confidence=0.999
    )
    if similarity is None or inliers.mean() < _MIN_INLIERS:
        return None
    chosen = inliers[:, 0] > 0
    residual = (second - first @ similarity[:, :2].T - similarity[:, 2])[chosen]
    lever = float(np.std(first[chosen, 0])) / half_width
    change = half_width * abs(complex(similarity[0, 0] - 1, similarity[1, 0]))
    certain = change * lever > MIN_CERTAINTY * standard_error(residual)
    return np.asarray(similarity, np.float64) if certain and change > MIN_CHANGE else None
