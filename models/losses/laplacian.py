"""Distance of images in the bands of a Laplacian pyramid."""

import torch
import torch.nn.functional as F
from torch import Tensor

_BANDS = 5
_MULTIPLE = 2**_BANDS
_SMALLEST = 4 * 2 ** (_BANDS - 1)  # the last band has four pixels a side, more than the reflection


def laplacian_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """Sum over five bands of the mean absolute difference, without the low-pass remainder.

    With K the binomial kernel (1 4 6 4 1)/16 along both axes and reflected borders, a level x has
    low = every second row and column of K x, and band = x - 4 K (low with zeros between its rows
    and columns); the next level is low.

    Args:
        estimate: (..., 3, H, W); H and W multiples of 32, at least 64.
        target: images that broadcast to `estimate`'s shape.

    Raises:
        ValueError: another size.
    """
    height, width = estimate.shape[-2:]
    if height % _MULTIPLE or width % _MULTIPLE or min(height, width) < _SMALLEST:
        raise ValueError(
            f"Lap needs sides that are multiples of {_MULTIPLE} from {_SMALLEST} on, got "
            f"{height}x{width}"
        )
    # Bands are linear: those of the difference are the difference of the bands.
    level = (estimate - target).flatten(0, -3)[:, None]
    total = level.new_zeros(())
    for _ in range(_BANDS):
        low = _smooth(level)[..., ::2, ::2]
        spread = F.pad(low[..., None], (0, 1)).flatten(-2)  # a zero after every column
        spread = F.pad(spread[..., None, :], (0, 0, 0, 1)).flatten(-3, -2)  # and every row
        total = total + (level - 4 * _smooth(spread)).abs().mean()
        level = low
    return total


def _smooth(images: Tensor) -> Tensor:
    """Convolve (N, 1, H, W) by the binomial kernel, borders reflected."""
    row = torch.tensor((1, 4, 6, 4, 1), dtype=images.dtype, device=images.device) / 16
    with torch.autocast(images.device.type, enabled=False):
        images = F.pad(images, (2, 2, 2, 2), mode="reflect")
        images = F.conv2d(images, row.reshape(1, 1, 1, 5))
        return F.conv2d(images, row.reshape(1, 1, 5, 1))
