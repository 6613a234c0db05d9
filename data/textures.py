"""What simulated scenes are made of: photos, windows cut out of them, random outlines."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import InputError
from utils.image_io import read_image

SMALLEST_SIDE = 64
LARGEST_SHORT_SIDE = 1080
BUNDLED_PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
)

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_EDGE_WIDTH = 1.5  # px over which an outline fades out
_MARGIN = 2.0  # px kept empty around an outline


def load_textures(folder: str | Path | None) -> list[Tensor]:
    """Load the photos that scenes are made of.

    Photos are kept as 8-bit values, so that hundreds fit in memory. Those with a side below 64 px
    are left out; those with both sides above 1080 px are reduced, antialiased, to 1080.

    Args:
        folder: searched with its subfolders for .jpg, .jpeg and .png files, taken in order of
            their paths; None for the colour photos that scikit-image carries.

    Returns:
        Photos (3, h, w), RGB uint8.

    Raises:
        InputError: no such folder, no photo in it, only tiny ones, or an unreadable one.
    """
    textures = [_to_texture(read_image(path)) for path in _photo_paths(folder)]
    usable = [texture for texture in textures if min(texture.shape[1:]) >= SMALLEST_SIDE]
    if not usable:
        raise InputError(
            f"{folder}: every photo has a side below {SMALLEST_SIDE} px; scenes need larger photos"
        )
    return usable


def cut_window(
    photo: Tensor, height: int, width: int, *, reduction: int, rng: np.random.Generator
) -> Tensor:
    """Cut a random window out of a photo, flip it at random and vary its colours mildly.

    Args:
        photo: (3, h, w) RGB, uint8 or float32 in [0, 1].
        height: rows of the window; fewer where the reduced photo has fewer.
        width: columns of the window; likewise.
        reduction: the photo is first reduced by this factor (area average).
        rng: source of randomness.

    Returns:
        (3, height, width) float32 in [0, 1].
    """
    full_height, full_width = photo.shape[1:]
    rows, columns = min(height * reduction, full_height), min(width * reduction, full_width)
    top = int(rng.integers(0, full_height - rows + 1))
    left = int(rng.integers(0, full_width - columns + 1))
    window = photo[:, top : top + rows, left : left + columns]
    window = window.float().div_(255) if window.dtype == torch.uint8 else window
    if reduction > 1:
        window = F.avg_pool2d(window, reduction)
    if rng.random() < 0.5:
        window = window.flip(-1)
    return _vary_colours(window, rng)


def draw_outline(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """Draw a random antialiased silhouette: a blob, an ellipse, a polygon or a bar.

    Returns:
        (height, width) float32 opacity in [0, 1], 0 along the border.
    """
    y = torch.arange(height)[:, None] - (height - 1) / 2
    x = torch.arange(width)[None, :] - (width - 1) / 2
    radii = (width / 2 - _MARGIN, height / 2 - _MARGIN)
    draw = _OUTLINES[rng.integers(len(_OUTLINES))]
    return (0.5 - draw(rng, x, y, radii) / _EDGE_WIDTH).clamp(0, 1)


def _photo_paths(folder: str | Path | None) -> list[Path]:
    if folder is None:
        return [Path(skimage.data.__file__).parent / name for name in BUNDLED_PHOTOS]
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of photos for simulated scenes, got no folder")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise InputError(
            f"{root}: no photo found for simulated scenes; expected .jpg, .jpeg or .png files"
        )
    return paths


def _to_texture(image: Tensor) -> Tensor:
    factor = LARGEST_SHORT_SIDE / min(image.shape[1:])
    if factor < 1:
        size = [round(side * factor) for side in image.shape[1:]]
        image = F.interpolate(
            image[None], size=size, mode="bilinear", align_corners=False, antialias=True
        )[0]
    return image.mul(255).round().clamp(0, 255).to(torch.uint8)


def _vary_colours(window: Tensor, rng: np.random.Generator) -> Tensor:
    """Gain and a gamma-like curve per channel, v -> gain v (1 + bend (1 - v)), within [0, 1]."""
    gain = rng.uniform(0.88, 1.0) * rng.uniform(0.94, 1.0, size=(3, 1, 1))
    bend = rng.uniform(-0.3, 0.3) + rng.uniform(-0.05, 0.05, size=(3, 1, 1))
    linear, quadratic = (torch.from_numpy(a).float() for a in (gain * (1 + bend), -gain * bend))
    return (window * quadratic).add_(linear).mul_(window)


def _blob(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A circle stretched to `radii` whose radius undulates with the direction."""
    angle = torch.atan2(y / radii[1], x / radii[0])
    undulation = torch.zeros_like(angle)
    for frequency in range(2, 7):
        amplitude, phase = rng.uniform(0, 0.3) / frequency, rng.uniform(0, 2 * math.pi)
        undulation += amplitude * torch.cos(frequency * angle + phase)
    boundary = (1 + undulation) / float((1 + undulation).max())
    return _distance(torch.hypot(x / radii[0], y / radii[1]) - boundary)


def _ellipse(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """The largest ellipse, or a narrower one."""
    narrow = rng.uniform(0.6, 1.0)
    return _distance(torch.hypot(x / (narrow * radii[0]), y / radii[1]) - 1)


def _polygon(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A convex polygon of three to seven corners on the largest ellipse."""
    corners = int(rng.integers(3, 8))
    steps = np.arange(corners) + rng.uniform(-0.3, 0.3, size=corners)
    angles = 2 * math.pi * (steps / corners + rng.random())
    corner_x, corner_y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    distance = torch.full_like(x + y, -math.inf)
    for first in range(corners):
        second = (first + 1) % corners
        along_x, along_y = corner_x[second] - corner_x[first], corner_y[second] - corner_y[first]
        across = (x - corner_x[first]) * along_y - (y - corner_y[first]) * along_x
        distance = torch.maximum(distance, across / math.hypot(along_x, along_y))
    return distance


def _bar(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A bar along the longer side, its ends rounded."""
    half_length, half_width = max(radii), min(radii) * rng.uniform(0.15, 0.4)
    along, across = (x.abs(), y.abs()) if radii[0] >= radii[1] else (y.abs(), x.abs())
    beyond = (along - (half_length - half_width)).clamp(min=0)
    return torch.hypot(beyond, across) - half_width


def _distance(level: Tensor) -> Tensor:
    """Approximate signed distance in px to the zero line of a function on the pixel grid."""
    slope_y, slope_x = torch.gradient(level)
    return level / torch.hypot(slope_x, slope_y).clamp(min=1e-6)


_OUTLINES: tuple[Callable[..., Tensor], ...] = (_blob, _ellipse, _polygon, _bar)
