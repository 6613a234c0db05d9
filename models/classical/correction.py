"""Correction without a network: both inputs sampled along the estimated motion.

It needs no weights and takes any size. It cannot detect occlusions or fill in what neither input
shows; that is left to the networks.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from models.classical.blending import choose, informed
from models.classical.border_extrapolation import MARGIN, extrapolate_borders
from models.classical.estimation import estimate_motion
from models.classical.field import Exposed, MotionField, cell_centres, enlarge_strip, sample_frame
from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Bools, library
from models.measurement.flow_measurement import to_pixels
from models.measurement.sampling import sample_image
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size, check_times
from models.parts.settings import Blending
from models.progress import tell_share

_MIN_DISTANCE = 1e-2  # readouts: inputs that are nearer in time do not count more
_MOTION_ERROR = 0.05  # of [0, 1] per readout
_BORDER_FADE = 0.5  # px beyond an input's border over which its weight fades
_PIXELS_AT_ONCE = 2**25  # of all frames in progress
_STRIP = 2**18  # pixels of a frame that are rendered at once


def correct_with_field(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    rows: Tensor | None = None,
    motion: MotionField | None = None,
    blending: Blending = "choose",
) -> tuple[Tensor, MotionField]:
    """Global-shutter frames of one capture, and the motion they were sampled along.

    Both inputs, extrapolated beyond their borders, are sampled bicubically where each pixel's point
    is exposed. Their weights are the inverse of the expected squared error: that of the motion,
    which grows with the time from the frame to the exposure, plus that of the noise. Where they
    differ by more than noise, one of clearly larger weight is taken (`models.classical.blending`).

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) evenly spaced exposure times of t2b's rows; by default they fill the whole
            readout.
        rows: (T, H) bool, rows of each frame that are needed; others may be black. Default: all.
        motion: of the capture, if it is known; default: estimated here. Tensors of a batch of one
            are brought to the CPU.
        blending: "choose", or "average" for the weighted mean everywhere.

    Returns:
        Frames (T, 3, H, W) float32 in [0, 1] on the pair's device, and the motion.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    height, _ = check_size(pair)
    check_times(times)
    if scan_time is not None:
        check_scan(scan_time, height)
    extended = to_pixels(extrapolate_borders(pair))
    t2b, b2t = extended[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    at_once = min(os.cpu_count() or 1, max(_PIXELS_AT_ONCE // t2b[..., 0].size, 1))
    with single_threaded_opencv(), ThreadPoolExecutor(at_once) as pool:
        field = motion.on_host if motion else estimate_motion(t2b, b2t, Scan.of(scan_time, height))
        frames = np.zeros((len(times), *t2b.shape), np.float32)
        needed = np.ones(frames.shape[:2], bool) if rows is None else rows.numpy()
        rendered = pool.map(partial(_render, field, extended, blending), times, frames, needed)
        for number, _ in enumerate(rendered, start=1):
            tell_share(number / len(times))
    return torch.from_numpy(frames).permute(0, 3, 1, 2).to(pair.device), field


def view_weight(view: Exposed, size: Sequence[int], noise: float) -> Array:
    """Weight (h, w) of a view's samples in a frame; positive.

    It is the inverse of the expected squared error, and fades outside the image of (H, W).
    """
    xp = library(view.x)
    beyond_x = xp.maximum(-view.x, view.x - (size[1] - 1))
    beyond_y = xp.maximum(-view.y, view.y - (size[0] - 1))
    outside = xp.maximum(beyond_x, beyond_y).clip(0, None)
    closeness = 1 / (view.offset**2 + _MIN_DISTANCE**2 + (noise / _MOTION_ERROR) ** 2)
    weight: Array = closeness * xp.exp(-(outside / _BORDER_FADE).clip(None, 30))
    return weight


def _render(
    field: MotionField, extended: Array, blending: Blending, t: float, frame: Array, needed: Bools
) -> None:
    """Write the needed rows (H,) of the frame (H, W, 3) at `t`, in strips to save memory."""
    height, width = frame.shape[:2]
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    weights = [view_weight(view, (height, width), field.noise) for view in views]
    share = weights[0] / (weights[0] + weights[1])
    strength = informed(*(view.offset for view in views))
    x, y = cell_centres(*share.shape)
    offsets = [np.stack((view.x - x, view.y - y), axis=-1) for view in views]
    count = max(_STRIP // width, 1)
    for top in range(0, height, count):
        rows = slice(top, min(top + count, height))
        if not needed[rows].any():
            continue
        first, second = (
            _warp_rows(view, enlarge_strip(offset, rows, width), top)
            for view, offset in zip(extended, offsets, strict=True)
        )
        part = enlarge_strip(share, rows, width)[..., None]
        if blending == "average":
            np.clip(part * first + (1 - part) * second, 0, 1, out=frame[rows])
            continue
        mixed = first - second
        squared = np.einsum("hwc,hwc->hw", mixed, mixed)[..., None]
        choice = enlarge_strip(strength, rows, width)[..., None]
        mixed *= choose(part, choice, squared, field.noise)
        mixed += second
        np.clip(mixed, 0, 1, out=frame[rows])


def _warp_rows(extended: Array, offset: Array, top: int) -> Array:
    """Sample an image bicubically at the pixels of rows from `top` on plus an offset (h, W, 2)."""
    height, width = offset.shape[:2]
    x = np.arange(MARGIN, MARGIN + width, dtype=np.float32)
    y = np.arange(MARGIN + top, MARGIN + top + height, dtype=np.float32)
    place = x + offset[..., 0], y[:, None] + offset[..., 1]
    return sample_image(extended, *place, cv2.INTER_CUBIC)
