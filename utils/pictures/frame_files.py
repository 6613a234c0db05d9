"""Frames of a capture or a clip as image files."""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.files.folders import expect_no_links
from data.files.images import Image, write_image

FRAMES = "frames"
"""Folder of a clip's frames."""

# Names made by the functions below; other files there are the user's.
_NAME = re.compile(r"(?:frame|seen)_\d{3,}_t[01]\.\d{3}\.png")
_CLIP_NAME = re.compile(r"\d{6,}_\d{3,}_t[01]\.\d{3}\.png")


def frame_name(number: int, instant: float) -> str:
    """File name of a frame."""
    return f"frame_{number:03d}_t{instant:.3f}.png"


def clip_frame_name(pair: int, number: int, instant: float) -> str:
    """File name of a clip's frame: its pair's number, and its own within the pair."""
    return f"{pair:06d}_{number:03d}_t{instant:.3f}.png"


def write_frames(
    folder: Path, frames: Sequence[Image | NDArray[np.uint16]], times: Sequence[float]
) -> None:
    """Write frames into an existing folder, named by number and instant; remove earlier ones.

    Raises:
        InputError: no space left or no permission.
    """
    names = [frame_name(number, instant) for number, instant in enumerate(times)]
    for name, frame in zip(names, frames, strict=True):
        write_image(folder / name, frame)
    remove_earlier(folder, (), kept=names)


def write_masks(folder: Path, masks: NDArray[np.bool_], times: Sequence[float]) -> None:
    """Write (T, H, W) masks of frames as black and white pictures.

    Raises:
        InputError: no space left or no permission.
    """
    for number, (mask, instant) in enumerate(zip(masks, times, strict=True)):
        picture = np.repeat(np.uint8(255) * mask[..., None], 3, axis=2)
        write_image(folder / frame_name(number, instant).replace("frame", "seen"), picture)


def holds_frames(folder: Path) -> bool:
    """Whether a folder of results holds frames of a capture or a clip."""
    if any(_NAME.fullmatch(path.name) for path in folder.iterdir()):
        return True
    frames = folder / FRAMES
    return frames.is_dir() and any(_CLIP_NAME.fullmatch(path.name) for path in frames.iterdir())


def remove_earlier(folder: Path, names: Collection[str], *, kept: Collection[str]) -> None:
    """Remove the frames and the files `names` of an earlier run, except those `kept`.

    `FRAMES` in `kept` keeps the folder of a clip's frames. A link in its place is left alone.
    """
    if FRAMES not in kept and not (folder / FRAMES).is_symlink():
        _remove_clip_frames(folder / FRAMES)
    for path in [*folder.iterdir()]:
        if path.name not in kept and (path.name in names or _NAME.fullmatch(path.name)):
            path.unlink(missing_ok=True)


def replace_clip_frames(folder: Path, made: Path) -> None:
    """Replace the clip's frames in `folder` by those in `made`; other files in it stay.

    Raises:
        InputError: `folder` is a link.
        OSError: no permission.
    """
    expect_no_links(folder, folder.parent)
    _remove_clip_frames(folder)
    if not folder.exists():
        made.rename(folder)
        return
    for path in [*made.iterdir()]:
        os.replace(path, folder / path.name)
    made.rmdir()


def _remove_clip_frames(folder: Path) -> None:
    """Remove a clip's frames, and the folder if that leaves it empty."""
    if not folder.is_dir():
        return
    for path in [*folder.iterdir()]:
        if _CLIP_NAME.fullmatch(path.name):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
