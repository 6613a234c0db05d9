"""What optical flow between the two views of a capture says about motion.

A point is exposed at one instant in t2b and at another in b2t; the flow between the images is its
displacement over that gap, and what is left where there is no gap is parallax between the cameras.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.flow_dis import search_flow, to_luma

Array = npt.NDArray[np.float32]

_TRUSTED_ERROR = 1.5  # px by which the flows there and back may miss each other
_PARALLAX_GAP, _PARALLAX_STRIP, _PARALLAX_PIXELS = 0.12, 40, 100
_PARALLAX_SHARE = 0.25  # of the pixels that must lie to either side of no gap
_LEAST_PARALLAX = 0.3  # px
_LEAST_CERTAINTY, _LEAST_INTERCEPTS = 3.0, 4  # standard errors, of so many strips


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
    t2b: Array, b2t: Array, scan: tuple[float, float]
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and of b2t, parallax included.

    Args:
        t2b: (H, W, 3) RGB in [0, 1].
        b2t: (H, W, 3).
        scan: exposure instant of the first t2b row, and the step to the next row.
    """
    first, second = to_luma(t2b), to_luma(b2t)
    with ThreadPoolExecutor(2) as pool:
        there, back = pool.map(search_flow, (first, second), (second, first))
    return _measure(there, back, scan, bottom_up=False), _measure(back, there, scan, bottom_up=True)


def estimate_parallax(t2b: Measurement, b2t: Measurement) -> Array:
    """Constant displacement (2,) from t2b to b2t at equal instants; zero where it is in doubt.

    In strips of columns flow is a line over the gap; its value at no gap is the parallax, and the
    strips' disagreement tells how certain their median is.
    """
    found = [*_intercepts(t2b), *(-intercept for intercept in _intercepts(b2t))]
    if len(found) < _LEAST_INTERCEPTS:
        return np.zeros(2, np.float32)
    parallax = np.median(found, axis=0).astype(np.float32)
    spread = 1.5 * np.median(np.hypot(*(np.array(found) - parallax).T))
    independent = len(found) / 2  # both views show the same
    least = max(_LEAST_PARALLAX, _LEAST_CERTAINTY * spread / independent**0.5)
    return parallax if np.hypot(*parallax) >= least else np.zeros_like(parallax)


def sample_image(values: Array, x: Array, y: Array) -> Array:
    """Sample (H, W) or (H, W, C) bilinearly at pixels (x, y), beyond the border at the nearest."""
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def _measure(
    flow: Array, back: Array, scan: tuple[float, float], *, bottom_up: bool
) -> Measurement:
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    error = ((flow + sample_image(back, x, y)) ** 2).sum(-1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    own, match = scan[0] + scan[1] * rows, 1 - scan[0] - scan[1] * y
    if bottom_up:
        own, match = 1 - own, 1 - match
    confidence = np.exp(-error / (2 * _TRUSTED_ERROR**2)) * inside
    return Measurement(
        flow,
        np.asarray(own, np.float32),
        np.asarray(match - own, np.float32),
        np.asarray(confidence, np.float32),
    )


def _intercepts(measurement: Measurement) -> list[Array]:
    """Flow at no gap in each strip of columns that is well measured to both sides of it."""
    band = (np.abs(measurement.gap) < _PARALLAX_GAP) & (measurement.confidence > 0.5)
    found = []
    for left in range(0, band.shape[1], _PARALLAX_STRIP):
        strip = (slice(None), slice(left, left + _PARALLAX_STRIP))
        chosen = band[strip]
        gap, flow = measurement.gap[strip][chosen], measurement.flow[strip][chosen]
        later = np.count_nonzero(gap > 0)
        fewer = min(later, len(gap) - later)
        if len(gap) >= _PARALLAX_PIXELS and fewer >= _PARALLAX_SHARE * len(gap):
            found.append(_intercept(gap, flow))
    return found


def _intercept(gap: Array, flow: Array) -> Array:
    """Robust value at no gap of lines through the components of `flow`."""
    terms = np.stack((gap, np.ones_like(gap)), axis=1)
    weight = np.ones_like(gap)
    for _ in range(3):
        weighted = terms * weight[:, None]
        line = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(2), weighted.T @ flow)
        residual = np.hypot(*(flow - terms @ line).T)
        weight = 1 / np.maximum(residual, 0.3)
    intercept: Array = line[1]
    return intercept
