"""Resampling and filtering of images by OpenCV."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import Tensor

from models.measurement.arrays import Array, Floats, Luma
from models.measurement.tensor_sampling import sample_linearly

_BLUR = 0.8  # px, standard deviation; removes what interpolation cannot represent


def pixel_grid(size: tuple[int, ...], step: int = 1) -> tuple[Array, Array]:
    """Coordinates (x, y) of every `step`-th pixel of an image (H, W), each (h, w)."""
    y, x = (np.arange(0, side, step, dtype=np.float32) for side in size)
    grid = np.meshgrid(x, y)
    return grid[0], grid[1]


def sample_image(values: Any, x: Any, y: Any, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """Sample (H, W) or (H, W, C) at pixels (x, y), bilinearly by default; repeat the border."""
    if isinstance(values, Tensor):  # of a batch, (B, H, W, ...)
        assert interpolation == cv2.INTER_LINEAR
        return sample_linearly(values, x, y)
    sampled = cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def area_resize(values: Array, size: tuple[int, int]) -> Array:
    """Means of (H, W) or (H, W, C) over the areas of a coarser grid of (columns, rows)."""
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def box_mean(values: Floats, side: int, border: int = cv2.BORDER_REPLICATE) -> Floats:
    """Means of (H, W) or (H, W, C) over the window of `side` pixels around each pixel."""
    return np.asarray(cv2.boxFilter(values, -1, (side, side), borderType=border), values.dtype)


def gaussian_blur(image: Array, sigma: float, border: int = cv2.BORDER_DEFAULT) -> Array:
    """Blur (H, W) or (H, W, C) with a standard deviation of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


def grid_spacing(size: tuple[int, int], min_spacing: int, max_points: int) -> int:
    """Pixels between the points of a grid over (H, W) that has at most about `max_points`."""
    return max(min_spacing, math.ceil(math.sqrt(size[0] * size[1] / max_points)))


class SmoothedView(NamedTuple):
    """A view, blurred just enough for sampling at an accuracy of hundredths of a pixel."""

    level: Array  # (H, W) grey levels

    @classmethod
    def of(cls, view: Luma) -> "SmoothedView":
        """Blur a view (H, W)."""
        return cls(gaussian_blur(view.astype(np.float32), _BLUR))

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Levels (h, w) at pixels (x, y), with the border repeated, and `slopes` there."""
        # Bicubic interpolation errs by hundredths of a pixel, equally at equal subpixel phases.
        return sample_image(self.level, x, y, cv2.INTER_LANCZOS4), self.slopes(x, y)

    def slopes(self, x: Array, y: Array) -> Array:
        """Central differences (h, w, 2) of the level along x and y, per px, at pixels (x, y)."""
        along_x = sample_image(self.level, x + 1, y) - sample_image(self.level, x - 1, y)
        along_y = sample_image(self.level, x, y + 1) - sample_image(self.level, x, y - 1)
        return np.asarray(np.stack((along_x, along_y), axis=-1) / 2, np.float32)
