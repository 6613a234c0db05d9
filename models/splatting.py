"""Forward splatting, and flows from an instant between two frames to both of them.

Complementary flow reversal after Sim et al., XVFI (ICCV 2021), as the paper uses it.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Splatted(NamedTuple):
    """What arrived at each pixel.

    Attributes:
        total: (B, C, H, W) sum of weighted values.
        weight: (B, 1, H, W) sum of weights, 0 where nothing arrived.
    """

    total: Tensor
    weight: Tensor


def splat(values: Tensor, flow: Tensor) -> Splatted:
    """Send each pixel's values along its flow onto the four pixels around where it lands.

    A pixel that lands at p adds to pixel q in {floor(p), floor(p) + 1} per axis with weight
    exp(-|p - q|^2). These do not add up to one: divide by the summed weight. Targets outside the
    image are dropped. Gradient reaches the values, and the flow through the weights.

    Args:
        values: (B, C, H, W).
        flow: (B, 2, H, W) displacements (dx, dy) in pixels.

    Returns:
        Sums in float32, or float64 if either input is.

    Raises:
        ValueError: batch or size of `flow` do not fit `values`.
    """
    batch, _, height, width = values.shape
    if tuple(flow.shape) != (batch, 2, height, width):
        expected = (batch, 2, height, width)
        raise ValueError(f"flow must be {expected} for these values, got {tuple(flow.shape)}")
    dtype = torch.promote_types(torch.promote_types(values.dtype, flow.dtype), torch.float32)
    x, y = _landing_points(flow.to(dtype))
    left, top = x.detach().floor(), y.detach().floor()
    source = torch.cat((values.to(dtype), values.new_ones((batch, 1, height, width))), dim=1)
    sums = source.new_zeros(source.shape).flatten(2)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = torch.exp(-((x - column) ** 2) - (y - row) ** 2) * inside
        # Whole numbers before clamping: not-a-number must not become an index out of range.
        target = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
        index = target.flatten(1)[:, None].expand_as(sums)
        sums.scatter_add_(2, index, (source * weight[:, None]).flatten(2))
    arrived = sums.reshape(source.shape)
    return Splatted(total=arrived[:, :-1], weight=arrived[:, -1:])


def reverse_flows(flow_01: Tensor, flow_10: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Flows from position `tau` on the leg between two frames to its two ends.

    Both flows are sent to where their pixel is at its own leg position, then combined as the
    paper's complementary flow reversal does. Where nothing arrives both results are zero.

    Args:
        flow_01: (B, 2, H, W) flow in pixels from the leg's first frame to its last.
        flow_10: (B, 2, H, W) flow from the last frame to the first.
        tau: (B, 1, H, W) leg position of each pixel in [0, 1].

    Returns:
        flow_t0 and flow_t1, each (B, 2, H, W): from each pixel at `tau` to the first frame and to
        the last, in float32 or float64 (see `splat`).

    Raises:
        ValueError: the shapes do not fit.
    """
    batch, _, height, width = flow_01.shape
    if flow_10.shape != flow_01.shape or tuple(tau.shape) != (batch, 1, height, width):
        shapes = [tuple(tensor.shape) for tensor in (flow_01, flow_10, tau)]
        raise ValueError(f"expected two (B, 2, H, W) flows and a (B, 1, H, W) tau, got {shapes}")
    values = torch.cat((flow_01, flow_10))
    total, weight = splat(values, torch.cat((tau * flow_01, (1 - tau) * flow_10)))
    sum_01, sum_10 = total.chunk(2)
    weight_01, weight_10 = weight.chunk(2)
    norm = (1 - tau) * weight_01 + tau * weight_10
    reached = norm > 0
    scale = reached / torch.where(reached, norm, torch.ones_like(norm))
    flow_t0 = (tau**2 * sum_10 - (1 - tau) * tau * sum_01) * scale
    flow_t1 = ((1 - tau) ** 2 * sum_01 - tau * (1 - tau) * sum_10) * scale
    return flow_t0, flow_t1


def _landing_points(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel's flow ends: x and y, each (B, H, W)."""
    height, width = flow.shape[-2:]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)
    return columns + flow[:, 0], rows[:, None] + flow[:, 1]
