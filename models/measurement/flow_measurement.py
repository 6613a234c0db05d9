"""What optical flow between the two views of a capture says about motion.

A point is exposed at one instant in t2b and at another in b2t; the flow between the images is its
displacement over that gap, plus the parallax between the cameras (`models.measurement.parallax`).

Arrays are NumPy float32, vectors (dx, dy) last, in pixels.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.flow.dis import FlowSearch, search_both_ways, single_threaded_opencv, to_luma
from models.measurement.flow_refinement import refine_flow
from models.measurement.sampling import SmoothedView, sample_image
from models.measurement.scan import Scan
from models.measurement.statistics import robust_deviation

Array = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]

_TRUSTED_ERROR = 1.5  # px by which the flows there and back may miss each other
_NOISES = 1.5  # variances in a difference: sampled between pixels, the other view has about half


class Measurement(NamedTuple):
    """What the flow from one view to the other says about motion, at each pixel of the view.

    Attributes:
        flow: (H, W, 2) displacement to the other view, less the parallax once that is known.
        own: (H, W) instant at which the pixel was exposed.
        gap: (H, W) instant at which its match was exposed, less `own`.
        confidence: (H, W) in [0, 1].
    """

    flow: Array
    own: Array
    gap: Array
    confidence: Array


def measure_motion(
    views: tuple[Luma, Luma],
    scan: Scan,
    *,
    refined: bool = False,
    search: FlowSearch = search_both_ways,
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and of b2t, parallax included.

    Args:
        views: t2b and b2t, luma (H, W) each.
        scan: of t2b.
        refined: on the views' levels (`models.measurement.flow_refinement`). What differs in colour
            is taken for displacement as far as it can be: compared along such flow, views differ
            less.
        search: finds the flows.
    """
    there, back = search(*views)
    if refined:
        smoothed = [SmoothedView.of(view) for view in views]
        with ThreadPoolExecutor(2) as pool:
            there, back = pool.map(refine_flow, (there, back), smoothed, smoothed[::-1])
        del smoothed  # before the rest takes memory of its own
    return _measure(there, back, scan), _measure(back, there, scan.reversed)


def compare_along_flow(view: Luma, other: Luma, measurement: Measurement) -> Array:
    """Grey levels (H, W) by which each pixel of a view is brighter than its match in the other.

    Args:
        view: (H, W).
        other: (H, W).
        measurement: of the view, parallax included.
    """
    columns, rows = (np.arange(side, dtype=np.float32) for side in view.shape[::-1])
    place = columns + measurement.flow[..., 0], rows[:, None] + measurement.flow[..., 1]
    brighter: Array = view - sample_image(other.astype(np.float32), *place)
    return brighter


def measure_noise(brighter: Array, measurement: Measurement) -> float:
    """Standard deviation of the noise of a view, of [0, 1]: from how much matches differ by.

    Args:
        brighter: (H, W) grey levels as of `compare_along_flow`.
        measurement: of the view.
    """
    difference = brighter[measurement.confidence > 0.5]
    if not difference.size:
        return 0.0
    return robust_deviation(difference - np.median(difference)) / math.sqrt(_NOISES) / 255


def measure_pair(
    pair: Tensor, scan_time: Tensor | None = None, *, search: FlowSearch = search_both_ways
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and of b2t, parallax included.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these rows by default.
        search: finds the flows.
    """
    t2b, b2t = map(to_luma, to_pixels(pair))
    with single_threaded_opencv():
        return measure_motion((t2b, b2t), Scan.of(scan_time, pair.shape[-2]), search=search)


def to_pixels(images: Tensor) -> Array:
    """Images (N, 3, H, W) as (N, H, W, 3)."""
    pixels: Array = images.detach().float().permute(0, 2, 3, 1).cpu().contiguous().numpy()
    return pixels


def _measure(flow: Array, back: Array, scan: Scan) -> Measurement:
    """What flow from a view, and flow back to it, say, given the scan of that view."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    error = ((flow + sample_image(back, x, y)) ** 2).sum(-1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    own, match = scan.at(rows), scan.reversed.at(y)
    confidence = np.exp(-error / (2 * _TRUSTED_ERROR**2)) * inside
    return Measurement(
        flow, own, np.asarray(match - own, np.float32), np.asarray(confidence, np.float32)
    )
