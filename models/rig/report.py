"""Measured properties of a real capture that decide whether it can be corrected as it is.

One flow between the views serves all of them: colours are compared at its matches, the rig where
both views are exposed at the same time, and the rest of the flow is motion.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from torch import Tensor

from models.flow.dis import single_threaded_opencv, to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import Measurement, measure_pair, to_pixels
from models.measurement.sampling import area_resize, gaussian_blur, pixel_grid, sample_image
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size
from models.rig.alignment import Alignment, fit_alignment, match_strips
from models.rig.colours import ColourDifference, fit_colours, match_points
from models.rig.readout_order import ReadoutOrder, compare_motion, motion_within
from models.rig.sharpness import edge_blur

Orientation = Literal["upright", "upside down", "mirrored", "turned by 180 degrees"]

_MIN_GAP = 0.3  # of the readout, over which speeds are measured
_BLOCK = 12  # px, over which displacements are averaged
_DENOISING = 1.0  # px
_MIN_GAIN, _MIN_ERROR = 1.5, 1.0  # ratio and level (of 255, squared) of the error without motion
_LARGEST = 99  # percentile: the displacements of fewer blocks may be errors
_MIN_MATCHED = 0.5  # share of the pixels, below which the orientation is tested
_THUMBNAIL, _MIN_SIDE = 96, 32  # px
_MARGIN = 0.12  # of the thumbnail's sides, by which views may be displaced
_DETAIL = 4.0  # px of the thumbnail: coarser structure is removed
_MAX_UPRIGHT, _MIN_IMPROVEMENT = 0.5, 0.3  # correlation as given, and gain of another orientation
_FLIPS: dict[Orientation, tuple[int, int]] = {
    "upside down": (-1, 1),
    "mirrored": (1, -1),
    "turned by 180 degrees": (-1, -1),
}
_TRANSPOSED: dict[Orientation, Orientation] = {
    "upside down": "mirrored",
    "mirrored": "upside down",
}


class CaptureReport(NamedTuple):
    """Measured properties of one capture.

    Attributes:
        size: (H, W).
        matched: share of the pixels that are found in the other view, from 0 to 1.
        orientation: of b2t relative to t2b.
        blur: px of the edges of t2b and of b2t (`sharpness.edge_blur`).
        colours: of b2t relative to t2b.
        alignment: of the two cameras.
        speed: median and 95th percentile of the speed, px per frame interval.
        displacement: px that 1 % of the image exceeds, without the misalignment.
        order: comparison with the next capture, if that was given.
        unevenness: of the light (`flicker_search.Light`); 0 if it was not measured.
        colours_matched: colours measured again after the difference was undone; None if not tried.
    """

    size: tuple[int, int]
    matched: float
    orientation: Orientation
    blur: tuple[float | None, float | None]
    colours: ColourDifference
    alignment: Alignment
    speed: tuple[float, float]
    displacement: float
    order: ReadoutOrder | None
    unevenness: float = 0.0
    colours_matched: ColourDifference | None = None

    @property
    def transposed(self) -> "CaptureReport":
        """The report on the same views with rows and columns exchanged."""
        return self._replace(
            size=(self.size[1], self.size[0]),
            orientation=_TRANSPOSED.get(self.orientation, self.orientation),
            alignment=self.alignment.transposed,
            order=None if self.order is None else self.order.transposed,
        )


def check_capture(
    pair: Tensor, scan_time: Tensor | None = None, *, next_pair: Tensor | None = None
) -> CaptureReport:
    """Measure a capture.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure times of t2b's rows in frame intervals; by default they fill one.
        next_pair: (2, 3, H, W) one frame interval later; only with it swapped views are detected.

    Raises:
        InputError: the images have a single row.
        ValueError: a shape is not as stated.
    """
    size = check_size(pair)
    if scan_time is not None:
        check_scan(scan_time, size[0])
    if next_pair is not None and next_pair.shape != pair.shape:
        got = f"{tuple(next_pair.shape)} after {tuple(pair.shape)}"
        raise ValueError(f"next_pair must have the shape of pair, got {got}")
    measurements = measure_pair(pair, scan_time)
    alignment = fit_alignment([match_strips(measurements, Scan.of(scan_time, size[0]))], size)
    t2b, b2t = (to_luma(image) for image in to_pixels(pair))
    speed, displacement = _measure_speed(measurements[0], alignment, (t2b, b2t))
    matched = float(np.mean([part.trusted.mean() for part in measurements]))
    return CaptureReport(
        size,
        matched,
        find_orientation(t2b, b2t) if matched < _MIN_MATCHED else "upright",
        (edge_blur(t2b), edge_blur(b2t)),
        fit_colours([match_points(pair, measurements[0])]),
        alignment,
        speed,
        displacement,
        None if next_pair is None else compare_motion(measurements, alignment, pair, next_pair),
    )


def find_orientation(first: Luma, second: Luma) -> Orientation:
    """Orientation of `second` relative to `first`, by template matching; "upright" if in doubt."""
    if min(first.shape) < _MIN_SIDE:
        return "upright"
    with single_threaded_opencv():
        whole, other = _thumbnail(first), _thumbnail(second)
        rows, columns = (round(_MARGIN * side) for side in other.shape)
        inner = other[rows : other.shape[0] - rows, columns : other.shape[1] - columns]
        upright = _correlate(whole, inner)
        flipped = {
            orientation: _correlate(whole, np.ascontiguousarray(inner[::down, ::across]))
            for orientation, (down, across) in _FLIPS.items()
        }
    best = max(flipped, key=lambda orientation: flipped[orientation])
    is_flipped = upright < _MAX_UPRIGHT and flipped[best] > upright + _MIN_IMPROVEMENT
    return best if is_flipped else "upright"


def _measure_speed(
    t2b: Measurement, alignment: Alignment, images: Sequence[Luma]
) -> tuple[tuple[float, float], float]:
    """Median and 95th percentile of the speed, and the displacement of the fastest 1 %."""
    moved = motion_within(t2b, alignment, side=1)
    trusted = t2b.trusted.astype(np.float32)
    with single_threaded_opencv():
        first, second = (gaussian_blur(image.astype(np.float32), _DENOISING) for image in images)
        x, y = pixel_grid(t2b.own.shape)
        error, error_at_rest = (
            (sample_image(second, x + flow[..., 0], y + flow[..., 1]) - first) ** 2
            for flow in (t2b.flow, t2b.flow - moved)
        )
    values = (t2b.gap, moved[..., 0], moved[..., 1], error, error_at_rest)
    blocks = (-(-first.shape[1] // _BLOCK), -(-first.shape[0] // _BLOCK))
    share, *sums = (
        area_resize(part, blocks) for part in (trusted, *(trusted * part for part in values))
    )
    used = share > 0.5
    if not used.any():
        return (0.0, 0.0), 0.0
    gap, across, along, error, error_at_rest = (part[used] / share[used] for part in sums)
    distance = np.hypot(across, along)
    wide = np.abs(gap) > _MIN_GAP * np.ptp(t2b.own)
    speeds = distance[wide] / np.abs(gap[wide]) if wide.any() else np.zeros(1)
    median, fast = np.percentile(speeds, (50, 95))
    # Without texture flow follows the noise, and hardly fits better than no motion.
    certain = error_at_rest > _MIN_GAIN * error + _MIN_ERROR
    return (float(median), float(fast)), float(np.percentile(certain * distance, _LARGEST))


def _thumbnail(grey: Luma) -> Array:
    """The fine structure of an image, with its longer side reduced to 96 px."""
    scale = min(1.0, _THUMBNAIL / max(grey.shape))
    rows, columns = (max(1, round(scale * side)) for side in grey.shape)
    small = area_resize(grey.astype(np.float32), (columns, rows))
    return small - gaussian_blur(small, _DETAIL)


def _correlate(whole: Array, part: Array) -> float:
    """Largest normalised correlation of a part with what it covers, over all its positions."""
    return float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
