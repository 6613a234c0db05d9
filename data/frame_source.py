"""Videos and folders of images as streams of frames: one is in memory at a time."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor

from data.real_pairs import natural_key
from utils.errors import InputError
from utils.image_io import IMAGE_SUFFIXES, read_image


@dataclass(frozen=True)
class FrameSource:
    """Frames in order of time.

    Attributes:
        path: the video, or the folder of images.
        fps: frames per second, if known.
        count: how many frames there should be, if known; a damaged video holds fewer.
        frames: starts a pass over the frames, (3, H, W) RGB float32 in [0, 1], all of one size;
            raises an InputError where one cannot be read.
    """

    path: Path
    fps: float | None
    count: int | None
    frames: Callable[[], Iterator[Tensor]]


def open_video(path: str | Path) -> FrameSource:
    """Open a video file; OpenCV decodes it to 8 bits, by BT.601 whatever the file says.

    Raises:
        InputError: there is no such file, or it is no video that can be decoded.
    """
    video = Path(path)
    if not video.is_file():
        raise InputError(f"{video}: no such video")
    capture = _open(video)
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    decoded, _ = capture.read()
    capture.release()
    if not decoded:
        raise InputError(
            f"{video}: no frame can be decoded; expected a video such as .mp4, .mov or .avi"
        )
    return FrameSource(video, fps or None, count if count > 0 else None, lambda: _decode(video))


def open_frames_folder(path: str | Path) -> FrameSource:
    """Open a folder of images, its frames in natural order of their names.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of frames")
    files = sorted(
        (
            file
            for file in folder.iterdir()
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        ),
        key=lambda file: natural_key(file.name),
    )
    if not files:
        raise InputError(f"{folder}: no frames; expected images such as 000.png, 001.png")
    return FrameSource(folder, None, len(files), lambda: _read(files))


def _open(video: Path) -> cv2.VideoCapture:
    # Both libraries report on stderr what ends up in one line here.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.setLogLevel(0)
    try:
        return cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    finally:
        cv2.setLogLevel(level)


def _decode(video: Path) -> Iterator[Tensor]:
    capture = _open(video)
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            rgb = torch.from_numpy(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            yield rgb.permute(2, 0, 1).float() / 255
    finally:
        capture.release()


def _read(files: list[Path]) -> Iterator[Tensor]:
    shape = None
    for file in files:
        frame = read_image(file)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(
                f"{file}: expected {shape[1]}x{shape[2]} pixels like {files[0].name}, "
                f"got {frame.shape[1]}x{frame.shape[2]}"
            )
        yield frame
