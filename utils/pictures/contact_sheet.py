"""Contact sheets: captioned pictures in rows, such as both inputs above the corrected frames."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from data.camera_timing import Direction
from data.files.images import Image
from utils.errors import InputError

_SHEET_WIDTH = 1280
_GAP = 16
_CAPTION_HEIGHT = 26
_FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"
_FONT_SIZE = 13.2  # px
_MAX_COLUMNS = 6
_MAX_ASPECT = 1.5  # height of a picture / width of its cell
_PAPER, _INK = 255, "#333333"

_READ: dict[Direction, str] = {
    "t2b": "top to bottom",
    "b2t": "bottom to top",
    "l2r": "left to right",
    "r2l": "right to left",
}

SheetRow = Sequence[tuple[Image, str]]
"""Pictures side by side, each with its caption."""


def draw_contact_sheet(
    t2b: Image,
    b2t: Image,
    frames: Sequence[Image],
    times: Sequence[float],
    *,
    directions: tuple[Direction, Direction] = ("t2b", "b2t"),
) -> Image:
    """Draw the inputs side by side and, below them, the frames in rows, with captions.

    Args:
        t2b: (H, W, 3) uint8 RGB, any size.
        b2t: of the same size.
        frames: of the same size, at least one.
        times: the instant of each frame in [0, 1].
        directions: readout directions of `t2b` and `b2t` in these pictures.

    Returns:
        The sheet, (H', W', 3) uint8 RGB.
    """
    columns = min(_MAX_COLUMNS, max(2, math.ceil(math.sqrt(len(frames)))))
    inputs = [
        (image, f"input {direction}, read {_READ[direction]}")
        for image, direction in zip((t2b, b2t), directions, strict=True)
    ]
    made = [(frame, f"t = {time:.4g}") for frame, time in zip(frames, times, strict=True)]
    rows = [made[start : start + columns] for start in range(0, len(made), columns)]
    return draw_sheet([(inputs, 2), *((row, columns) for row in rows)])


def draw_sheet(rows: Sequence[tuple[SheetRow, int]]) -> Image:
    """Draw rows of captioned pictures, each with the number of columns that share its width.

    Returns:
        The sheet, (H', W', 3) uint8 RGB.
    """
    strips = [np.full((_GAP, _SHEET_WIDTH, 3), _PAPER, np.uint8)]
    captions = []
    for row, columns in rows:
        width = (_SHEET_WIDTH - _GAP) // columns - _GAP
        pictures = [_fit(picture, width) for picture, _ in row]
        height = _CAPTION_HEIGHT + max(picture.shape[0] for picture in pictures) + _GAP
        strip = np.full((height, _SHEET_WIDTH, 3), _PAPER, np.uint8)
        top = sum(len(above) for above in strips)
        for index, (picture, (_, text)) in enumerate(zip(pictures, row, strict=True)):
            left = _GAP + index * (width + _GAP)
            captions.append((text, left, top))
            centred = left + (width - picture.shape[1]) // 2
            strip[_CAPTION_HEIGHT:, centred : centred + picture.shape[1]][: len(picture)] = picture
        strips.append(strip)
    return _write_captions(np.concatenate(strips), captions)


def _fit(picture: Image, width: int) -> Image:
    """Scale a picture to the width of its cell, or less if it would become too high."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, _MAX_ASPECT * width / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def _write_captions(sheet: Image, captions: Sequence[tuple[str, int, int]]) -> Image:
    """Write texts, each into the space whose left and top edge are given in pixels."""
    picture = PIL.Image.fromarray(sheet)
    drawing, font = ImageDraw.Draw(picture), _font()
    for text, left, top in captions:
        place = left, top + _CAPTION_HEIGHT / 2
        drawing.text(place, text, fill=_INK, font=font, anchor="lm")
    return np.array(picture)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans from the files of Matplotlib, whose import would take longer than the sheet.

    Raises:
        InputError: Matplotlib is not installed.
    """
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        raise InputError("Matplotlib is not installed; pip install -r requirements.txt")
    return ImageFont.truetype(Path(package.origin).parent / _FONT, _FONT_SIZE)
