"""Building blocks of the generator: layers, resizes, convolutions and warps of several inputs."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.warping import Canvas, pixel_centres, sampling_places, warp_canvas

_STRIP = 1 << 21  # values in a strip of joined inputs: 8 MB, which fit the CPU's cache


def scaled(channels: int, scale: float) -> int:
    """`channels * scale` rounded to a multiple of 8, at least 8."""
    return max(8, round(channels * scale / 8) * 8)


def draw_weights(weight: Tensor, **settings: Any) -> None:
    """Draw weights by `nn.init.kaiming_normal_`; not on the meta device, where there are no values.

    There PyTorch imports its compiler for this, which takes as long as importing PyTorch.
    """
    if not weight.is_meta:
        nn.init.kaiming_normal_(weight, **settings)


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (up to its stride), then PReLU."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding), nn.PReLU(out_channels)
    )


def deconv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution that doubles the size, then PReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1), nn.PReLU(out_channels)
    )


def resize(maps: Tensor, factor: float) -> Tensor:
    """Bilinear resize by `factor` with `align_corners=False`; values are kept.

    Maps that are expanded along their rows stay expanded. Halving needs even sides.
    """
    if factor == 1:
        return maps
    if maps.stride(-1) == 0 and factor < 1:
        width = maps.shape[-1]
        narrow = resize(maps[..., : round(1 / factor)].contiguous(), factor)
        return narrow.expand(*maps.shape[:-2], -1, round(width * factor))
    if factor == 0.5:
        return _halve(maps)
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Resize a flow field, and its displacements with it."""
    # Scale at the smaller size; for powers of two the order does not change the result.
    return resize(flow * factor, factor) if factor > 1 else resize(flow, factor) * factor


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate channels in channels-last layout, the fastest for convolutions."""
    device = parts[0].device.type
    if torch.is_autocast_enabled(device):  # half the memory traffic
        parts = [part.to(torch.get_autocast_dtype(device)) for part in parts]
    if device == "cpu" and all(part.is_contiguous() for part in parts):
        # Two passes over memory, but of long runs: half the time of interleaving part by part.
        return torch.cat(list(parts), dim=1).contiguous(memory_format=torch.channels_last)
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).permute(0, 3, 1, 2)


def convolve_parts(layer: nn.Module, parts: Sequence[Tensor]) -> Tensor:
    """Apply a 3x3 `conv` of stride 2 to joined parts (B, C, H, W), H even.

    On a CPU large inputs are joined and convolved in strips of rows: allocating the joined tensor
    costs more than filling it.
    """
    if parts[0].device.type != "cpu" or torch.compiler.is_compiling():
        return layer(join(parts))
    batch, _, height, width = parts[0].shape
    row = batch * width * sum(part.shape[1] for part in parts)
    rows = max(2, _STRIP // row // 2 * 2)
    if rows >= height:
        return layer(join(parts))
    strips = [layer(join([part[..., :rows, :] for part in parts]))]
    for top in range(rows, height, rows):
        # Two more rows above; the first output row would need a third and is dropped.
        above = [part[..., top - 2 : top + rows, :] for part in parts]
        strips.append(layer(join(above))[..., 1:, :])
    return torch.cat(strips, dim=-2)


def enlarge_where_read(flow: Tensor, shrink: int) -> Tensor:
    """`resize_flow(flow, 2)`, limited to the pixels that a resize to 1 / `shrink` reads.

    Args:
        flow: (B, C, H / 2, W / 2), its sides even.
        shrink: 1, 2 or 4.

    Returns:
        (B, C, H, W); for a shrink of 4 the middle two of every four rows and columns,
        (B, C, H / 2, W / 2), whose halving is the flow resized to 1/4.
    """
    if shrink <= 2:
        return resize_flow(flow, 2)
    return 2 * _quarter_points(_quarter_points(flow, -2), -1)


def warp_to_frames(images: Canvas, flows: Tensor, shrink: int = 1) -> list[Tensor]:
    """Warp each image by each of its T flows, and resize the result to 1 / `shrink`.

    Args:
        images: canvas of (B, N, C, H, W), or of a single capture for all B.
        flows: (B, N * T * 2, ...) from `enlarge_where_read`, the T flows of the first image first.
        shrink: 1, 2 or 4.

    Returns:
        N * T of (B, C, H / shrink, W / shrink), in the order of the flows.
    """
    pixels = pixel_centres(flows)
    if shrink == 4:
        pixels = 2 * pixels + 1 - pixels % 2  # 1, 2, 5, 6, 9, ...
    places = sampling_places(images, pixels)
    grounds = images.ground.expand(flows.shape[0], -1, -1, -1, -1).unbind(1)
    by_image = flows.unflatten(1, (len(grounds), -1, 2))
    return [
        resize(warp_canvas(images._replace(ground=ground), flow, places), 1 / min(shrink, 2))
        for ground, own in zip(grounds, by_image.unbind(1), strict=True)
        for flow in own.unbind(1)
    ]


def _halve(maps: Tensor) -> Tensor:
    """Means of 2x2 pixels: equal to a bilinear resize, and faster (PyTorch 2.11)."""
    upper, lower = maps.unflatten(-2, (-1, 2)).unbind(-2)
    left, right = (upper + lower).unflatten(-1, (-1, 2)).unbind(-1)
    return (left + right) / 4


def _quarter_points(maps: Tensor, dim: int) -> Tensor:
    """Interpolate at 1/4 and 3/4 between the two values of each pair along a negative `dim`."""
    first, second = maps.unflatten(dim, (-1, 2)).unbind(dim)
    between = [torch.lerp(first, second, way) for way in (0.25, 0.75)]
    return torch.stack(between, dim).flatten(dim - 1, dim)
