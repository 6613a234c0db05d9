"""Videos and images as streams of frames: one is in memory at a time."""

import glob
import os
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from data.files.images import IMAGE_SUFFIXES, read_image
from data.files.videos import AudioTrack
from data.real_pairs import natural_key
from data.video.decoding import decode_video, survey_video
from utils.errors import InputError

_WILDCARD = re.compile(r"(\*\*|\*|\?|\[[^]]+\])")


@dataclass(frozen=True)
class FrameSource:
    """Frames in order of time.

    Attributes:
        path: the video, the folder of images, or their pattern.
        name: what results are called after.
        size: rows and columns.
        fps: frames per second, if known.
        count: how many frames there are.
        files: what they are read from.
        read: starts a pass from a frame number on, as `frames` does.
        keys: names of images, by which they find their partners; none for a video.
        is_turned: whether rows as the sensor stored them are shown as columns.
        audio: sound of a video, if it has any.
    """

    path: Path
    name: str
    size: tuple[int, int]
    fps: float | None
    count: int
    files: tuple[Path, ...]
    read: Callable[[int], Generator[Tensor, None, None]]
    keys: tuple[str, ...] = ()
    is_turned: bool = False
    audio: AudioTrack | None = None

    def frames(self, start: int = 0) -> Generator[Tensor, None, None]:
        """Frames from number `start` on, (3, H, W) RGB float32 in [0, 1], all of one size.

        Raises:
            InputError: one cannot be read.
        """
        return self.read(start)


def open_source(path: str) -> FrameSource:
    """Open a folder of images, the images of a pattern such as "left/*.png", or a video.

    Raises:
        InputError: as for `open_frames_folder`, `open_pattern` and `open_video`.
    """
    if Path(path).is_dir():
        return open_frames_folder(path)
    return open_pattern(path) if _is_pattern(path) else open_video(path)


def is_image(path: str) -> bool:
    """Whether a name says that it is one image's."""
    suffix = Path(path).suffix.lower()
    return suffix in IMAGE_SUFFIXES and not Path(path).is_dir() and not _is_pattern(path)


def open_video(path: str | Path) -> FrameSource:
    """Open a video file; it is read once to find out what it holds.

    Raises:
        InputError: as for `data.video.decoding.survey_video`.
    """
    video = Path(path)
    facts = survey_video(video)
    return FrameSource(
        path=video,
        name=video.stem,
        size=facts.size,
        fps=facts.fps,
        count=facts.count,
        files=(video,),
        read=partial(decode_video, video, facts),
        is_turned=facts.is_turned,
        audio=AudioTrack(video, facts.audio, facts.begin) if facts.audio else None,
    )


def open_frames_folder(path: str | Path) -> FrameSource:
    """Open a folder of images, its frames in natural order of their names.

    Raises:
        InputError: there is no such folder, no image in it, or the first cannot be read.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of frames")
    files = [
        (file.stem, file)
        for file in folder.iterdir()
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise InputError(f"{folder}: no frames; expected images such as 000.png, 001.png")
    return open_images(folder, folder.resolve().name, files)


def open_pattern(pattern: str) -> FrameSource:
    """Open the images of a pattern with `*`, `?`, `[...]`, named by what these stand for.

    Raises:
        InputError: the pattern fits no image, or the first cannot be read.
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
        expected = "expected one such as 'left/*.png', or the name of a video"
        raise InputError(f"{pattern}: fits no image; {expected}")
    return open_images(Path(pattern), files[0][1].resolve().parent.name, files)


def open_images(path: Path, name: str, files: Sequence[tuple[str, Path]]) -> FrameSource:
    """Images by their keys as a source of frames, in natural order of the keys.

    Raises:
        InputError: two images have the same key, or the first cannot be read.
    """
    ordered = sorted(files, key=lambda item: natural_key(item[0]))
    for (key, file), (following, other) in zip(ordered, ordered[1:], strict=False):
        if key == following:
            raise InputError(f"{path}: {file.name} and {other.name} are both frame {key}")
    images = tuple(file for _, file in ordered)
    height, width = read_image(images[0]).shape[-2:]
    keys = tuple(key for key, _ in ordered)
    read = partial(_read, images)
    return FrameSource(path, name, (height, width), None, len(images), images, read, keys)


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not Path(path).exists()


def _as_group(wildcard: str) -> str:
    if wildcard.startswith("["):
        return f"([{wildcard[1:-1].replace('!', '^', 1)}])"
    return "([^/])" if wildcard == "?" else "([^/]*)"


def _read(files: tuple[Path, ...], start: int = 0) -> Generator[Tensor, None, None]:
    shape = None
    for file in files[start:]:
        frame = read_image(file)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(
                f"{file}: expected {shape[1]}x{shape[2]} pixels like {files[0].name}, "
                f"got {frame.shape[1]}x{frame.shape[2]}"
            )
        yield frame
