"""Errors of frames as colour: black where there is none, over red to bright yellow."""

import cv2
import numpy as np
import numpy.typing as npt

from utils.metrics import Image

BRIGHTEST_ERROR = 64
"""Levels of 255 at and above which an error is drawn in the brightest colour."""

_LEGEND_SIZE = (14, 200)


def error_picture(frame: Image, truth: Image) -> Image:
    """Draw the largest error of the channels of each pixel; both images (H, W, 3) uint8.

    The scale is always the same, so pictures can be compared.
    """
    error = np.abs(frame.astype(np.int16) - truth).max(axis=2)
    return _heat(np.minimum(error / BRIGHTEST_ERROR, 1))


def draw_error_scale() -> Image:
    """Legend: the colours of errors from 0 to `BRIGHTEST_ERROR`, left to right."""
    height, width = _LEGEND_SIZE
    return _heat(np.linspace(0, 1, width)[None].repeat(height, axis=0))


def _heat(share: npt.NDArray[np.floating]) -> Image:
    levels = np.asarray(np.round(share * 255), np.uint8)
    heated = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(heated, cv2.COLOR_BGR2RGB), np.uint8)
