"""Correction without a network: estimated motion, and both inputs sampled along it.

It needs no weights and takes any size. What it cannot do is tell what is hidden behind what, and
fill in what neither input shows: that is left to the networks.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classical.border_extrapolation import MARGIN, continue_images
from models.classical.estimation import estimate_motion
from models.classical.field import (
    Exposed,
    MotionField,
    cell_centres,
    enlarge_strip,
    sample_frame,
)
from models.flow.dis import FlowSearch, search_both_ways, single_threaded_opencv
from models.measurement.flow_measurement import to_pixels
from models.measurement.sampling import sample_image
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size, check_times

Array = npt.NDArray[np.float32]

_LEAST_DISTANCE = 1e-2  # in readouts: inputs that are closer do not count for more
_ERROR = 0.05  # of [0, 1] per readout, by which motion errs: noise as large counts as a readout
_BORDER_FADE = 0.5  # px beyond an input's border over which it loses its weight
_PIXELS_AT_ONCE = 2**25  # of frames that are being made
_STRIP = 2**18  # pixels of a frame that are being made


def correct_classically(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    search: FlowSearch = search_both_ways,
) -> Tensor:
    """Global-shutter frames of one capture.

    Both inputs, continued beyond their borders, are sampled bicubically where each pixel's point
    was exposed, and averaged with weights that fall with the square of the time from the frame to
    the exposure: the less steeply, the more noise there is.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row, evenly spaced; a readout of exactly these H
            rows by default.
        search: finds the flows between the views.

    Returns:
        (T, 3, H, W) float32 in [0, 1] on the pair's device.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    frames, _ = correct_with_field(pair, times, scan_time=scan_time, search=search)
    return frames


def correct_with_field(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    search: FlowSearch = search_both_ways,
) -> tuple[Tensor, MotionField]:
    """`correct_classically`, and the motion that it samples the inputs along.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    height, _ = check_size(pair)
    check_times(times)
    if scan_time is not None:
        check_scan(scan_time, height)
    continued = to_pixels(continue_images(pair))
    t2b, b2t = continued[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    at_once = min(os.cpu_count() or 1, max(_PIXELS_AT_ONCE // t2b[..., 0].size, 1))
    with single_threaded_opencv(), ThreadPoolExecutor(at_once) as pool:
        field = estimate_motion(t2b, b2t, Scan.of(scan_time, height), search=search)
        frames = np.empty((len(times), *t2b.shape), np.float32)
        list(pool.map(lambda frame, t: _render(field, continued, t, frame), frames, times))
    return torch.from_numpy(frames).permute(0, 3, 1, 2).to(pair.device), field


def view_weight(view: Exposed, size: tuple[int, int], noise: float) -> Array:
    """Weight (h, w) of a view's samples in a frame; positive.

    The inverse of what they are expected to err by, squared: by motion, in proportion to the time
    from the frame to the exposure, and by noise.

    Args:
        view: where the frame's cells were exposed.
        size: (H, W) of the image.
        noise: standard deviation of the view's noise, of [0, 1].
    """
    beyond_x = np.maximum(-view.x, view.x - (size[1] - 1))
    beyond_y = np.maximum(-view.y, view.y - (size[0] - 1))
    outside = np.maximum(np.maximum(beyond_x, beyond_y), 0)
    closeness = 1 / (view.offset**2 + _LEAST_DISTANCE**2 + (noise / _ERROR) ** 2)
    weight: Array = closeness * np.exp(-np.minimum(outside / _BORDER_FADE, 30))
    return weight


def _render(field: MotionField, continued: Array, t: float, frame: Array) -> None:
    """Make the frame (H, W, 3) at instant `t` of both continued inputs.

    In strips: what they take in between is large.
    """
    height, width = frame.shape[:2]
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    weights = [view_weight(view, (height, width), field.noise) for view in views]
    share = weights[0] / (weights[0] + weights[1])
    x, y = cell_centres(*share.shape)
    offsets = [np.stack((view.x - x, view.y - y), axis=-1) for view in views]
    count = max(_STRIP // width, 1)
    for top in range(0, height, count):
        rows = slice(top, min(top + count, height))
        first, second = (
            _bring(view, enlarge_strip(offset, rows, width), top)
            for view, offset in zip(continued, offsets, strict=True)
        )
        part = enlarge_strip(share, rows, width)[..., None]
        np.clip(part * first + (1 - part) * second, 0, 1, out=frame[rows])


def _bring(continued: Array, offset: Array, top: int) -> Array:
    """Sample an image bicubically at the pixels of rows from `top` on plus an offset (h, W, 2)."""
    height, width = offset.shape[:2]
    x = np.arange(MARGIN, MARGIN + width, dtype=np.float32)
    y = np.arange(MARGIN + top, MARGIN + top + height, dtype=np.float32)
    place = x + offset[..., 0], y[:, None] + offset[..., 1]
    return sample_image(continued, *place, cv2.INTER_CUBIC)
