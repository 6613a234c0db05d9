"""One picture of a correction: both inputs above the frames made from them."""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure

from data.camera_timing import Direction
from data.files.images import Image

_SHEET_WIDTH = 1280
_GAP = 16
_CAPTION_HEIGHT = 26
_FONT_SIZE = 9.5
_DPI = 100
_MAX_COLUMNS = 6
_MAX_ASPECT = 1.5
"""Pictures are shown at most this many times as high as their cell is wide."""

_PAPER, _INK = 255, "#333333"

_READ: dict[Direction, str] = {
    "t2b": "top to bottom",
    "b2t": "bottom to top",
    "l2r": "left to right",
    "r2l": "right to left",
}

SheetRow = Sequence[tuple[Image, str]]
"""Pictures side by side, each with its caption."""


class _Cell(NamedTuple):
    """A picture at its place: left and top edge of the cell in pixels, and the cell's width."""

    picture: Image
    caption: str
    left: int
    top: int
    width: int


def draw_contact_sheet(
    t2b: Image,
    b2t: Image,
    frames: Sequence[Image],
    times: Sequence[float],
    *,
    directions: tuple[Direction, Direction] = ("t2b", "b2t"),
) -> Image:
    """Lay out the inputs side by side and below them the frames row by row, with captions.

    Args:
        t2b: (H, W, 3) uint8 RGB, any size.
        b2t: of the same size.
        frames: of the same size, at least one.
        times: the instant of each frame in [0, 1].
        directions: how `t2b` and `b2t` were read, as the pictures stand.

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
    return _draw([(inputs, 2), *((row, columns) for row in rows)])


def draw_sheet(rows: Sequence[SheetRow], *, columns: int) -> Image:
    """Lay out rows of captioned pictures, each as wide as one of `columns`.

    Returns:
        The sheet, (H', W', 3) uint8 RGB.
    """
    return _draw([(row, columns) for row in rows])


def _draw(rows: Sequence[tuple[SheetRow, int]]) -> Image:
    """Draw rows, each with the number of columns that share the sheet's width."""
    cells: list[_Cell] = []
    top = _GAP
    for row, columns in rows:
        placed, top = _place_row(row, columns=columns, top=top)
        cells += placed
    sheet = np.full((top, _SHEET_WIDTH, 3), _PAPER, np.uint8)
    for cell in cells:
        _paste(sheet, cell)
    return _write_captions(sheet, cells)


def _place_row(pictures: SheetRow, *, columns: int, top: int) -> tuple[list[_Cell], int]:
    """Cells of one row whose captions begin at `top`, and the top of the next row."""
    width = (_SHEET_WIDTH - _GAP) // columns - _GAP
    cells = [
        _Cell(_fit(picture, width), caption, _GAP + index * (width + _GAP), top, width)
        for index, (picture, caption) in enumerate(pictures)
    ]
    height = max(cell.picture.shape[0] for cell in cells)
    return cells, top + _CAPTION_HEIGHT + height + _GAP


def _fit(picture: Image, width: int) -> Image:
    """Scale a picture to the width of its cell, or less where it would become too high."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, _MAX_ASPECT * width / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def _paste(sheet: Image, cell: _Cell) -> None:
    """Put the picture below its caption, in the middle of its cell."""
    height, width = cell.picture.shape[:2]
    top = cell.top + _CAPTION_HEIGHT
    left = cell.left + (cell.width - width) // 2
    sheet[top : top + height, left : left + width] = cell.picture


def _write_captions(sheet: Image, cells: Sequence[_Cell]) -> Image:
    height, width = sheet.shape[:2]
    size = ((width + 0.5) / _DPI, (height + 0.5) / _DPI)  # Matplotlib rounds pixels down
    figure = Figure(figsize=size, dpi=_DPI)
    figure.figimage(sheet)
    for cell in cells:
        left, middle = cell.left / width, 1 - (cell.top + _CAPTION_HEIGHT / 2) / height
        figure.text(left, middle, cell.caption, va="center", fontsize=_FONT_SIZE, color=_INK)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="rgba", dpi=_DPI)
    return np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]
