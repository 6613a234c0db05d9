"""Forward splatting and complementary flow reversal (paper, section 3).

The reversal is that of XVFI (Sim et al., ICCV 2021), with a leg position of its own per pixel.
"""

import torch
from torch import Tensor

from models.warping import pixel_centres


def splat(values: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Splat each pixel's values along its flow onto the four nearest pixels.

    A pixel that lands at p adds to pixel q in {floor(p), floor(p) + 1} per axis with weight
    exp(-|p - q|^2). The weights do not sum to one: divide by their sum. Targets outside the image
    are dropped. Gradient reaches the values, and the flow through the weights.

    Args:
        values: (B, C, H, W).
        flow: (B, 2, H, W) displacements (dx, dy) in pixels.

    Returns:
        Sum of weighted values (B, C, H, W) and sum of weights (B, 1, H, W), 0 where nothing lands;
        in float32, or float64 if either input is.

    Raises:
        ValueError: batch or size of `flow` do not fit `values`.
    """
    batch, _, height, width = values.shape
    if tuple(flow.shape) != (batch, 2, height, width):
        expected = (batch, 2, height, width)
        raise ValueError(f"flow must be {expected} for these values, got {tuple(flow.shape)}")
    dtype = torch.promote_types(torch.promote_types(values.dtype, flow.dtype), torch.float32)
    flow = flow.to(dtype)
    x, y = (pixel_centres(flow) + flow).unbind(1)
    left, top = x.detach().floor(), y.detach().floor()
    source = torch.cat((values.to(dtype), values.new_ones((batch, 1, height, width))), dim=1)
    sums = source.new_zeros(source.shape).flatten(2)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = torch.exp(-((x - column) ** 2) - (y - row) ** 2) * inside
        # Integers before clamping: NaN must not become an index out of range.
        target = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
        index = target.flatten(1)[:, None].expand_as(sums)
        sums.scatter_add_(2, index, (source * weight[:, None]).flatten(2))
    arrived = sums.reshape(source.shape)
    return arrived[:, :-1], arrived[:, -1:]


def reverse_flows(flow_01: Tensor, flow_10: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Flows from position τ on a leg between frames 0 and 1 to both frames.

    Splatting τ F01, which carries F01, gives F'01 and weights n0; (1 - τ) F10, which carries F10,
    gives F'10 and n1. With n = (1 - τ) n0 + τ n1

        F_τ0 = (-(1 - τ) τ F'01 + τ² F'10) / n        F_τ1 = ((1 - τ)² F'01 - τ (1 - τ) F'10) / n

    and both are 0 where n = 0. Gradient flows through values, weights and n.

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
