"""Local cost volume: how well each pixel of one feature map matches its surroundings in another."""

import torch
import torch.nn.functional as F
from torch import Tensor


def correlation(first: Tensor, second: Tensor, radius: int = 4) -> Tensor:
    """Correlate `first` with `second` displaced by up to `radius` pixels in x and y.

    out(p)[dx, dy] = mean over channels of first(p) * second(p + (dx, dy)), zero outside `second`.

    Args:
        first: (B, C, H, W) features.
        second: (B, C, H, W) features to search in.
        radius: largest displacement, in pixels of these features.

    Returns:
        (B, D * D, H, W) with D = 2 * radius + 1; displacement (dx, dy) is at channel
        (dy + radius) * D + (dx + radius).

    Raises:
        ValueError: the feature maps differ in shape.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"feature maps must agree, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    height, width = first.shape[-2:]
    padded = F.pad(second, (radius,) * 4)
    displacements = range(2 * radius + 1)
    # One displacement at a time: autograd then keeps views of the features, not 81 copies of them.
    costs = [
        (first * padded[..., y : y + height, x : x + width]).mean(dim=1)
        for y in displacements
        for x in displacements
    ]
    return torch.stack(costs, dim=1)
