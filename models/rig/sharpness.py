"""Sharpness of an image: the blur of its edges in pixels (after Zhuo and Sim, 2011)."""

import cv2
import numpy as np

from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Luma
from models.measurement.sampling import gaussian_blur

_FINE, _COARSE = 0.7, 2.0  # px by which the image is blurred further
_DIFFERENCE_BLUR = 1 / 3  # variance in px² that a central difference adds
_EDGES = 0.02  # share of the pixels, those with the strongest gradients
_SHARPEST = 75  # percentile of the edges that counts: many edges are soft themselves
_MIN_GRADIENT = 2.5  # of 255 per px, below which there is no edge


def edge_blur(grey: Luma) -> float | None:
    """Standard deviation in px of the Gaussian that would blur ideal steps to the edges seen.

    The ratio of the edges' gradients after two known further blurs gives the blur before them. The
    area of a pixel alone blurs by about 0.3. None in an image without edges.
    """
    with single_threaded_opencv():
        fine, coarse = (_gradient(grey.astype(np.float32), sigma) for sigma in (_FINE, _COARSE))
    edges = fine >= max(float(np.quantile(fine, 1 - _EDGES)), _MIN_GRADIENT)
    if not edges.any():
        return None
    # Gradients at a step are inverse to its blur: ratio² = (own² + coarse²) / (own² + fine²).
    ratio = float(np.percentile(fine[edges] / np.maximum(coarse[edges], 1e-6), _SHARPEST))
    square = max(ratio**2, 1.0001)
    own = (_COARSE**2 - square * _FINE**2) / (square - 1) - _DIFFERENCE_BLUR
    return max(own, 0.0) ** 0.5


def _gradient(grey: Array, sigma: float) -> Array:
    """(H, W) magnitude of the gradient of the blurred image, per px."""
    blurred = gaussian_blur(grey, sigma, cv2.BORDER_REPLICATE)
    along_x, along_y = (
        cv2.Sobel(blurred, cv2.CV_32F, *order, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    return np.hypot(along_x, along_y)
