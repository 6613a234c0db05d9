"""What is kept of a corrected capture: frames, video, contact sheet; all of it or nothing."""

import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.camera_timing import CameraTiming
from data.capture import CapturePair
from models.correction import Method
from utils.contact_sheet import draw_contact_sheet
from utils.errors import InputError
from utils.image_io import (
    prepare_output_folder,
    read_image,
    to_uint8,
    write_gif,
    write_image,
    write_video,
)
from utils.metrics import Image

VIDEO = "video.mp4"
ANIMATION = "video.gif"
CONTACT_SHEET = "contact_sheet.png"

DEFAULT_FPS = 9.0
"""Frames per second of a video whose speed nothing tells."""


@dataclass(frozen=True)
class Presentation:
    """Which frames to make and how to show them.

    Attributes:
        times: instants of the frames in [0, 1], at least one.
        fps: frames per second of video and GIF.
        gif: whether to write a GIF, too.
        timing: of the sensors, whose way to stand frames and inputs are brought back to.
    """

    times: tuple[float, ...]
    fps: float
    gif: bool = False
    timing: CameraTiming = CameraTiming()


def frame_name(number: int, instant: float) -> str:
    """File name of a frame."""
    return f"frame_{number:03d}_t{instant:.3f}.png"


def write_frames(folder: Path, frames: Sequence[Image], times: Sequence[float]) -> None:
    """Write frames into an existing folder, named by number and instant; they replace others.

    Raises:
        InputError: no space left or no permission.
    """
    names = [frame_name(number, instant) for number, instant in enumerate(times)]
    for name, frame in zip(names, frames, strict=True):
        write_image(folder / name, frame)
    _remove_earlier(folder, (), kept=names)


def read_frames(folder: Path, times: Sequence[float]) -> list[Image]:
    """Read back what `write_frames` wrote.

    Raises:
        InputError: a frame is missing or damaged.
    """
    names = (frame_name(number, instant) for number, instant in enumerate(times))
    return [to_uint8(read_image(folder / name)) for name in names]


def write_results(capture: CapturePair, method: Method, show: Presentation, folder: Path) -> None:
    """Correct a capture and write frames, video and contact sheet into `folder`.

    Everything is made in a hidden folder inside first, so an error leaves earlier results as they
    were. Of these, what is not made again is removed; other files are left alone.

    Raises:
        InputError: the images cannot be corrected, or the results cannot be written.
    """
    made = method(capture.pair, show.times, scan_time=capture.scan_time)
    frames = [to_uint8(frame) for frame in show.timing.restore(made)]
    t2b, b2t = (to_uint8(image) for image in show.timing.restore(capture.pair))
    prepare_output_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as name:
        making = Path(name)
        write_frames(making, frames, show.times)
        sheet = draw_contact_sheet(
            t2b, b2t, frames, show.times, directions=show.timing.oriented_directions
        )
        write_image(making / CONTACT_SHEET, sheet)
        write_video(making / VIDEO, frames, show.fps)
        if show.gif:
            write_gif(making / ANIMATION, frames, show.fps)
        _replace_results(folder, making)


def _replace_results(folder: Path, making: Path) -> None:
    """Move the finished files of `making` into `folder` and remove what an earlier run left."""
    made = sorted(path.name for path in making.iterdir())
    try:
        for name in made:
            os.replace(making / name, folder / name)
    except OSError as error:
        raise InputError(f"{folder}: cannot replace earlier results: {error.strerror}") from error
    _remove_earlier(folder, (VIDEO, ANIMATION, CONTACT_SHEET), kept=made)


def _remove_earlier(folder: Path, names: Collection[str], *, kept: Collection[str]) -> None:
    """Remove frames and the files `names` that an earlier run made and this one did not."""
    for path in (*folder.glob("frame_[0-9]*_t*.png"), *(folder / name for name in names)):
        if path.name not in kept:
            path.unlink(missing_ok=True)
