"""Backward warping: how the networks sample images, its border rule explicit.

Two rules, because published weights depend on the second:

* `"aligned"` (ours, the default): pixel centres lie at integers, a sample point outside the image
  is clamped to the border. Zero flow and whole-pixel flow reproduce pixels bit for bit.
* `"released"`: as in the authors' code, which normalises coordinates by 2x / (W - 1) - 1 but
  samples with `align_corners=False`. This displaces samples by up to half a pixel, outwards from
  the centre, and blacks out every pixel whose four neighbours are not all inside; at zero flow
  the outermost ring.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Sampling = Literal["aligned", "released"]
Padding = Literal["border", "zeros"]
Corner = tuple[int, int]
"""(top, left) pixel of an image, in or beyond it."""

_FULLY_INSIDE = 0.999
"""Least bilinear sample of a field of ones that the released code accepts as inside the image."""


class Canvas(NamedTuple):
    """Images ready to be sampled many times.

    `grid_sample` takes normalised coordinates, and rounding them moves whole-pixel samples off
    their pixel, by about 1e-5 px. On a ground whose sides are powers of two the way there and back
    is exact.

    Attributes:
        ground: (..., C, H', W'), the images at its top left, their border's colours beyond them.
        scale: (2, 1, 1) steps of the normalised coordinates x and y from pixel to pixel.
        first: (2, 1, 1) normalised coordinates of the first pixel.
    """

    ground: Tensor
    scale: Tensor
    first: Tensor


class Warped(NamedTuple):
    """A warped image and where it can be trusted.

    Attributes:
        warped: (B, C, H, W), in the image's dtype.
        valid: (B, 1, H, W), 1 where the sample point lies inside the image, else 0; no gradient.
    """

    warped: Tensor
    valid: Tensor


def backward_warp(
    image: Tensor,
    flow: Tensor,
    sampling: Sampling = "aligned",
    *,
    padding: Padding = "border",
    corner: Corner | None = None,
    exact: bool = True,
) -> Warped:
    """Sample `image` bilinearly at every pixel plus its flow: out(p) = image(p + flow(p)).

    Args:
        image: (B, C, H, W).
        flow: (B, 2, h, w) displacements (dx, dy) in pixels, (h, w) = (H, W) without a `corner`.
        sampling: the rule for coordinates, see the module.
        padding: what a point outside the image gets. `"aligned"`: the border's colour or zero.
            `"released"`: always zero where not fully inside; the padding only tells what bilinear
            neighbours outside the image count as at points that pass the 0.999 test.
        corner: where the flow of a part of the image begins.
        exact: whether `"aligned"` whole-pixel flow gives pixels to the bit; not doing so is faster
            unless sides are powers of two, and off by about 1e-5 px.

    Raises:
        ValueError: the shapes do not fit, or the rule is unknown.
    """
    _check_shapes(image, flow, corner)
    if sampling not in ("aligned", "released"):
        raise ValueError(f"sampling must be 'aligned' or 'released', got {sampling!r}")
    # Half precision cannot count pixels beyond a few hundred: coordinates are float32 or better.
    dtype = torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    precise, flow, corner = image.to(dtype), flow.to(dtype), corner or (0, 0)
    if sampling == "aligned":
        warped, valid = _sample_aligned(precise, flow, padding, corner, exact=exact)
    else:
        warped, valid = _sample_released(precise, flow, padding, corner)
    return Warped(warped.to(image.dtype), valid.to(image.dtype))


def bicubic_warp(image: Tensor, flow: Tensor, corner: Corner | None = None) -> Tensor:
    """Sample `image` bicubically at every pixel plus its flow, aligned, clamped to the border.

    Sharper than bilinear sampling, which blurs whatever lies between pixels; values may overshoot.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, h, w) displacements (dx, dy) in pixels, (h, w) = (H, W) without a `corner`.
        corner: where the flow of a part of the image begins.

    Returns:
        (B, C, h, w) in the image's dtype.

    Raises:
        ValueError: the shapes do not fit.
    """
    _check_shapes(image, flow, corner)
    height, width = image.shape[-2:]
    x, y = _sample_points(flow.float(), corner or (0, 0))
    grid_x = (2 * x.clamp(0, width - 1) + 1) / width - 1
    grid_y = (2 * y.clamp(0, height - 1) + 1) / height - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return _sample(image.float(), grid, mode="bicubic").to(image.dtype)


def prepare_canvas(images: Tensor, *, exact: bool = True) -> Canvas:
    """Lay images (..., C, H, W), float32 or better, out for `warp_canvas`.

    Args:
        images: to be sampled.
        exact: whether whole-pixel samples are to be pixels to the bit.
    """
    ground = _extended(_extended(images, -1), -2) if exact else images
    # Not new_tensor, which would fix the size of a program that is exported for any; and a GPU need
    # not have finished what it does before it is given them.
    sides = torch.tensor(ground.shape[:-3:-1], dtype=ground.dtype)
    scale = 2 / sides.to(ground.device, non_blocking=True)[:, None, None]
    return Canvas(ground, scale, scale / 2 - 1)


def pixel_centres(like: Tensor, corner: Corner = (0, 0)) -> Tensor:
    """Coordinates of the pixels of (..., H, W) from `corner` on: x and y, (2, H, W)."""
    height, width = like.shape[-2:]
    columns, rows = (
        torch.arange(start, start + count, dtype=like.dtype, device=like.device)
        for start, count in ((corner[1], width), (corner[0], height))
    )
    return torch.stack((columns.expand(height, -1), rows[:, None].expand(-1, width)))


def sampling_places(canvas: Canvas, pixels: Tensor) -> Tensor:
    """Where `grid_sample` finds pixels (2, h, w) of a canvas."""
    return torch.addcmul(canvas.first, pixels, canvas.scale)


def warp_canvas(canvas: Canvas, flow: Tensor, places: Tensor) -> Tensor:
    """`backward_warp` by the rule `"aligned"`, border colours beyond the border.

    Args:
        canvas: of (B, C, H, W).
        flow: (B, 2, h, w) displacements (dx, dy) in pixels, in the canvas's dtype.
        places: (2, h, w) `sampling_places` of the pixels where they apply, the same for all warps.

    Returns:
        (B, C, h, w).
    """
    grid = torch.addcmul(places, flow, canvas.scale).permute(0, 2, 3, 1)
    return _sample(canvas.ground, grid)


def _sample_aligned(
    image: Tensor, flow: Tensor, padding: Padding, corner: Corner, *, exact: bool
) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    pixels = pixel_centres(flow, corner)
    x, y = (pixels + flow).unbind(1)
    valid = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]
    canvas = prepare_canvas(image, exact=exact)
    warped = warp_canvas(canvas, flow, sampling_places(canvas, pixels))
    if padding == "zeros":
        warped = warped * valid
    return warped, valid


def _sample_released(
    image: Tensor, flow: Tensor, padding: Padding, corner: Corner
) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    x, y = _sample_points(flow, corner)
    grid_x = 2 * x / max(width - 1, 1) - 1
    grid_y = 2 * y / max(height - 1, 1) - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    warped = _sample(image, grid, padding=padding)
    with torch.no_grad():
        ones = image.new_ones(image.shape[0], 1, height, width)
        valid = _sample(ones, grid, padding="zeros") > _FULLY_INSIDE
    return warped * valid, valid


def _sample_points(flow: Tensor, corner: Corner) -> tuple[Tensor, Tensor]:
    """Coordinates of every pixel plus its flow: x and y, each (B, H, W)."""
    x, y = pixel_centres(flow, corner)
    return x + flow[:, 0], y + flow[:, 1]


def _sample(
    images: Tensor,
    grid: Tensor,
    *,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    padding: Padding = "border",
) -> Tensor:
    """`grid_sample` of images (B, C, H, W), a single one on a CPU by all threads.

    PyTorch (2.11) gives each thread whole images to sample: bands of rows are made images here.
    """
    grid = _numbers(grid, images)
    bands = _bands(images, grid.shape[1])
    if bands > 1:
        grid = grid[0].unflatten(0, (bands, -1))
        images = images.expand(bands, -1, -1, -1)
    sampled = F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)
    return sampled.transpose(0, 1).flatten(1, 2)[None] if bands > 1 else sampled


def _bands(images: Tensor, rows: int) -> int:
    """Bands of as many rows each, at most one per thread, in which images are sampled."""
    if len(images) > 1 or images.device.type != "cpu" or torch.compiler.is_compiling():
        return 1
    return next(bands for bands in range(torch.get_num_threads(), 0, -1) if rows % bands == 0)


def _numbers(grid: Tensor, image: Tensor) -> Tensor:
    """A grid without NaN, where gradients are wanted.

    In the backward pass on a CPU `grid_sample` writes to where NaN is no place (PyTorch 2.11), and
    a training that diverges would end in a segmentation fault.
    """
    if torch.is_grad_enabled() and (grid.requires_grad or image.requires_grad):
        return grid.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    return grid


def _extended(images: Tensor, dim: int) -> Tensor:
    """Images whose last row or column comes again up to the next power of two.

    Not in a program that is exported for any size.
    """
    size = images.shape[dim]
    if isinstance(size, torch.SymInt):
        return images
    missing = (1 << (size - 1).bit_length()) - size
    if not missing:
        return images
    last = images.narrow(dim, size - 1, 1)
    repeats = [missing if axis == images.ndim + dim else -1 for axis in range(images.ndim)]
    return torch.cat((images, last.expand(repeats)), dim)


def _check_shapes(image: Tensor, flow: Tensor, corner: Corner | None) -> None:
    batch, _, height, width = image.shape
    if corner is not None:
        height, width = flow.shape[-2:]
    if tuple(flow.shape) != (batch, 2, height, width):
        expected = (batch, 2, height, width)
        raise ValueError(f"flow must be {expected} for this image, got {tuple(flow.shape)}")
