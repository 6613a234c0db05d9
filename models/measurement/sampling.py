"""Images sampled between their pixels, by OpenCV. Arrays are NumPy."""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]

_BLUR = 0.8  # px, standard deviation; takes what sampling between pixels cannot represent


def sample_image(values: Array, x: Array, y: Array, interpolation: int = cv2.INTER_LINEAR) -> Array:
    """Sample (H, W) or (H, W, C) at pixels (x, y), beyond the border at the nearest.

    Bilinearly by default; `interpolation` is one of OpenCV's.
    """
    sampled = cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def spacing_between(size: tuple[int, int], least: int, most: int) -> int:
    """Pixels between the points of a grid: `least`, or so many that (H, W) has `most` points."""
    return max(least, math.ceil(math.sqrt(size[0] * size[1] / most)))


class SmoothedView(NamedTuple):
    """A view blurred so little that it can be sampled to hundredths of a pixel.

    Attributes:
        level: (H, W) grey levels.
    """

    level: Array

    @classmethod
    def of(cls, view: Luma) -> "SmoothedView":
        """Blur a view (H, W)."""
        level = cv2.GaussianBlur(view.astype(np.float32), (0, 0), _BLUR)
        return cls(np.asarray(level, np.float32))

    def at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Levels (h, w) at pixels (x, y), beyond the border the nearest, and `slopes` there."""
        # OpenCV's bicubic kernel errs by hundredths of a pixel, and alike where phases are alike.
        return sample_image(self.level, x, y, cv2.INTER_LANCZOS4), self.slopes(x, y)

    def slopes(self, x: Array, y: Array) -> Array:
        """Change (h, w, 2) of the level along x and y, per px, at pixels (x, y)."""
        along_x = sample_image(self.level, x + 1, y) - sample_image(self.level, x - 1, y)
        along_y = sample_image(self.level, x, y + 1) - sample_image(self.level, x, y - 1)
        return np.asarray(np.stack((along_x, along_y), axis=-1) / 2, np.float32)
