"""Frames of one capture as image files of a folder."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.image_io import read_image, to_uint8, write_image
from utils.metrics import Image

FRAMES = "frames"
"""Folder of a clip's frames."""


def frame_name(number: int, instant: float) -> str:
    """File name of a frame."""
    return f"frame_{number:03d}_t{instant:.3f}.png"


def write_frames(
    folder: Path, frames: Sequence[Image | NDArray[np.uint16]], times: Sequence[float]
) -> None:
    """Write frames into an existing folder, named by number and instant; they replace others.

    Raises:
        InputError: no space left or no permission.
    """
    names = [frame_name(number, instant) for number, instant in enumerate(times)]
    for name, frame in zip(names, frames, strict=True):
        write_image(folder / name, frame)
    remove_earlier(folder, (), kept=names)


def read_frames(folder: Path, times: Sequence[float]) -> list[Image]:
    """Read back what `write_frames` wrote.

    Raises:
        InputError: a frame is missing or damaged.
    """
    names = (frame_name(number, instant) for number, instant in enumerate(times))
    return [to_uint8(read_image(folder / name)) for name in names]


def remove_earlier(folder: Path, names: Collection[str], *, kept: Collection[str]) -> None:
    """Remove frames and the files `names` that an earlier run made and this one did not.

    `kept` may have the folder of a clip's frames among its names.
    """
    if FRAMES not in kept:
        shutil.rmtree(folder / FRAMES, ignore_errors=True)
    for path in (*folder.glob("frame_[0-9]*_t*.png"), *(folder / name for name in names)):
        if path.name not in kept:
            path.unlink(missing_ok=True)
