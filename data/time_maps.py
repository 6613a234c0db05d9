"""When each row is exposed: scan times, offsets and leg positions (paper, section 3).

One map carries all timing. Let `s` be the exposure time of a row in the top-to-bottom image,
`row / (H - 1)`; the same row of the bottom-to-top image is exposed at `1 - s`. Everything else is
derived from `s`, so crops and flips only have to keep `s` with their rows.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class LegPositions(NamedTuple):
    """Where an exposure instant lies on the legs 0 -> t and t -> 1, shaped like the scan time.

    Attributes:
        before: position on the leg 0 -> t, clamped to [0, 1].
        after: position on the leg t -> 1, clamped to [0, 1].
        on_first_leg: whether the instant belongs to the first leg, `s <= t`.
    """

    before: Tensor
    after: Tensor
    on_first_leg: Tensor


def scan_time(height: int, *, rows: int | None = None, top: int = 0) -> Tensor:
    """Exposure time of rows of a top-to-bottom image with `height` sensor rows.

    Args:
        height: rows of the sensor, at least 2.
        rows: how many rows to return; `height` by default. Rows beyond the sensor (padding)
            continue the scan past 1.
        top: sensor row of the first returned row.

    Returns:
        (rows,) float32, 0 at sensor row 0 and 1 at row `height - 1`.

    Raises:
        ValueError: `height` is below 2, so that there is no readout.
    """
    if height < 2:
        raise ValueError(f"a rolling shutter needs at least 2 rows, got {height}")
    count = height if rows is None else rows
    instants = torch.arange(top, top + count, dtype=torch.float64) / (height - 1)
    return instants.float()


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

    At t = 0 and t = 1 one leg has no length; its positions are the limits 0 or 1, and 0/0 is 0.

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
    """Offset maps of both images for several instants, as the generator takes them.

    Args:
        s: (B, H) exposure times of the top-to-bottom image.
        times: (B, T) instants in [0, 1].

    Returns:
        (B, 2 * T, H, 1): the T maps `s - t` of t2b, then the T maps `1 - s - t` of b2t. Constant
        along each row; expand the last axis to the image's width.
    """
    t2b = scan_offset(s[:, None], times[:, :, None])
    b2t = scan_offset(1 - s[:, None], times[:, :, None])
    return torch.cat((t2b, b2t), dim=1)[..., None]


def _position(elapsed: Tensor, duration: Tensor) -> Tensor:
    """`elapsed / duration` clamped to [0, 1]; a leg of no length is a step from 0 to 1."""
    empty = duration == 0
    ratio = elapsed / torch.where(empty, torch.ones_like(duration), duration)
    return torch.where(empty, (elapsed > 0).to(ratio.dtype), ratio.clamp(0, 1))


def _checked_instant(t: Tensor | float, like: Tensor) -> Tensor:
    instant = torch.as_tensor(t, dtype=like.dtype, device=like.device)
    # To look at values on a GPU is to wait for all that it has been given to do.
    if instant.device.type == "cpu" and not bool(((instant >= 0) & (instant <= 1)).all()):
        raise ValueError(f"instants must lie in [0, 1], got {instant.tolist()}")
    return instant
