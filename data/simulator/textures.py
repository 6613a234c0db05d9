"""Textures of simulated scenes: photos, procedural textures, and windows cut out of them."""

from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from torch import Tensor

from data.files.images import read_image
from data.simulator.procedural_textures import draw_textures
from utils.errors import InputError

BUNDLED_PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
)

_MIN_SIDE = 64  # px
_MAX_SHORT_SIDE = 1080  # px
_SUFFIXES = {".jpg", ".jpeg", ".png"}


def load_textures(folder: str | Path | None, *, procedural: int = 0) -> list[Tensor]:
    """Load the photos of the scenes, and draw procedural textures.

    Photos are kept as 8-bit values, so that hundreds fit in memory. Those with a side below 64 px
    are skipped; those with both sides above 1080 px are reduced, antialiased, to 1080.

    Args:
        folder: searched recursively for .jpg, .jpeg and .png files, in order of their paths; None
            for the colour photos of scikit-image.
        procedural: number of procedural textures, always the same ones, after the photos.

    Returns:
        Textures (3, h, w), RGB uint8.

    Raises:
        InputError: the folder is missing, has no photo or only tiny ones, or one is unreadable.
    """
    if folder is None:
        textures = list(_bundled_textures())
    else:
        textures = [_to_texture(read_image(path)) for path in _photo_paths(folder)]
    usable = [texture for texture in textures if min(texture.shape[1:]) >= _MIN_SIDE]
    if not usable:
        raise InputError(
            f"{folder}: every photo has a side below {_MIN_SIDE} px; scenes need larger photos"
        )
    return usable + draw_textures(procedural)


def cut_window(
    photo: Tensor, height: int, width: int, *, reduction: int, rng: np.random.Generator
) -> Tensor:
    """Cut a random window out of a photo, flip it at random and vary its colours slightly.

    Args:
        photo: (3, h, w) RGB, uint8 or float32 in [0, 1].
        height: rows of the window; fewer where the reduced photo has fewer.
        width: columns of the window; likewise.
        reduction: the photo is first reduced by this factor (area average).
        rng: random generator.

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


@cache
def _bundled_textures() -> tuple[Tensor, ...]:
    """Cached: training and validation scenes share them."""
    folder = Path(skimage.data.__file__).parent
    return tuple(_to_texture(read_image(folder / name)) for name in BUNDLED_PHOTOS)


def _photo_paths(folder: str | Path) -> list[Path]:
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
    factor = _MAX_SHORT_SIDE / min(image.shape[1:])
    if factor < 1:
        size = [round(side * factor) for side in image.shape[1:]]
        image = F.interpolate(
            image[None], size=size, mode="bilinear", align_corners=False, antialias=True
        )[0]
    return image.mul(255).round().clamp(0, 255).to(torch.uint8)


def _vary_colours(window: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply a random gain and curve per channel: v -> gain v (1 + bend (1 - v))."""
    gain = rng.uniform(0.88, 1.0) * rng.uniform(0.94, 1.0, size=(3, 1, 1))
    bend = rng.uniform(-0.3, 0.3) + rng.uniform(-0.05, 0.05, size=(3, 1, 1))
    linear, quadratic = (torch.from_numpy(a).float() for a in (gain * (1 + bend), -gain * bend))
    return (window * quadratic).add_(linear).mul_(window)
