"""How the second camera stands against the first, and both views brought between them.

Where both views are exposed at once only the rig tells them apart; elsewhere one pair cannot tell
its displacement from motion. That row alone shows shift, turn and zoom of a similarity. Depth,
which gives every object a parallax of its own, stays.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.measurement.flow_measurement import Measurement, measure_pair
from models.measurement.parallax import LEAST_CERTAINTY, standard_error, strip_intercepts
from models.measurement.scan import Scan

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
Matches = tuple[Matrix, Matrix]

_INLIER = 1.0  # px from the similarity within which RANSAC counts a strip as the rig's
_LEAST_STRIPS, _LEAST_STRIPS_TO_TURN = 4, 12
_LEAST_AGREEING = 0.6  # share of the strips: of fewer, depth may look like a turn
_LEAST_CHANGE = 0.4  # px over half the width, below which turn and zoom are in doubt
_LEAST_CORRECTED = 0.25  # px


class Alignment(NamedTuple):
    """Similarity about the image's centre by which b2t is displaced against t2b.

    Attributes:
        shift: (x, y) px by which the centre stands further right and down in b2t.
        angle: radians by which b2t is turned clockwise, as seen.
        zoom: size of things in b2t over that in t2b.
        spread: px, median distance of strips from the similarity: depth, or noise.
        strips: how many told it, of both views; none means that nothing is known.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    zoom: float = 1.0
    spread: float = 0.0
    strips: int = 0

    @property
    def transposed(self) -> "Alignment":
        """That of the same views with rows and columns exchanged."""
        return self._replace(shift=(self.shift[1], self.shift[0]), angle=-self.angle)

    def matrix(self, size: tuple[int, int], *, share: float = 1.0) -> Matrix:
        """(2, 3) map of pixels of t2b to those of b2t, or a share of the way in between.

        Args:
            size: (H, W).
            share: two steps of a half make the whole; negative steps lead back.
        """
        rotation = self.zoom * np.exp(1j * self.angle)
        part = rotation**share
        # Steps add up like a geometric series: shift * (1 + part + ...) = the whole shift.
        ratio = (part - 1) / (rotation - 1) if abs(rotation - 1) > 1e-9 else share
        centre = complex(size[1] - 1, size[0] - 1) / 2
        offset = centre - part * centre + ratio * complex(*self.shift)
        return np.array([[part.real, -part.imag, offset.real], [part.imag, part.real, offset.imag]])

    def farthest(self, size: tuple[int, int]) -> float:
        """Displacement in px of the corner of an image (H, W) that is displaced most."""
        matrix, (height, width) = self.matrix(size), size
        corners = np.array([(x, y) for x in (0, width - 1) for y in (0, height - 1)])
        return float(np.hypot(*(corners @ matrix[:, :2].T + matrix[:, 2] - corners).T).max())


def estimate_alignment(pairs: Iterable[Tensor], scan_time: Tensor | None = None) -> Alignment:
    """Alignment of a rig from one or more of its captures; the more, the surer.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1]: t2b, b2t, all of one size.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these rows by default.
    """
    found, size = [], (0, 0)
    for pair in pairs:
        size = (pair.shape[-2], pair.shape[-1])
        scan = Scan.of(scan_time, size[0])
        found.append(match_strips(measure_pair(pair, scan_time), scan))
    return fit_alignment(found, size)


def align(pair: Tensor, alignment: Alignment) -> Tensor:
    """Both views bicubically brought to the middle between them.

    Each goes half the way, so that the same row of both still is exposed at s and at 1 - s; the
    common clock moves by the time in which half the vertical shift is read. Beyond a view's border
    its nearest pixel is repeated. Less than a quarter of a pixel is left as it is: resampling would
    cost more.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1].
        alignment: as estimated from this rig.

    Returns:
        (2, 3, H, W) in [0, 1], on the pair's device.
    """
    size = (pair.shape[-2], pair.shape[-1])
    if alignment.farthest(size) < _LEAST_CORRECTED:
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
    """Points (N, 2) of t2b and of b2t that show the same things at the same instant.

    Args:
        measurements: of t2b and b2t, parallax included.
        scan: of t2b.
    """
    # Rows y of t2b and y' of b2t are exposed at once where y + y' is twice this.
    middle = (1 - 2 * scan.first) / (2 * scan.pace)
    first, second = [], []
    for measurement, side in zip(measurements, (1, -1), strict=True):
        for column, value in strip_intercepts(measurement):
            x, y = float(value[0]), float(value[1])
            own, other = (column, middle - y / 2), (column + x, middle + y / 2)
            first.append(own if side == 1 else other)
            second.append(other if side == 1 else own)
    return np.array(first).reshape(-1, 2), np.array(second).reshape(-1, 2)


def fit_alignment(matches: Sequence[Matches], size: tuple[int, int]) -> Alignment:
    """The similarity that most strips agree on; in doubt without turn and zoom, or no shift either.

    Args:
        matches: of `match_strips`, one for each capture.
        size: (H, W).
    """
    centre = np.array((size[1] - 1, size[0] - 1)) / 2
    first = np.concatenate([np.zeros((0, 2)), *(part[0] for part in matches)]) - centre
    second = np.concatenate([np.zeros((0, 2)), *(part[1] for part in matches)]) - centre
    if len(first) < _LEAST_STRIPS:
        return Alignment()
    similarity = _fit_similarity(first, second, half_width=size[1] / 2)
    shift = _shift(second - first) if similarity is None else similarity[:, 2]
    linear = np.eye(2) if similarity is None else similarity[:, :2]
    residual = np.hypot(*(second - first @ linear.T - shift).T)
    rotation = complex(linear[0, 0], linear[1, 0])
    return Alignment(
        (float(shift[0]), float(shift[1])),
        float(np.angle(rotation)),
        abs(rotation),
        float(np.median(residual)),
        len(first),
    )


def _shift(displacements: Matrix) -> Matrix:
    """Median (2,) of those of strips (N, 2), or zero where that could be an accident."""
    shift: Matrix = np.median(displacements, axis=0)
    error = standard_error(displacements - shift)
    return shift if np.hypot(*shift) > LEAST_CERTAINTY * error else np.zeros(2)


def _fit_similarity(first: Matrix, second: Matrix, *, half_width: float) -> Matrix | None:
    """(2, 3), or none where its turn and zoom are small or could be an accident."""
    if len(first) < _LEAST_STRIPS_TO_TURN:
        return None
    similarity, inliers = cv2.estimateAffinePartial2D(
        first, second, method=cv2.RANSAC, ransacReprojThreshold=_INLIER, confidence=0.999
    )
    if similarity is None or inliers.mean() < _LEAST_AGREEING:
        return None
    chosen = inliers[:, 0] > 0
    places = first[chosen, 0]
    residual = (second - first @ similarity[:, :2].T - similarity[:, 2])[chosen]
    lever = float(np.std(places)) / half_width
    change = half_width * abs(complex(similarity[0, 0] - 1, similarity[1, 0]))
    certain = change * lever > LEAST_CERTAINTY * standard_error(residual)
    return np.asarray(similarity, np.float64) if certain and change > _LEAST_CHANGE else None
