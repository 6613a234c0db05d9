"""Resampling and filtering of batches of images in PyTorch, on any device.

These are the operations of `models.measurement.sampling` for tensors (B, H, W) or (B, H, W, C).
None of them waits for the device. OpenCV samples at 32nds of a pixel, these functions at any place.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_LANCZOS = 4  # lobes of the kernel


def sample_linearly(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample (B, H, W) or (B, H, W, C) at pixels (x, y), (B, ..., w) each; repeat the border.

    One image may be sampled at the places of a batch, and a batch at the same places.
    """
    height, width = values.shape[1:3]
    # As `grid_sample` takes them: -1 and 1 are the borders.
    places = (part * (2 / side) + (1 / side - 1) for part, side in ((x, width), (y, height)))
    grid = torch.stack(torch.broadcast_tensors(*places), -1)
    batch = max(len(values), len(grid))
    grid = grid.expand(batch, *grid.shape[1:])
    flat = values.reshape(len(values), height, width, -1).movedim(-1, 1)
    flat = flat.expand(batch, *flat.shape[1:])
    sampled = F.grid_sample(
        flat,
        grid.reshape(batch, -1, grid.shape[-2], 2),
        padding_mode="border",
        align_corners=False,
    )
    return sampled.movedim(1, -1).reshape(*grid.shape[:-1], *values.shape[3:])


def slopes_at(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Central differences (B, h, w, 2) of (B, H, W) along x and y, at pixels (x, y)."""
    lines = x.shape[-2]
    across, down = torch.cat((x + 1, x, x - 1, x), -2), torch.cat((y, y + 1, y, y - 1), -2)
    after, before = sample_linearly(image, across, down).unflatten(-2, (2, 2, lines)).unbind(-4)
    return ((after - before) / 2).movedim(-3, -1)


def sample_by_lanczos(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample (B, H, W) at pixels (x, y), (B, h, w) each, over 8x8 pixels; repeat the border."""
    height, width = image.shape[1:]
    place = torch.stack((x, y))
    start = place.floor()
    steps = torch.arange(1 - _LANCZOS, 1 + _LANCZOS, device=place.device, dtype=place.dtype)
    distance = (place - start)[..., None] - steps
    weights = torch.sinc(distance) * torch.sinc(distance / _LANCZOS)
    weights_x, weights_y = weights / weights.sum(-1, keepdim=True)
    columns, rows = (
        pixels.clamp(0, side - 1)
        for pixels, side in zip((start[..., None] + steps).long(), (width, height), strict=True)
    )
    taps = (rows[..., :, None] * width + columns[..., None, :]).flatten(1)
    found = image.flatten(1).gather(1, taps).view(*rows.shape, columns.shape[-1])
    return ((found * weights_x[..., None, :]).sum(-1) * weights_y).sum(-1)


def mean_by_area(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Means of (B, H, W) or (B, H, W, C) over whole blocks: a grid of (columns, rows)."""
    return _by_channel(lambda flat: F.adaptive_avg_pool2d(flat, size[::-1]), values)


def mean_in_cells(values: Tensor, side: int) -> Tensor:
    """Means of (B, H, W) or (B, H, W, C) over squares; the border is repeated to whole ones."""

    def average(flat: Tensor) -> Tensor:
        below, right = (-length % side for length in flat.shape[-2:])
        return F.avg_pool2d(F.pad(flat, (0, right, 0, below), mode="replicate"), side)

    return _by_channel(average, values)


def enlarge_linearly(values: Tensor, factor: int) -> Tensor:
    """Enlarge (B, H, W) or (B, H, W, C) by a whole factor, bilinearly; the border is repeated."""
    return _by_channel(
        lambda flat: F.interpolate(flat, scale_factor=factor, mode="bilinear"), values
    )


def mean_in_boxes(values: Tensor, side: int, *, mirrored: bool) -> Tensor:
    """Means over windows of `side` pixels; the border is repeated, or else mirrored."""

    def average(flat: Tensor) -> Tensor:
        padded = pad_border(flat, side // 2, mirrored=mirrored)
        return F.avg_pool2d(F.avg_pool2d(padded, (1, side), stride=1), (side, 1), stride=1)

    return _by_channel(average, values)


def any_in_boxes(mask: Tensor, side: int) -> Tensor:
    """Whether any pixel of (B, H, W) is set in windows of `side` pixels; none is set outside."""
    around = F.pad(mask[:, None].float(), (side // 2,) * 4)
    found = F.max_pool2d(F.max_pool2d(around, (1, side), stride=1), (side, 1), stride=1)
    return found[:, 0] > 0


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, H, W), as wide as OpenCV's for 32-bit numbers; mirrored border."""
    radius = (round(8 * sigma + 1) | 1) // 2
    distance = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-(distance**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = pad_border(image[:, None], radius, mirrored=True)
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def pad_border(images: Tensor, margin: int, *, mirrored: bool) -> Tensor:
    """Continue images (..., H, W) by `margin` pixels: repeat the border, or else mirror at it."""
    sides = images.shape[-2:]
    if images.ndim == 4 and not (mirrored and margin >= min(sides)):
        return F.pad(images, (margin,) * 4, mode="reflect" if mirrored else "replicate")
    for axis in (-2, -1):
        last = images.shape[axis] - 1
        place = torch.arange(-margin, last + 1 + margin, device=images.device)
        if mirrored and last:
            place = last - (place % (2 * last) - last).abs()
        images = images.index_select(axis, place.clamp(0, last))
    return images


def with_neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """The neighbours (B, C, 2, 2, H, W) of each of (B, C, H, W), and the values between them.

    The neighbours are those above, right, left, below; zero outside. What is written to the values
    shows in the neighbours.
    """
    padded = F.pad(values, (1, 1, 1, 1))
    *batch, row, column = padded.stride()
    around = padded.as_strided(
        (*values.shape[:2], 2, 2, *values.shape[2:]),
        (*batch, row - column, row + column, row, column),
        padded.storage_offset() + column,
    )
    return around, padded[..., 1:-1, 1:-1]


def links_between(steps: Tensor) -> Tensor:
    """Weights (B, 1, 2, 2, H, W) of the steps to the `with_neighbours`, zero at the border.

    Given those of the steps to the right and down, (B, 2, H, W), zero where they leave the image.
    """
    right, below = steps.unbind(1)
    left, above = F.pad(steps, (1, 0, 1, 0)).unbind(1)
    links = torch.stack((above[:, :-1, 1:], right, left[:, 1:, :-1], below), dim=1)
    return links.unflatten(1, (1, 2, 2))


def masked_median(values: Tensor, mask: Tensor) -> Tensor:
    """Medians over the last axis of the values in the mask, the lower ones; 0 where it is empty."""
    ordered = values.masked_fill(~mask, math.inf).sort(dim=-1).values
    middle = ((mask.sum(-1, keepdim=True) - 1) // 2).clamp(min=0)
    return ordered.gather(-1, middle)[..., 0].nan_to_num(posinf=0.0)


def _by_channel(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a function of images (B, C, H, W) to (B, H, W) or (B, H, W, C)."""
    if values.ndim == 3:
        return function(values[:, None])[:, 0]
    return function(values.movedim(-1, 1)).movedim(1, -1)
