"""Backward warping, with the sampling rule and the border rule as parameters.

Two sampling rules, because published weights depend on the second:

* `"aligned"` (the default): pixel centres lie at integers, and sample points outside the image are
  clamped to its border. Zero flow and whole-pixel flow reproduce pixels bit for bit.
* `"released"`: as in the authors' code, which normalises coordinates by 2x / (W - 1) - 1, the
  convention of `align_corners=True`, but samples with `align_corners=False`. This displaces
  samples by up to half a pixel, outwards from the centre. A field of ones is sampled along, and
  pixels where it stays at or below 0.999 become zero; at zero flow these are the outermost ring.

The generator's own warps are always `"aligned"`; the rule concerns the distortion warping and the
feature warps of PWC-Net.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.parts.padding import repeat_last

Sampling = Literal["aligned", "released"]
Padding = Literal["border", "zeros"]
Corner = tuple[int, int]
"""(top, left) pixel of an image; it may lie outside."""

_VALID_THRESHOLD = 0.999  # of a sampled field of ones, above which a point is inside ("released")


class Canvas(NamedTuple):
    """Images prepared for repeated sampling.

    `grid_sample` takes normalised coordinates, whose rounding displaces whole-pixel samples by
    about 1e-5 px. If both sides are powers of two, normalising and its inverse are exact.

    Attributes:
        ground: (..., C, H', W'), the images at the top left, extended by replicating their border.
        scale: (2, 1, 1) step of the normalised coordinates x and y per pixel.
        first: (2, 1, 1) normalised coordinates of the first pixel.
    """

    ground: Tensor
    scale: Tensor
    first: Tensor


class Warped(NamedTuple):
    """A warped image and its validity.

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
        sampling: the sampling rule, see the module.
        padding: value of points outside the image. `"aligned"`: the border's colour or zero.
            `"released"`: zero; the padding only sets the value of bilinear neighbours outside the
            image at points that pass the 0.999 test.
        corner: top left pixel of the flow of a part of the image.
        exact: whether `"aligned"` whole-pixel flow reproduces pixels to the bit. False is faster
            unless both sides are powers of two, and off by about 1e-5 px.

    Raises:
        ValueError: the shapes do not fit, or the rule is unknown.
    """
    _check_shapes(image, flow, corner)
    if sampling not in ("aligned", "released"):
        raise ValueError(f"sampling must be 'aligned' or 'released', got {sampling!r}")
    # bfloat16 represents integers only up to 256: coordinates are float32 or better.
    dtype = torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    precise, flow = image.to(dtype), flow.to(dtype)
    pixels = pixel_centres(flow, corner or (0, 0))
    x, y = (pixels + flow).unbind(1)
    height, width = image.shape[-2:]
    if sampling == "released":
        grid = torch.stack((2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
        warped = _sample(precise, grid, padding=padding)
        with torch.no_grad():
            ones = precise.new_ones(image.shape[0], 1, height, width)
            valid = _sample(ones, grid, padding="zeros") > _VALID_THRESHOLD
    else:
        valid = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))[:, None]
        canvas = prepare_canvas(precise, exact=exact)
        warped = warp_canvas(canvas, flow, sampling_places(canvas, pixels))
    if sampling == "released" or padding == "zeros":
        warped = warped * valid
    return Warped(warped.to(image.dtype), valid.to(image.dtype))


def bicubic_warp(image: Tensor, flow: Tensor, corner: Corner | None = None) -> Tensor:
    """Sample `image` bicubically at every pixel plus its flow; `"aligned"`, clamped to the border.

    Sharper than bilinear sampling, which blurs between pixels; values may overshoot.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, h, w) displacements (dx, dy) in pixels, (h, w) = (H, W) without a `corner`.
        corner: top left pixel of the flow of a part of the image.

    Returns:
        (B, C, h, w) in the image's dtype.

    Raises:
        ValueError: the shapes do not fit.
    """
    _check_shapes(image, flow, corner)
    height, width = image.shape[-2:]
    x, y = (pixel_centres(flow.float(), corner or (0, 0)) + flow.float()).unbind(1)
    grid_x = (2 * x.clamp(0, width - 1) + 1) / width - 1
    grid_y = (2 * y.clamp(0, height - 1) + 1) / height - 1
    grid = torch.stack((grid_x, grid_y), dim=-1)
    return _sample(image.float(), grid, mode="bicubic").to(image.dtype)


def prepare_canvas(images: Tensor, *, exact: bool = True) -> Canvas:
    """Prepare images (..., C, H, W), float32 or better, for `warp_canvas`.

    Args:
        images: the images to sample.
        exact: whether whole-pixel samples reproduce pixels to the bit.
    """
    ground = _extend(_extend(images, -1), -2) if exact else images
    # torch.tensor, not new_tensor: the latter bakes the size into an exported graph. The copy is
    # non-blocking, so the GPU is not synchronised.
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
    """Normalised coordinates of pixels (2, h, w) of a canvas."""
    return torch.addcmul(canvas.first, pixels, canvas.scale)


def warp_canvas(canvas: Canvas, flow: Tensor, places: Tensor) -> Tensor:
    """`backward_warp` by the rule `"aligned"`, clamped to the border.

    Args:
        canvas: of (B, C, H, W).
        flow: (B, 2, h, w) displacements (dx, dy) in pixels, in the canvas's dtype.
        places: (2, h, w) `sampling_places` of the flow's pixels, shared by all warps.

    Returns:
        (B, C, h, w).
    """
    grid = torch.addcmul(places, flow, canvas.scale).permute(0, 2, 3, 1)
    return _sample(canvas.ground, grid)


def _sample(
    images: Tensor,
    grid: Tensor,
    *,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    padding: Padding = "border",
) -> Tensor:
    """`grid_sample` of images (B, C, H, W); a single image on a CPU is sampled by all threads.

    PyTorch (2.11) parallelises over images only, so bands of rows are turned into images.
    """
    if torch.is_grad_enabled() and (grid.requires_grad or images.requires_grad):
        # NaN makes the backward pass on a CPU write out of bounds (PyTorch 2.11): a diverging
        # training would end in a segmentation fault.
        grid = grid.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    bands = _bands(images, grid.shape[1])
    if bands > 1:
        grid = grid[0].unflatten(0, (bands, -1))
        images = images.expand(bands, -1, -1, -1)
    sampled = F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)
    return sampled.transpose(0, 1).flatten(1, 2)[None] if bands > 1 else sampled


def _bands(images: Tensor, rows: int) -> int:
    """Number of equal bands of rows in which images are sampled, at most one per thread."""
    if len(images) > 1 or images.device.type != "cpu" or torch.compiler.is_compiling():
        return 1
    return next(bands for bands in range(torch.get_num_threads(), 0, -1) if rows % bands == 0)


def _extend(images: Tensor, dim: int) -> Tensor:
    """Replicate the last row or column up to the next power of two.

    Graphs exported for any size keep the images as they are.
    """
    size = images.shape[dim]
    if isinstance(size, torch.SymInt):
        return images
    return repeat_last(images, (1 << (size - 1).bit_length()) - size, dim=dim)


def _check_shapes(image: Tensor, flow: Tensor, corner: Corner | None) -> None:
    batch, _, height, width = image.shape
    if corner is not None:
        height, width = flow.shape[-2:]
    if tuple(flow.shape) != (batch, 2, height, width):
        expected = (batch, 2, height, width)
        raise ValueError(f"flow must be {expected} for this image, got {tuple(flow.shape)}")
