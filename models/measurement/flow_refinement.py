"""Optical flow, refined on the images themselves.

A search by patches at half size (`models.flow.dis`) errs by tenths of a pixel. Steps of least
squares in small windows take most of that (B. Lucas, T. Kanade, IJCAI 1981).

Arrays are NumPy.
"""

import cv2
import numpy as np
import numpy.typing as npt

from models.measurement.sampling import SmoothedView, sample_image, spacing_between
from models.measurement.statistics import fit_levels, geman_mcclure_weight

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_STEPS = 2
_SPACING, _MOST_POINTS = 2, 600_000  # px between the points that are moved; their number
_WINDOW = 5  # points a side
_FARTHEST = 0.5  # px in a step: what errs by more was found wrong
_DOUBT = 10.0  # grey levels of difference that halve a point's influence twice
_LEAST_SLOPE = 1.4  # grey levels per px: below it, the window says little and its point stays
_THINNED = 4  # one of so many points tells how bright the views are
_MARGIN = 2  # px from the border, where the blur knows one side only


def refine_flow(flow: Array, first: SmoothedView, second: SmoothedView) -> Array:
    """Flow (H, W, 2) from `first` to `second`, refined where both show the same.

    Args:
        flow: (H, W, 2) px, right to a pixel or so.
        first: the view whose pixels are followed.
        second: the view in which they are found.
    """
    height, width = first.level.shape
    spacing = spacing_between((height, width), _SPACING, _MOST_POINTS)
    every = (slice(None, None, spacing),) * 2
    all_columns, all_rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    columns, rows = all_columns[every], all_rows[every]
    level, slopes, searched = first.level[every], first.slopes(columns, rows), flow[every]
    refined = searched.copy()
    for _ in range(_STEPS):
        x, y = columns + refined[..., 0], rows + refined[..., 1]
        found_level, found_slopes = second.at(x, y)
        inside = (np.minimum(x, y) >= _MARGIN) & (x < width - _MARGIN) & (y < height - _MARGIN)
        gain, offset = fit_levels(*(part[inside][::_THINNED] for part in (level, found_level)))
        mean_slopes = (gain * slopes + found_slopes) / np.float32(2)
        refined += _step(mean_slopes, gain * level + offset - found_level, inside)
    x, y = (np.asarray(place / spacing, np.float32) for place in (all_columns, all_rows))
    correction: Array = sample_image(refined - searched, x, y)
    return flow + correction


def _step(slopes: Array, difference: Array, inside: Bools) -> Array:
    """Displacement (h, w, 2) in px by which each window's differences (h, w) become least."""
    weight = (inside * geman_mcclure_weight((difference / _DOUBT) ** 2)).astype(np.float32)
    weighted = slopes * weight[..., None]
    squares = _in_windows(weighted * slopes) + np.float32(_LEAST_SLOPE**2)
    across = _in_windows(weighted[..., 0] * slopes[..., 1])
    right = _in_windows(weighted * difference[..., None])
    determinant = squares[..., 0] * squares[..., 1] - across**2
    along_x = (squares[..., 1] * right[..., 0] - across * right[..., 1]) / determinant
    along_y = (squares[..., 0] * right[..., 1] - across * right[..., 0]) / determinant
    shorter = np.maximum(np.hypot(along_x, along_y) / np.float32(_FARTHEST), 1)
    return np.stack((along_x / shorter, along_y / shorter), axis=-1)


def _in_windows(values: Array) -> Array:
    """Means of (h, w) or (h, w, C) over the window around each point."""
    means = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(means, np.float32)
