"""Structural similarity (Wang et al., 2004) of 8-bit images, by OpenCV or on a device."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data.files.images import Image

RADIUS = 5
"""Pixels on each side of the centre of a window."""

WINDOW = 2 * RADIUS + 1
"""Pixels along each side of a window."""

_SIGMA = 1.5
_PEAK = 255.0
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


def quicker_device(device: torch.device) -> torch.device | None:
    """The device where frames are, if it computes `similarity` sooner than OpenCV does."""
    return device if device.type == "cuda" else None


def similarity(
    first: Image, second: Image, device: torch.device | None = None
) -> NDArray[np.float64]:
    """SSIM (h, w, 3) of each channel in each window inside two images.

    Gaussian 11x11 windows of sigma 1.5, population covariance, in double precision.

    Args:
        first: (H, W, 3) uint8, at least `WINDOW` pixels a side.
        second: of the same size.
        device: that computes it, of any kind with float64; by default OpenCV does, on the CPU.
    """
    if device is None:
        return np.asarray(
            _compare(first.astype(np.float64), second.astype(np.float64), _windowed), np.float64
        )
    images = torch.from_numpy(np.stack((first, second))).to(device)
    x, y = images.movedim(-1, 1).double()[:, :, None].unbind()  # (3, 1, H, W)
    found: NDArray[np.float64] = _compare(x, y, _windowed_tensor)[:, 0].movedim(0, -1).cpu().numpy()
    return found


def _compare(x: Any, y: Any, windowed: Callable[[Any], Any]) -> Any:
    """SSIM in each window, given the images and what takes the means over windows."""
    mean_x, mean_y = windowed(x), windowed(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = windowed(x * y) - product
    variances = windowed(x * x + y * y) - squares
    luminance = (2 * product + _C1) / (squares + _C1)
    return luminance * (2 * covariance + _C2) / (variances + _C2)


def _kernel() -> NDArray[np.float64]:
    """Weights (`WINDOW`, 1) along either axis of a window."""
    return np.asarray(cv2.getGaussianKernel(WINDOW, _SIGMA, cv2.CV_64F), np.float64)


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of (H, W, 3) over all windows inside the image."""
    mean = np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, _kernel(), _kernel()), np.float64)
    inner = slice(RADIUS, -RADIUS)
    return mean[inner, inner]


def _windowed_tensor(values: Tensor) -> Tensor:
    """Gaussian means of (3, 1, H, W) over all windows inside the image."""
    down = torch.from_numpy(_kernel())[None, None].to(values.device)
    return F.conv2d(F.conv2d(values, down), down.mT)
