"""Overlapping tiles of an image, and bands of rows.

A tile is processed with a margin of context that is then discarded. Tiles begin at multiples of 32,
like the networks' grids, within bands at multiples of `BAND_STEP`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from models.parts.padding import round_up
from models.parts.settings import SIZE_MULTIPLE

BAND_STEP = 8
"""Rows in px at which bands begin and end."""


class Tile(NamedTuple):
    """One part of an image.

    Attributes:
        kept: (top, left, bottom, right) that the result takes from this tile.
        seen: the same with its margin, the network's input.
    """

    kept: tuple[int, int, int, int]
    seen: tuple[int, int, int, int]

    @property
    def area(self) -> int:
        """Pixels that are kept."""
        top, left, bottom, right = self.kept
        return (bottom - top) * (right - left)

    @property
    def seen_slices(self) -> tuple[slice, slice]:
        """Rows and columns of the network's input."""
        top, left, bottom, right = self.seen
        return slice(top, bottom), slice(left, right)

    def paste(self, image: Tensor, seen: Tensor) -> None:
        """Copy the kept part of a tile's result (..., h, w) to the image's (..., H, W)."""
        top, left, bottom, right = self.kept
        above, before = top - self.seen[0], left - self.seen[1]
        image[..., top:bottom, left:right] = seen[
            ..., above : above + bottom - top, before : before + right - left
        ]


def tiles_of(
    size: tuple[int, int], tile: int | None, margin: int, rows: slice | None = None
) -> Iterator[Tile]:
    """Tiles that keep every pixel of an image exactly once, row by row.

    Args:
        size: (H, W) of the image.
        tile: pixels kept along each side, a multiple of 32; None: one tile for the whole image.
        margin: pixels of context on each side inside the image, a multiple of 32.
        rows: those that the tiles keep, from a multiple of `BAND_STEP` on; the margin need only be
            such a multiple, then. Default: all.

    Raises:
        ValueError: `tile` or `margin` is not such a multiple.
    """
    step = SIZE_MULTIPLE if rows is None else BAND_STEP
    tile = round_up(max(size), SIZE_MULTIPLE) if tile is None else tile
    if tile < SIZE_MULTIPLE or tile % SIZE_MULTIPLE or margin < 0 or margin % step:
        raise ValueError(
            f"tile and margin must be multiples of {SIZE_MULTIPLE}, got {tile} and {margin}"
        )
    height, width = size
    first, last = (0, height) if rows is None else (rows.start, rows.stop)
    for top in range(first, last, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, last), min(left + tile, width)
            seen = (
                max(top - margin, 0),
                max(left - margin, 0),
                min(bottom + margin, height),
                min(right + margin, width),
            )
            yield Tile((top, left, bottom, right), seen)


def bands_of(rows: Tensor) -> Iterator[slice]:
    """Bands of rows that hold all needed ones of (H,) bool; of multiples of `BAND_STEP`."""
    height, band = len(rows), None
    for top in range(0, height, BAND_STEP):
        bottom = min(top + BAND_STEP, height)
        if rows[top:bottom].any():
            band = slice(top if band is None else band.start, bottom)
        elif band is not None:
            yield band
            band = None
    if band is not None:
        yield band
