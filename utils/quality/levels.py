"""What networks that score frames are given: the levels inside a border."""

import torch
from torch import Tensor

from data.files.images import Image
from utils.errors import InputError


def levels_inside(
    image: Image, border: int, device: torch.device | str, *, least: int, metric: str
) -> Tensor:
    """Levels (1, 3, h, w) in [0, 255], float32, of an 8-bit image without a border in px.

    Args:
        image: (H, W, 3).
        border: pixels left out on each side.
        device: of the result.
        least: px that must be left along each side.
        metric: what needs them, for the message.

    Raises:
        InputError: fewer are left.
    """
    height, width = image.shape[:2]
    if min(height, width) - 2 * border < least:
        raise InputError(
            f"images of {height}x{width} are too small for {metric} with a border of {border}: "
            f"expected at least {2 * border + least} px a side"
        )
    inner = image[border : height - border, border : width - border]
    return torch.from_numpy(inner.copy()).to(device).permute(2, 0, 1)[None].float()
