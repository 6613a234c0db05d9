"""Local cost volume: correlation of each pixel with its neighbourhood in another feature map."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_STRIPS = (128, 16)
"""Columns per matrix product on a GPU and on a CPU: narrow strips compute fewer unused products,
wide ones need fewer calls."""

RADIUS = 4
"""Largest displacement in the networks' cost volumes, in pixels."""

COST_CHANNELS = (2 * RADIUS + 1) ** 2


def correlation(first: Tensor, second: Tensor, radius: int = RADIUS) -> Tensor:
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
    costs: Tensor = _CostVolume.apply(first, second, radius)
    return costs


class _CostVolume(torch.autograd.Function):
    """Cost volume by matrix products, strip by strip, with its own backward pass.

    Each product correlates a strip's pixels with all columns in reach of any of them; the band
    within reach of each pixel is kept. Only the features are saved for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, radius: int) -> Tensor:
        """See `correlation`."""
        ctx.save_for_backward(first, second)
        ctx.radius = radius
        batch, channels, height, width = first.shape
        reach = 2 * radius + 1
        pixels, surroundings = _pixels(first) / channels, _pixels(F.pad(second, (radius,) * 4))
        costs = first.new_empty((batch, height, width, reach, reach))
        for strip, columns in _strips(first, radius):
            for dy in range(reach):
                found = surroundings[:, dy : dy + height, columns]
                products = pixels[:, :, strip] @ found.transpose(-1, -2)
                costs[:, :, strip, dy] = _band(products, reach)
        return costs.flatten(-2).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of both feature maps."""
        first, second = ctx.saved_tensors
        radius, (channels, height, width) = ctx.radius, first.shape[1:]
        reach = 2 * radius + 1
        pixels, surroundings = _pixels(first), _pixels(F.pad(second, (radius,) * 4))
        weights = (gradient.permute(0, 2, 3, 1) / channels).unflatten(-1, (reach, reach))
        to_pixels, to_surroundings = torch.zeros_like(pixels), torch.zeros_like(surroundings)
        for strip, columns in _strips(first, radius):
            size = (strip.stop - strip.start, columns.stop - columns.start)
            products = gradient.new_zeros((len(first), height, *size))
            for dy in range(reach):
                rows = slice(dy, dy + height)
                _band(products, reach).copy_(weights[:, :, strip, dy])
                to_pixels[:, :, strip] += products @ surroundings[:, rows, columns]
                received = products.transpose(-1, -2) @ pixels[:, :, strip]
                to_surroundings[:, rows, columns] += received
        inner = to_surroundings[:, radius : radius + height, radius : radius + width]
        return to_pixels.permute(0, 3, 1, 2), inner.permute(0, 3, 1, 2), None


def _pixels(features: Tensor) -> Tensor:
    """(B, C, H, W) -> contiguous (B, H, W, C)."""
    return features.permute(0, 2, 3, 1).contiguous()


def _strips(features: Tensor, radius: int) -> list[tuple[slice, slice]]:
    """Each strip's columns, and those of the padded surroundings within its reach."""
    width, size = features.shape[-1], _STRIPS[features.device.type == "cpu"]
    starts = range(0, width, size)
    ends = [min(start + size, width) for start in starts]
    return [
        (slice(start, end), slice(start, end + 2 * radius))
        for start, end in zip(starts, ends, strict=True)
    ]


def _band(products: Tensor, reach: int) -> Tensor:
    """Entries [i, i + d] of contiguous matrices (..., N, M), 0 <= d < `reach`: a view."""
    *outer, along, _ = products.stride()
    size = (*products.shape[:-1], reach)
    return products.as_strided(size, (*outer, along + 1, 1))
