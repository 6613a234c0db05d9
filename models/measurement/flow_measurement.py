"""Motion measured by optical flow between the two views of a capture.

A point is exposed at one time in t2b and at another in b2t. The flow between the views is its
displacement over that gap plus the parallax between the cameras (`models.measurement.parallax`).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from models.flow.dis import search_flow, single_threaded_opencv, to_luma
from models.measurement.arrays import Array, Bools, Luma, library, map_views, to_array
from models.measurement.flow_refinement import refine_flow
from models.measurement.sampling import SmoothedView, pixel_grid, sample_image
from models.measurement.scan import Scan
from models.measurement.statistics import robust_std

_ERROR_SCALE = 1.5  # px of forward-backward error
_MIN_CONFIDENCE = 0.5
NOISE_VARIANCES = 1.5  # in a difference: interpolation halves the other view's variance


class Measurement(NamedTuple):
    """Flow from one view to the other, with times; one value per pixel of the view.

    Attributes:
        flow: (H, W, 2) displacement to the other view, without parallax once that is known.
        own: (H, W) exposure time of the pixel.
        gap: (H, W) exposure time of its match minus `own`.
        confidence: (H, W) in [0, 1].
    """

    flow: Array
    own: Array
    gap: Array
    confidence: Array

    @property
    def trusted(self) -> Bools:
        """(H, W) whether the confidence exceeds 1/2."""
        return self.confidence > _MIN_CONFIDENCE

    @property
    def on_host(self) -> "Measurement":
        """The only measurement of a batch of tensors, as arrays."""
        tensors: Any = self
        size = tensors.gap.shape[1:]
        return Measurement(*(to_array(part.expand(-1, *size, *part.shape[3:])) for part in tensors))


def measure_motion(
    views: tuple[Luma, Luma], scan: Scan, *, refined: bool = False
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and b2t, parallax included, by DIS flow in both directions.

    Args:
        views: t2b and b2t, luma (H, W) each.
        scan: of t2b.
        refined: refine the flow by windowed least squares (`models.measurement.flow_refinement`).
            Refined flow compensates for differences in colour, too: don't measure those along it.
    """
    forward, backward = map_views(search_flow, views, views[::-1])
    if refined:
        smoothed = [SmoothedView.of(view) for view in views]
        forward, backward = map_views(refine_flow, (forward, backward), smoothed, smoothed[::-1])
        del smoothed  # to free the memory before the next step
    return check_flow(forward, backward, scan), check_flow(backward, forward, scan.reversed)


def compare_along_flow(view: Luma, other: Luma, measurement: Measurement) -> Array:
    """Grey levels (H, W) of a view minus those of its matches in the other view.

    The measurement is the view's, parallax included.
    """
    columns, rows = pixel_grid(view.shape[-2:], like=view)
    match = columns + measurement.flow[..., 0], rows + measurement.flow[..., 1]
    xp = library(view)
    return view - sample_image(xp.asarray(other, dtype=xp.float32), *match)


def measure_noise(brightness_difference: Array, measurement: Measurement) -> float:
    """Standard deviation of a view's noise in [0, 1], from its result of `compare_along_flow`."""
    difference = brightness_difference[measurement.trusted]
    if not difference.size:
        return 0.0
    return robust_std(difference - np.median(difference)) / math.sqrt(NOISE_VARIANCES) / 255


def measure_pair(pair: Tensor, scan_time: Tensor | None = None) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and of b2t, parallax included.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
    """
    t2b, b2t = map(to_luma, to_pixels(pair))
    with single_threaded_opencv():
        return measure_motion((t2b, b2t), Scan.of(scan_time, pair.shape[-2]))


def to_pixels(images: Tensor) -> Array:
    """Convert images (N, 3, H, W) to an array (N, H, W, 3)."""
    return images.detach().float().permute(0, 2, 3, 1).cpu().contiguous().numpy()


def check_flow(flow: Array, backward: Array, scan: Scan) -> Measurement:
    """Measurement of a view with this scan; its confidence is a forward-backward check."""
    height, width = flow.shape[-3:-1]
    columns, rows = pixel_grid((height, width), like=flow)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    squared_error = ((flow + sample_image(backward, x, y)) ** 2).sum(-1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    own = scan.at(rows)
    confidence = library(flow).exp(-squared_error / (2 * _ERROR_SCALE**2)) * inside
    return Measurement(flow, own, scan.reversed.at(y) - own, confidence)
