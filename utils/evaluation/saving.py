"""Saved frames of a test: one folder for each rounding, names by one of two layouts."""

from collections.abc import Sequence
from pathlib import Path

from data.files.folders import prepare_output_folder
from data.files.images import Image, read_image, to_uint8, write_image
from utils.options.parts.frame_names import (
    FRAME_LAYOUTS,
    FrameLayoutName,
    frame_path,
    frames_of_capture,
)


def save_frames(
    folder: Path,
    capture: str,
    images: Sequence[Image],
    times: Sequence[float],
    *,
    layout: FrameLayoutName = "ours",
) -> None:
    """Write the frames of a capture, and remove its earlier ones, whatever their layout.

    Args:
        folder: of the frames of all captures; created if need be.
        capture: its name, "SEQUENCE/PAIR".
        images: one for each instant.
        times: the instants.
        layout: of the file names.

    Raises:
        InputError: no space left or no permission.
    """
    paths = _paths(capture, times, layout)
    prepare_output_folder((folder / paths[0]).parent)
    for path, image in zip(paths, images, strict=True):
        write_image(folder / path, image)
    for each in FRAME_LAYOUTS:
        _remove_others(folder, capture, each, kept=paths)


def read_saved_frames(
    folder: Path, capture: str, times: Sequence[float], *, layout: FrameLayoutName = "ours"
) -> list[Image]:
    """Read the frames that `save_frames` wrote.

    Raises:
        InputError: a frame is missing or damaged.
    """
    return [to_uint8(read_image(folder / path)) for path in _paths(capture, times, layout)]


def _paths(capture: str, times: Sequence[float], layout: FrameLayoutName) -> list[str]:
    return [
        frame_path(layout, capture=capture, frame=number, time=time)
        for number, time in enumerate(times)
    ]


def _remove_others(
    folder: Path, capture: str, layout: FrameLayoutName, *, kept: Sequence[str]
) -> None:
    """Remove the frames of a capture in a layout, except those kept, and its folder if empty."""
    name = frames_of_capture(layout, capture)
    place = (folder / frame_path(layout, capture=capture, frame=0, time=0.0)).parent
    if not place.is_dir():
        return
    for path in [*place.iterdir()]:
        relative = path.relative_to(folder).as_posix()
        if relative not in kept and name.fullmatch(relative):
            path.unlink(missing_ok=True)
    if not any(place.iterdir()):
        place.rmdir()
