"""Videos and image sequences as streams of frames; one frame is in memory at a time."""

import glob
import os
import re
import unicodedata
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.files.images import IMAGE_SUFFIXES, OTHER_STILLS, read_image
from data.files.left_out import left_out
from data.files.stored_values import StoredValues
from data.files.videos import AudioTrack
from data.real_pairs import natural_key
from data.video.continuity import THUMBNAIL
from utils.errors import InputError

if TYPE_CHECKING:
    from data.video.decoding import VideoInfo

_NO_FRAMES = (OTHER_STILLS | {".gif"}) - {".svg", ".pdf"}
_NUMBER = re.compile(r"\d+")
_WILDCARD = re.compile(r"(\*\*|\*|\?|\[[^]]+\])")
FrameReader = Callable[..., Generator[Tensor, None, None]]
"""Yields the frames of a source from an index on."""


@dataclass(frozen=True)
class FrameSource:
    """Frames in order of time."""

    path: Path  # the video, the folder of images, or their pattern
    name: str  # for naming results
    size: tuple[int, int]  # rows and columns
    fps: float | None  # if known
    count: int
    files: tuple[Path, ...]
    frames: FrameReader
    """Yields frames from an index on (default 0), (3, H, W) RGB float32 in [0, 1], of equal size.

    It raises an InputError if one cannot be read.
    """
    keys: tuple[str, ...] = ()  # names of images, to find partners; empty for a video
    is_rotated: bool = False  # rows as the sensor stored them are shown as columns
    audio: AudioTrack | None = None
    video: "VideoInfo | None" = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show to the user about what is converted or left out."""
        return self.video.notes if self.video else tuple(left_out(self.files[0]))

    def thumbnails(self) -> NDArray[np.uint8]:
        """Small grey pictures (count, 48, 64) of all frames; images are read for them.

        They end before an image that cannot be read: that is an error of its pair, which keeps the
        results of those before.
        """
        if self.video is not None:
            return self.video.thumbnails
        rows, columns = THUMBNAIL
        small = np.zeros((self.count, rows, columns), np.uint8)
        number = 0
        with suppress(InputError):
            for number, frame in enumerate(self.frames(), start=1):
                grey = frame.mean(0).numpy()
                reduced = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
                small[number - 1] = (255 * reduced).round()
        return small[:number]

    @property
    def pixel_aspect(self) -> Fraction:
        """Width / height of a pixel as it is shown."""
        return self.video.pixel_aspect if self.video else Fraction(1)


def open_source(
    path: str, *, variable: bool = False, stored: StoredValues | None = None
) -> FrameSource:
    """Open a folder of images, the images of a pattern such as "left/*.png", or a video.

    Args:
        path: what to open.
        variable: accept a video of variable frame rate.
        stored: what the values of images are; see `data.files.images.read_image`.

    Raises:
        InputError: as for `open_frames_folder`, `open_pattern` and `open_video`.
    """
    if Path(path).is_dir():
        return open_frames_folder(path, stored)
    return open_pattern(path, stored) if _is_pattern(path) else open_video(path, variable=variable)


def is_image(path: str) -> bool:
    """Whether a path names one image, by its suffix."""
    suffix = Path(path).suffix.lower()
    return suffix in IMAGE_SUFFIXES and not Path(path).is_dir() and not _is_pattern(path)


def open_video(path: str | Path, *, variable: bool = False) -> FrameSource:
    """Open a video file; decodes it once to find its properties.

    Args:
        path: the file.
        variable: accept a variable frame rate.

    Raises:
        InputError: as for `data.video.decoding.probe_video`, or it is a still image.
    """
    video = Path(path)
    if video.suffix.lower() in OTHER_STILLS and video.is_file():
        raise InputError(
            f"{video}: stills of this format are not read; convert them to PNG or TIFF, upright "
            "as the sensor stored them"
        )
    # Not at the top: images need no PyAV.
    from data.video.decoding import decode_video, probe_video

    info = probe_video(video, variable=variable)
    # Decoding needs no small pictures of all frames; it may travel to worker processes.
    to_decode = replace(info, thumbnails=info.thumbnails[:0].copy())
    return FrameSource(
        path=video,
        name=video.stem,
        size=info.size,
        fps=info.fps,
        count=info.count,
        files=(video,),
        frames=partial(decode_video, video, to_decode),
        is_rotated=info.is_rotated,
        audio=AudioTrack(video, info.audio, info.begin) if info.audio else None,
        video=info,
    )


def open_frames_folder(path: str | Path, stored: StoredValues | None = None) -> FrameSource:
    """Open a folder of images as frames, in natural order of their names.

    Raises:
        InputError: the folder is missing or holds no image, two images have the same stem, frames
            are of a format that is not read, or the first image cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of frames")
    visible = [
        file for file in folder.iterdir() if not file.name.startswith(".") and not file.is_dir()
    ]
    files = [(file.stem, file) for file in visible if file.suffix.lower() in IMAGE_SUFFIXES]
    stems = {stem for stem, _ in files}
    shapes = {_NUMBER.sub("0", stem) for stem in stems}
    # A raw file beside an image of its name is the same picture; others of such names are frames.
    others = [
        file.name
        for file in visible
        if file.suffix.lower() in _NO_FRAMES
        and file.stem not in stems
        and (not stems or _NUMBER.sub("0", file.stem) in shapes)
    ]
    if others:
        shown = min(others, key=natural_key)
        raise InputError(
            f"{folder}: {len(others)} of its files, such as {shown}, are of a format that is not "
            "read as a frame; convert them to PNG or TIFF, upright as the sensor stored them, or "
            "move them elsewhere"
        )
    if not files:
        raise InputError(f"{folder}: no frames; expected images such as 000.png, 001.png")
    return open_images(folder, folder.resolve().name, files, stored)


def open_pattern(pattern: str, stored: StoredValues | None = None) -> FrameSource:
    """Open the images that match a pattern; the text that `*`, `?`, `[...]` match is their key.

    Raises:
        InputError: no image matches, two have the same key, or the first cannot be read.
    """
    pattern = os.path.normpath(pattern)
    parts = _WILDCARD.split(pattern)
    expression = "".join(
        _as_group(part) if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    files = []
    for name in sorted(glob.glob(pattern), key=natural_key):
        match = re.fullmatch(expression, name)
        if match and Path(name).suffix.lower() in IMAGE_SUFFIXES:
            files.append(("/".join(match.groups()), Path(name)))
    if not files:
        raise InputError(
            f"{pattern}: matches no image; expected a pattern such as 'left/*.png', or a video"
        )
    return open_images(Path(pattern), files[0][1].resolve().parent.name, files, stored)


def open_images(
    path: Path, name: str, files: Sequence[tuple[str, Path]], stored: StoredValues | None = None
) -> FrameSource:
    """Open images with their keys as frames, in natural order of the keys.

    Raises:
        InputError: two images have the same key, or the first cannot be read.
    """
    # File systems and archives write "é" as one character or two.
    named = [(unicodedata.normalize("NFC", key), file) for key, file in files]
    ordered = sorted(named, key=lambda item: natural_key(item[0]))
    for (key, file), (following, other) in pairwise(ordered):
        if key == following:
            raise InputError(
                f"{path}: {file.name} and {other.name} are both frame {key}; remove one"
            )
    keys, images = zip(*ordered, strict=True)
    for image in images:
        if image.is_symlink() and not image.exists():
            raise InputError(f"{image}: a link to a file that does not exist; remove or mend it")
    height, width = read_image(images[0], stored).shape[-2:]
    if stored is not None:  # judged by the first image: a later one may be dark
        stored = replace(stored, bits=stored.bits or 16, bayer=stored.bayer or "none")
    frames = partial(_read_images, images, stored=stored)
    return FrameSource(path, name, (height, width), None, len(images), images, frames, keys)


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not Path(path).exists()


def _as_group(wildcard: str) -> str:
    if wildcard.startswith("["):
        return f"([{wildcard[1:-1].replace('!', '^', 1)}])"
    return "([^/])" if wildcard == "?" else "([^/]*)"


def _read_images(
    files: tuple[Path, ...], start: int = 0, *, stored: StoredValues | None = None
) -> Generator[Tensor, None, None]:
    shape = None
    for file in files[start:]:
        frame = read_image(file, stored)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(
                f"{file}: expected {shape[2]}x{shape[1]} pixels like {files[0].name}, "
                f"got {frame.shape[2]}x{frame.shape[1]}"
            )
        yield frame
