"""Dark borders of a sensor: outermost rows and columns that it does not expose.

As part of an image they would be extrapolated beyond it, as black wedges in the frames.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_MAX_WIDTH = 4  # px
_MAX_LEVEL = 0.06  # of [0, 1]: 95 % of a dark line's pixels are below
_MIN_RATIO = 4.0  # of the mean beside the border to that of each line in it
_MIN_BESIDE = 0.08  # mean beside the border: in a dark scene no border can be told
_SHARE = 0.95


class DarkBorders(NamedTuple):
    """Widths in px of the dark border of one view, as far as 4 px."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def find_dark_borders(view: Tensor) -> DarkBorders:
    """Find the dark border of a view (3, H, W) RGB in [0, 1]; none if it is small or dark."""
    if min(view.shape[-2:]) < 4 * _MAX_WIDTH:
        return DarkBorders()
    bright = view.detach().float().amax(0)
    rows = bright[:, _MAX_WIDTH:-_MAX_WIDTH]  # without what belongs to the columns' border
    columns = bright[_MAX_WIDTH:-_MAX_WIDTH].T
    return DarkBorders(
        *(_dark_lines(part) for part in (rows, rows.flip(0), columns, columns.flip(0)))
    )


def fill_dark_borders(view: Tensor, borders: DarkBorders) -> Tensor:
    """Replace a dark border by the nearest row and column beside it; (3, H, W) -> (3, H, W)."""
    height, width = view.shape[-2:]
    rows = torch.arange(height, device=view.device)
    columns = torch.arange(width, device=view.device)
    rows = rows.clamp(borders.top, height - 1 - borders.bottom)
    columns = columns.clamp(borders.left, width - 1 - borders.right)
    return view[:, rows][:, :, columns]


def _dark_lines(lines: Tensor) -> int:
    """Number of dark lines (N, L) before the first that is not."""
    outer = lines[: _MAX_WIDTH + 1]
    levels, means = outer.quantile(_SHARE, dim=1), outer.mean(dim=1)
    for count in range(_MAX_WIDTH + 1):
        if levels[count] > _MAX_LEVEL:
            beside = float(means[count])
            clear = (
                beside >= max(_MIN_BESIDE, _MIN_RATIO * float(means[:count].max())) if count else 0
            )
            return count if clear else 0
    return 0
