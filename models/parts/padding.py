"""Pad images and exposure times to the sizes that the networks need, and back."""

import torch
from torch import Tensor

from data import time_maps
from models.parts.checks import check_scan


def round_up(size: int, multiple: int) -> int:
    """Round `size` up to a multiple of `multiple`."""
    return size + -size % multiple


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last column and row until both sizes are multiples of `multiple`.

    Unlike `torch.nn.functional.pad` it takes any number of leading axes and any data type.

    Args:
        images: (..., H, W), H and W at least 1.
        multiple: at least 1.

    Returns:
        (..., H', W') with H <= H' < H + multiple, likewise W'; `images` itself if both fit.

    Raises:
        ValueError: `multiple` is below 1 or an image is empty.
    """
    height, width = images.shape[-2:]
    if multiple < 1 or min(height, width) < 1:
        raise ValueError(f"cannot pad {height}x{width} to multiples of {multiple}")
    images = repeat_last(images, -height % multiple, dim=-2)
    return repeat_last(images, -width % multiple, dim=-1)


def unpad(images: Tensor, height: int, width: int) -> Tensor:
    """Undo `pad_to_multiple`: the top left (..., height, width), a view.

    Raises:
        ValueError: the images are smaller than that.
    """
    if height > images.shape[-2] or width > images.shape[-1]:
        got = "x".join(str(size) for size in images.shape[-2:])
        raise ValueError(f"cannot cut {height}x{width} out of {got}")
    return images[..., :height, :width]


def repeat_last(images: Tensor, count: int, *, dim: int) -> Tensor:
    """Append `count` copies of the last row (`dim` -2) or column (-1)."""
    if count == 0:
        return images
    last = images.narrow(dim, images.shape[dim] - 1, 1)
    repeats = list(images.shape)
    repeats[dim] = count
    return torch.cat((images, last.expand(repeats)), dim=dim)


def padded_scan(scan_time: Tensor | None, height: int, rows: int) -> Tensor:
    """Exposure times (rows,): those of the image, extrapolated linearly below it."""
    if scan_time is None:
        return time_maps.scan_time(height, rows=rows)
    check_scan(scan_time, height)
    pace = (scan_time[-1] - scan_time[0]) / (height - 1)
    below = torch.arange(1, rows - height + 1, dtype=scan_time.dtype, device=scan_time.device)
    return torch.cat((scan_time, scan_time[-1] + pace * below))
