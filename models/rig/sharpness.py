"""How sharp an image is: the blur of its edges, in pixels."""

import cv2
import numpy as np
import numpy.typing as npt

from models.flow.dis import single_threaded_opencv

Array = npt.NDArray[np.float32]

_FINE, _COARSE = 0.7, 2.0  # px by which the image is blurred further
_DIFFERENCES = 1 / 3  # variance of the blur of a difference over two pixels
_EDGES = 0.02  # share of the pixels, those with the strongest gradients, taken for edges
_SHARPEST = 75  # percentile of the edges that counts: many edges are soft by themselves
_LEAST_GRADIENT = 2.5  # of 255 per px, below which there is no edge


def edge_blur(grey: npt.NDArray[np.uint8]) -> float | None:
    """Standard deviation in px of the Gaussian that would blur ideal steps to the edges seen.

    After Zhuo and Sim (2011): the gradients at the edges, at two known further blurs, tell how
    blurred they were before. Pixels alone blur by about 0.3.

    Args:
        grey: (H, W).

    Returns:
        The blur, or None in an image without edges.
    """
    with single_threaded_opencv():
        fine, coarse = (_gradient(grey.astype(np.float32), further) for further in (_FINE, _COARSE))
    least = max(float(np.quantile(fine, 1 - _EDGES)), _LEAST_GRADIENT)
    edges = fine >= least
    if not edges.any():
        return None
    # Gradients at a step are inverse to its blur: ratio^2 = (own^2 + coarse^2)/(own^2 + fine^2).
    ratio = float(np.percentile(fine[edges] / np.maximum(coarse[edges], 1e-6), _SHARPEST))
    square = max(ratio**2, 1.0001)
    own = (_COARSE**2 - square * _FINE**2) / (square - 1) - _DIFFERENCES
    return max(own, 0.0) ** 0.5


def _gradient(grey: Array, blur: float) -> Array:
    """(H, W) magnitude of the gradient of the blurred image, per px."""
    blurred = cv2.GaussianBlur(grey, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    along_x, along_y = (
        cv2.Sobel(blurred, cv2.CV_32F, *order, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    )
    magnitude: Array = np.hypot(along_x, along_y)
    return magnitude
