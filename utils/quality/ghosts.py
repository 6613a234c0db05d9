"""Ghosts of a frame without its truth: lost sharpness and double edges, against both views.

Where the views brought to the frame's instant disagree (by an error of the motion, or because one
of them does not see the point), a method that averages shows both, half transparent.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from data.files.images import Image
from models.measurement.arrays import Array, Bools
from models.measurement.sampling import gaussian_blur
from utils.quality.views import ViewsAtInstant, steepness

WORST_PLACES = 5
"""Percentile of the sharpness over edges that is reported beside the mean."""

_MIN_STEEPNESS = 6.0  # levels of 255 per px of an edge
_MAX_DOUBT = 0.25  # of the views' difference, within which a frame shows one of them
_REACH = 2  # px, by which views may be displaced without disagreeing
_MIN_DIFFERENCE = 12.0  # levels of 255, root of the sum of squares over the channels
_NOISE_FACTOR = 6.0  # standard deviations of noise that are no disagreement
_NEAR = 4.0  # px, standard deviation of the window in which a frame is compared with either view
_MIN_RMS = 4.0  # levels of 255, above noise, by which views differ in such a window


def edge_sharpness(frame: Image, views: ViewsAtInstant, border: int = 0) -> float:
    """Mean over edges of the frame's sharpness relative to that of the sharper view.

    At each pixel near an edge, the frame's `steepness` is divided by the larger of the two views',
    or, where the frame shows one of the views and the other differs, by that of this view. Ratios
    above 1 count as 1.

    Args:
        frame: (H, W, 3) uint8.
        views: at the frame's instant.
        border: pixels left out on each side.

    Returns:
        From 0 to 1; NaN if there are no edges.
    """
    ratios = _sharpness(frame, views, border)
    return float(ratios.mean()) if ratios.size else math.nan


def worst_sharpness(frame: Image, views: ViewsAtInstant, border: int = 0) -> float:
    """The sharpness of `edge_sharpness` that 5 % of the places near edges fall below."""
    ratios = _sharpness(frame, views, border)
    return float(np.percentile(ratios, WORST_PLACES)) if ratios.size else math.nan


def double_edges(frame: Image, views: ViewsAtInstant, border: int = 0) -> float:
    """How far a frame is a mixture of the views where these disagree.

    Views disagree at a pixel if the one has a colour there that the other has nowhere within 2 px.
    With the distances a and b of the frame to the views, d between the views, and m to the nearest
    mixture of both, the pixel counts (min(a, b) - m) / (d / 2): 1 for the mean of both views, 0 for
    either of them and for anything that is no mixture. a and b are to the nearest colour within
    1 px, so neither blur nor a small displacement of one view counts.

    Args:
        frame: (H, W, 3) uint8.
        views: at the frame's instant.
        border: pixels left out on each side.

    Returns:
        Mean from 0 to 1 over the pixels where the views disagree; NaN if they agree everywhere.
    """
    inner = _inner(views.inside, border)
    first, second = (view[inner].astype(np.float32) for view in views.images)
    used = _disagreement(first, second, views.noise) & views.inside[inner]
    if not used.any():
        return math.nan
    shown = frame[inner].astype(np.float32)
    nearest = np.minimum(_distance_to(first, shown, 1), _distance_to(second, shown, 1))
    difference = (first - second)[used]
    squared = np.square(difference).sum(-1)  # positive where the views disagree
    to_second = (shown - second)[used]
    share = np.clip((to_second * difference).sum(-1) / squared, 0, 1)
    to_mixture = np.linalg.norm(to_second - share[:, None] * difference, axis=-1)
    counted = (nearest[used] - to_mixture) / (0.5 * np.sqrt(squared))
    return float(np.clip(counted, 0, 1).mean())


def _sharpness(frame: Image, views: ViewsAtInstant, border: int) -> NDArray[np.float32]:
    """Ratios at the pixels near edges."""
    inner = _inner(views.inside, border)
    first, second = (steep[inner] for steep in views.steepness)
    shown, *images = (image[inner].astype(np.float32) for image in (frame, *views.images))
    to_first, to_second, between = (
        gaussian_blur(np.square(_length(one - other)), _NEAR)
        for one, other in ((shown, images[0]), (shown, images[1]), (images[0], images[1]))
    )
    grain = np.float32(6 * views.noise**2)  # mean square that the noise of both images adds
    differ = between > grain + _MIN_RMS**2
    close = _MAX_DOUBT**2 * between + grain
    shows_first = differ & (to_first < np.minimum(close, to_second))
    shows_second = differ & (to_second < np.minimum(close, to_first))
    sharper = np.maximum(first, second)
    expected = np.where(shows_first, first, np.where(shows_second, second, sharper))
    edges = (expected > _MIN_STEEPNESS) & views.inside[inner]
    return np.minimum(steepness(frame)[inner][edges] / expected[edges], 1)


def _disagreement(first: Array, second: Array, noise: float) -> Bools:
    """Pixels (h, w) where a view has a colour that the other has nowhere within `_REACH`."""
    difference = np.maximum(
        _length(_excess(second, first, _REACH)), _length(_excess(first, second, _REACH))
    )
    return difference > max(_MIN_DIFFERENCE, _NOISE_FACTOR * noise)


def _distance_to(view: Array, shown: Array, reach: int) -> Array:
    """Distance (h, w) of colours to the range of the view's within `reach` px."""
    return _length(_excess(view, shown, reach))


def _excess(view: Array, shown: Array, reach: int) -> Array:
    """By how much (h, w, 3) values lie outside the range of the view's within `reach` px."""
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    lowest, highest = cv2.erode(view, window), cv2.dilate(view, window)
    return np.maximum(np.maximum(lowest - shown, shown - highest), 0)


def _length(colours: Array) -> Array:
    """Lengths (h, w) of colours (h, w, 3)."""
    red, green, blue = cv2.split(colours)
    return np.sqrt(red * red + green * green + blue * blue)


def _inner(like: Bools, border: int) -> tuple[slice, slice]:
    """The pixels of (H, W) inside a border."""
    height, width = like.shape
    return slice(border, height - border), slice(border, width - border)
