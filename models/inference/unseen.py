"""What neither view shows: pixels of frames whose points lie outside both views when exposed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Bools = npt.NDArray[np.bool_]
Margins = tuple[int, int, int, int]
"""Widths in px at top, bottom, left and right of a view that show nothing."""

_NO_MARGINS: Margins = (0, 0, 0, 0)


class Rectangle(NamedTuple):
    """A part of an image in pixels."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, images: Tensor) -> Tensor:
        """The part of images (..., H, W)."""
        rows = slice(self.top, self.top + self.height)
        return images[..., rows, self.left : self.left + self.width]


def seen_in_views(
    flows: Tensor, margins: tuple[Margins, Margins] = (_NO_MARGINS, _NO_MARGINS)
) -> Tensor:
    """Whether at least one view shows each pixel of frames, up to half a pixel beyond its border.

    Occlusion is not judged: what an object hides in both views counts as seen.

    Args:
        flows: (T, 2, 2, H, W) displacement in px from each frame to t2b, then to b2t.
        margins: of t2b and of b2t.

    Returns:
        (T, H, W) bool.
    """
    height, width = flows.shape[-2:]
    x = torch.arange(width, device=flows.device) + flows[:, :, 0]
    y = torch.arange(height, device=flows.device)[:, None] + flows[:, :, 1]
    inside = []
    for view, (top, bottom, left, right) in enumerate(margins):
        across = (x[:, view] >= left - 0.5) & (x[:, view] <= width - right - 0.5)
        along = (y[:, view] >= top - 0.5) & (y[:, view] <= height - bottom - 0.5)
        inside.append(across & along)
    return inside[0] | inside[1]


def largest_rectangle(seen: Bools) -> Rectangle | None:
    """The rectangle of most pixels that are all true in (H, W); None if none is."""
    best, most = None, 0
    heights: npt.NDArray[np.int64] = np.zeros(
        seen.shape[1], np.int64
    )  # of the true columns that end at this row
    for bottom, row in enumerate(seen, start=1):
        heights = np.where(row, heights + 1, 0)
        for left, right, height in _widest_below(heights):
            if (right - left) * height > most:
                most = (right - left) * height
                best = Rectangle(left, bottom - height, right - left, height)
    return best


def _widest_below(heights: npt.NDArray[np.int64]) -> Sequence[tuple[int, int, int]]:
    """The widest stretches (left, right, height) under a line of heights, one per rise."""
    found: list[tuple[int, int, int]] = []
    rising: list[tuple[int, int]] = []  # (left, height) of stretches that are still open
    edges = [0, *(np.flatnonzero(np.diff(heights)) + 1).tolist(), len(heights)]
    for place in edges:
        height = int(heights[place]) if place < len(heights) else 0
        left = place
        while rising and rising[-1][1] >= height:
            left, above = rising.pop()
            found.append((left, place, above))
        if height:
            rising.append((left, height))
    return found
