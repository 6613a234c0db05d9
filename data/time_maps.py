"""Exposure times of rows: scan times, offsets and leg positions (paper, section 3).

Let `s` be the exposure time of a row in the top-to-bottom image, `row / (H - 1)`; the same row of
the bottom-to-top image is exposed at `1 - s`. All timing is derived from `s`, so crops and flips
only have to keep `s` with their rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class LegPositions(NamedTuple):
    """Positions of exposures on the legs 0 -> t and t -> 1, shaped like the scan time."""

    before: Tensor  # position on 0 -> t, clamped to [0, 1]
    after: Tensor  # position on t -> 1, clamped to [0, 1]
    on_first_leg: Tensor  # bool, s <= t


def scan_time(height: int, *, rows: int | None = None, top: int = 0) -> Tensor:
    """Exposure time of rows of a top-to-bottom image with `height` sensor rows.

    Args:
        height: rows of the sensor, at least 2.
        rows: number of rows to return; `height` by default. Rows beyond the sensor (padding)
            continue the scan past 1.
        top: sensor row of the first returned row.

    Returns:
        (rows,) float32, 0 at sensor row 0 and 1 at row `height - 1`.

    Raises:
        ValueError: `height` is below 2.
    """
    if height < 2:
        raise ValueError(f"a rolling shutter needs at least 2 rows, got {height}")
    bottom = top + (height if rows is None else rows)
    return (torch.arange(top, bottom, dtype=torch.float64) / (height - 1)).float()


def scan_offset(s: Tensor, t: Tensor | float) -> Tensor:
    """Signed time from instant `t` to the exposure at `s`: `s - t`.

    Args:
        s: exposure times, any shape.
        t: instants in [0, 1], broadcastable to `s`.

    Raises:
        ValueError: `t` lies outside [0, 1].
    """
    return s - _checked_instant(t, s)


def leg_positions(s: Tensor, t: Tensor | float) -> LegPositions:
    """Positions of exposures at `s` on the legs before and after `t`.

    At t = 0 and t = 1 one leg has length 0; its positions are the limits 0 or 1, and 0/0 is 0.

    Args:
        s: exposure times, any shape.
        t: instants in [0, 1], broadcastable to `s`.

    Raises:
        ValueError: `t` lies outside [0, 1].
    """
    instant = _checked_instant(t, s)
    return LegPositions(
        before=_position(s, instant),
        after=_position(s - instant, 1 - instant),
        on_first_leg=s <= instant,
    )


def offset_maps(s: Tensor, times: Tensor) -> Tensor:
    """Offset maps of both images for several instants, the input of the generator.

    Args:
        s: (B, H) exposure times of the top-to-bottom image.
        times: (B, T) instants in [0, 1].

    Returns:
        (B, 2 * T, H, 1): the T maps `s - t` of t2b, then the T maps `1 - s - t` of b2t; expand the
        last axis to the image's width.
    """
    t2b = scan_offset(s[:, None], times[:, :, None])
    b2t = scan_offset(1 - s[:, None], times[:, :, None])
    return torch.cat((t2b, b2t), dim=1)[..., None]


def _position(elapsed: Tensor, duration: Tensor) -> Tensor:
    """`elapsed / duration` clamped to [0, 1]; a step from 0 to 1 for a leg of length 0."""
    empty = duration == 0
    ratio = elapsed / torch.where(empty, torch.ones_like(duration), duration)
    return torch.where(empty, (elapsed > 0).to(ratio.dtype), ratio.clamp(0, 1))


def _checked_instant(t: Tensor | float, like: Tensor) -> Tensor:
    instant = torch.as_tensor(t, dtype=like.dtype, device=like.device)
    # Checked on the CPU only: reading GPU values would synchronise.
    if instant.device.type == "cpu" and not bool(((instant >= 0) & (instant <= 1)).all()):
        raise ValueError(f"instants must lie in [0, 1], got {instant.tolist()}")
    return instant
