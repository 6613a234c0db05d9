"""Small folders of captures with known contents for tests."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def random_pixels(name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB noise that depends on `name` alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def as_image(pixels: NDArray[np.uint8]) -> Tensor:
    """(3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32)) / 255


def write_pixels(path: Path, size: tuple[int, int]) -> None:
    """Write `random_pixels` of the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), random_pixels(path.name, size)[..., ::-1])


def write_rs_gopro(
    root: Path,
    *,
    split: str = "train",
    sequences: tuple[str, ...] = ("seq",),
    pairs: int = 1,
    frames: int = 3,
    size: tuple[int, int] = (6, 8),
) -> Path:
    """Write a split laid out like RS-GOPRO; returns its folder."""
    for sequence in sequences:
        folder = root / split / sequence
        for index in range(pairs):
            for direction in ("t2b", "b2t"):
                write_pixels(folder / "RS" / f"{index:08d}_rs_{direction}.png", size)
            for frame in range(frames):
                write_pixels(folder / "GS" / f"{index:08d}_gs_{frame:03d}.png", size)
    return root / split
