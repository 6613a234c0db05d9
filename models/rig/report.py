"""What a real capture shows before it is corrected, measured: is it fit for correction as it is?

One flow between the views serves all: colours are compared at its matches, the rig is judged where
both views are exposed at once, and what is left elsewhere is motion.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.flow.dis import FlowSearch, search_both_ways, single_threaded_opencv, to_luma
from models.measurement.flow_measurement import Measurement, measure_pair, to_pixels
from models.measurement.sampling import sample_image
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size
from models.rig.alignment import Alignment, fit_alignment, match_strips
from models.rig.colours import ColourDifference, fit_colours, match_points
from models.rig.readout_order import ReadoutOrder, compare_motion, displacement_within
from models.rig.sharpness import edge_blur

Array = npt.NDArray[np.float32]
Posture = Literal["upright", "upside down", "mirrored", "turned by 180 degrees"]

_WIDE_GAP = 0.3  # of the readout, over which velocities are told
_BLOCK = 12  # px, in which displacements are averaged
_DENOISING = 1.0  # px
_LEAST_GAIN, _LEAST_ERROR = 1.5, 1.0  # squared grey values of 255
_LARGEST = 99  # percentile: displacements of fewer blocks than the rest may be errors
_FEW_MATCHES = 0.5  # of the pixels, below which views may be turned over
_THUMBNAIL, _LEAST_SIDE = 96, 32  # px
_MARGIN = 0.12  # of the thumbnail's sides, by which views may be displaced
_DETAIL = 4.0  # px of the thumbnail, beyond which brightness does not count
_POOR, _FAR_BETTER = 0.5, 0.3  # correlation as it stands, and what turning must add
_TURNS: dict[Posture, tuple[int, int]] = {
    "upside down": (-1, 1),
    "mirrored": (1, -1),
    "turned by 180 degrees": (-1, -1),
}

_TRANSPOSED: dict[Posture, Posture] = {"upside down": "mirrored", "mirrored": "upside down"}


class CaptureReport(NamedTuple):
    """Measured figures of one capture.

    Attributes:
        size: (H, W).
        matched: share of the pixels that are found in the other view, from 0 to 1.
        posture: how b2t stands against t2b.
        blur: px of the edges of t2b and of b2t (`sharpness.edge_blur`).
        colours: of b2t against t2b.
        alignment: of the two cameras.
        speed: median and 95th percentile of the speed, px per frame interval.
        displacement: px, that 1 % of the image exceeds, apart from the alignment.
        order: comparison with the next capture, if that was given.
    """

    size: tuple[int, int]
    matched: float
    posture: Posture
    blur: tuple[float | None, float | None]
    colours: ColourDifference
    alignment: Alignment
    speed: tuple[float, float]
    displacement: float
    order: ReadoutOrder | None

    @property
    def transposed(self) -> "CaptureReport":
        """That of the same views with rows and columns exchanged."""
        return self._replace(
            size=(self.size[1], self.size[0]),
            posture=_TRANSPOSED.get(self.posture, self.posture),
            alignment=self.alignment.transposed,
            order=None if self.order is None else self.order.transposed,
        )


def check_capture(
    pair: Tensor,
    scan_time: Tensor | None = None,
    *,
    next_pair: Tensor | None = None,
    search: FlowSearch = search_both_ways,
) -> CaptureReport:
    """Measure a capture.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure time of each t2b row in frame intervals; a readout of exactly these
            rows, which takes all of the interval, by default.
        next_pair: (2, 3, H, W) one frame interval later; only it can tell whether the views are
            swapped.
        search: finds the flows between the views.

    Raises:
        InputError: the images have a single row.
        ValueError: another shape than stated.
    """
    size = check_size(pair)
    if scan_time is not None:
        check_scan(scan_time, size[0])
    if next_pair is not None and next_pair.shape != pair.shape:
        got = f"{tuple(next_pair.shape)} after {tuple(pair.shape)}"
        raise ValueError(f"next_pair must have the shape of pair, got {got}")
    measurements = measure_pair(pair, scan_time, search=search)
    alignment = fit_alignment([match_strips(measurements, Scan.of(scan_time, size[0]))], size)
    t2b, b2t = (to_luma(image) for image in to_pixels(pair))
    views = t2b.astype(np.float32), b2t.astype(np.float32)
    speed, displacement = _measure_motion(measurements[0], alignment, views)
    matched = float(np.mean([(part.confidence > 0.5).mean() for part in measurements]))
    return CaptureReport(
        size,
        matched,
        find_posture(t2b, b2t) if matched < _FEW_MATCHES else "upright",
        (edge_blur(t2b), edge_blur(b2t)),
        fit_colours([match_points(pair, measurements[0])]),
        alignment,
        speed,
        displacement,
        None if next_pair is None else compare_motion(measurements, alignment, pair, next_pair),
    )


def find_posture(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Posture:
    """How `second` was turned over before it came to show what `first` does; in doubt, not at all.

    Args:
        first: (H, W) grey.
        second: (H, W).
    """
    if min(first.shape) < _LEAST_SIDE:
        return "upright"
    with single_threaded_opencv():
        whole, other = _thumbnail(first), _thumbnail(second)
        rows, columns = (round(_MARGIN * side) for side in other.shape)
        inner = other[rows : other.shape[0] - rows, columns : other.shape[1] - columns]
        upright = _correlate(whole, inner)
        turned = {
            posture: _correlate(whole, np.ascontiguousarray(inner[::down, ::across]))
            for posture, (down, across) in _TURNS.items()
        }
    best = max(turned, key=lambda posture: turned[posture])
    is_turned = upright < _POOR and turned[best] > upright + _FAR_BETTER
    return best if is_turned else "upright"


def _measure_motion(
    t2b: Measurement, alignment: Alignment, images: Sequence[Array]
) -> tuple[tuple[float, float], float]:
    """Median and 95th percentile of the speed, and the displacement of the fastest 1 %."""
    size = t2b.own.shape
    moved = displacement_within(t2b, alignment, side=1)
    trusted = (t2b.confidence > 0.5).astype(np.float32)
    with single_threaded_opencv():
        first, second = (_blur(image, _DENOISING) for image in images)
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
        found = sample_image(second, x + t2b.flow[..., 0], y + t2b.flow[..., 1])
        at_rest = t2b.flow - moved
        unmoved = sample_image(second, x + at_rest[..., 0], y + at_rest[..., 1])
    errors = (found - first) ** 2, (unmoved - first) ** 2
    values = (t2b.gap, moved[..., 0], moved[..., 1], *errors)
    share, *sums = (_to_blocks(part) for part in (trusted, *(trusted * part for part in values)))
    used = share > 0.5
    if not used.any():
        return (0.0, 0.0), 0.0
    gap, across, along, error, error_at_rest = (part[used] / share[used] for part in sums)
    distance = np.hypot(across, along)
    wide = np.abs(gap) > _WIDE_GAP * np.ptp(t2b.own)
    speeds = distance[wide] / np.abs(gap[wide]) if wide.any() else np.zeros(1)
    middle, most = np.percentile(speeds, (50, 95))
    # Without texture flow follows the noise, and what it finds fits hardly better than rest.
    certain = error_at_rest > _LEAST_GAIN * error + _LEAST_ERROR
    return (float(middle), float(most)), float(np.percentile(certain * distance, _LARGEST))


def _to_blocks(values: Array) -> Array:
    """Means over blocks."""
    blocks = [-(-side // _BLOCK) for side in values.shape[::-1]]
    return _reduce(values, blocks)


def _thumbnail(grey: npt.NDArray[np.uint8]) -> Array:
    """The detail of an image, its longer side reduced to 96 px."""
    scale = min(1.0, _THUMBNAIL / max(grey.shape))
    sides = [max(1, round(scale * side)) for side in grey.shape[::-1]]
    small = _reduce(grey.astype(np.float32), sides)
    return small - _blur(small, _DETAIL)


def _reduce(values: Array, size: Sequence[int]) -> Array:
    """Mean values (h, w) at another size, (w, h)."""
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _blur(image: Array, deviation: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.float32)


def _correlate(whole: Array, part: Array) -> float:
    """Largest correlation of a part with what it covers, wherever it is laid."""
    return float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
