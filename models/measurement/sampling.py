"""Resampling and filtering of images: by OpenCV, or of batches of tensors by PyTorch."""

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from models.measurement import tensor_sampling
from models.measurement.arrays import Array, Bools, Floats, Luma, library

_BLUR = 0.8  # px, standard deviation; removes what interpolation cannot represent


def pixel_grid(size: tuple[int, ...], step: int = 1, *, like: Any = None) -> tuple[Any, Any]:
    """Coordinates (x, y) of every `step`-th pixel of an image (H, W), each (h, w).

    They are of the library and on the device of `like`; tensors are (1, h, w).
    """
    return coordinate_grid(*((0, side, step) for side in size[::-1]), like=like)


def coordinate_grid(
    columns: tuple[int, int, int], rows: tuple[int, int, int], *, like: Any = None
) -> tuple[Any, Any]:
    """Coordinates (x, y), each (h, w), given start, stop and step; `like` as in `pixel_grid`."""
    if isinstance(like, Tensor):
        x, y = (
            torch.arange(start, max(start, stop), step, device=like.device).float()
            for start, stop, step in (columns, rows)
        )
        grid: Any = torch.meshgrid(x, y, indexing="xy")
        return grid[0][None], grid[1][None]
    grid = np.meshgrid(*(np.arange(*part, dtype=np.float32) for part in (columns, rows)))
    return grid[0], grid[1]


def sample_image(values: Any, x: Any, y: Any, interpolation: int = cv2.INTER_LINEAR) -> Any:
    """Sample (H, W) or (H, W, C) at pixels (x, y), bilinearly by default; repeat the border."""
    if isinstance(values, Tensor):
        if interpolation == cv2.INTER_LINEAR:
            return tensor_sampling.sample_linearly(values, x, y)
        assert interpolation == cv2.INTER_LANCZOS4
        return tensor_sampling.sample_by_lanczos(values, x, y)
    sampled = cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def area_resize(values: Array, size: tuple[int, int]) -> Array:
    """Means of (H, W) or (H, W, C) over the areas of a coarser grid of (columns, rows)."""
    if isinstance(values, Tensor):
        return tensor_sampling.mean_by_area(values, size)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def box_mean(values: Floats, side: int, border: int = cv2.BORDER_REPLICATE) -> Floats:
    """Means of (H, W) or (H, W, C) over the window of `side` pixels around each pixel."""
    if isinstance(values, Tensor):
        return tensor_sampling.mean_in_boxes(values, side, mirrored=border == cv2.BORDER_DEFAULT)
    return np.asarray(cv2.boxFilter(values, -1, (side, side), borderType=border), values.dtype)


def dilate(mask: Bools, side: int) -> Bools:
    """Whether any pixel is set in the window of `side` pixels around each pixel of (H, W)."""
    if isinstance(mask, Tensor):
        return tensor_sampling.any_in_boxes(mask, side)
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def gaussian_blur(image: Array, sigma: float, border: int = cv2.BORDER_DEFAULT) -> Array:
    """Blur (H, W) or (H, W, C) with a standard deviation of `sigma` pixels."""
    if isinstance(image, Tensor):
        assert border == cv2.BORDER_DEFAULT
        return tensor_sampling.blur(image, sigma)
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
        return cls(gaussian_blur(library(view).asarray(view, dtype=library(view).float32), _BLUR))

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Levels (h, w) at pixels (x, y), with the border repeated, and `slopes` there."""
        # Bicubic interpolation errs by hundredths of a pixel, equally at equal subpixel phases.
        return sample_image(self.level, x, y, cv2.INTER_LANCZOS4), self.slopes(x, y)

    def slopes(self, x: Array, y: Array) -> Array:
        """Central differences (h, w, 2) of the level along x and y, per px, at pixels (x, y)."""
        if isinstance(self.level, Tensor):
            of_tensors: Array = tensor_sampling.slopes_at(self.level, x, y)
            return of_tensors
        along_x = sample_image(self.level, x + 1, y) - sample_image(self.level, x - 1, y)
        along_y = sample_image(self.level, x, y + 1) - sample_image(self.level, x, y - 1)
        return np.asarray(np.stack((along_x, along_y), axis=-1) / 2, np.float32)
