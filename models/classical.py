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

from models.capture_checks import check_scan, check_size, check_times
from models.flow_dis import single_threaded_opencv
from models.flow_measurement import scan_of, to_pixels
from models.motion_estimation import estimate_motion
from models.motion_field import (
    MotionField,
    Sampling,
    cell_centres,
    enlarge_cells,
    sample_frame,
)

Array = npt.NDArray[np.float32]

_LEAST_DISTANCE = 1e-2  # in time, below which an input counts no more
_BORDER_FADE = 0.5  # px beyond an input's border over which it loses its weight


def correct_classically(
    pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
) -> Tensor:
    """Global-shutter frames of one capture.

    Both inputs are sampled bicubically where each pixel's point was exposed, and averaged with
    weights that fall with the square of the time from the frame to the exposure.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these H rows by default.

    Returns:
        (T, 3, H, W) float32 in [0, 1] on the pair's device.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    frames, _ = correct_with_field(pair, times, scan_time=scan_time)
    return frames


def correct_with_field(
    pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
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
    t2b, b2t = to_pixels(pair)
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        field = estimate_motion(t2b, b2t, scan_of(scan_time, height))
        frames = list(pool.map(lambda t: _render(field, (t2b, b2t), t), times))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).to(pair.device), field


def view_weight(view: Sampling, t: float, size: tuple[int, int]) -> Array:
    """Weight (h, w) of a view's samples in the frame at instant `t`; positive.

    Args:
        view: where the frame's cells were exposed.
        t: in [0, 1].
        size: (H, W) of the image.
    """
    beyond_x = np.maximum(-view.x, view.x - (size[1] - 1))
    beyond_y = np.maximum(-view.y, view.y - (size[0] - 1))
    outside = np.maximum(np.maximum(beyond_x, beyond_y), 0)
    closeness = 1 / ((view.instant - t) ** 2 + _LEAST_DISTANCE**2)
    weight: Array = closeness * np.exp(-np.minimum(outside / _BORDER_FADE, 30))
    return weight


def _render(field: MotionField, images: tuple[Array, Array], t: float) -> Array:
    """The frame (H, W, 3) at instant `t`."""
    height, width = images[0].shape[:2]
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    weights = [view_weight(view, t, (height, width)) for view in views]
    share = enlarge_cells(weights[0] / (weights[0] + weights[1]), (height, width))[..., None]
    first, second = (_bring(image, view) for image, view in zip(images, views, strict=True))
    frame: Array = np.clip(share * first + (1 - share) * second, 0, 1)
    return frame


def _bring(image: Array, view: Sampling) -> Array:
    """Sample an image (H, W, 3) bicubically where a frame's pixels were exposed."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    centre_x, centre_y = cell_centres(*view.x.shape)
    offset = enlarge_cells(
        np.stack((view.x - centre_x, view.y - centre_y), axis=-1), (height, width)
    )
    place = x + offset[..., 0], y + offset[..., 1]
    brought = cv2.remap(image, *place, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(brought, dtype=np.float32)
