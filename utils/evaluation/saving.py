"""Frames of a test on disk: those that it saves, and those that any program has made."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from data.files.images import IMAGE_SUFFIXES, Image, read_image, to_uint8, write_image
from data.layouts import CaptureFolder
from utils.errors import InputError
from utils.options.parts.frame_names import (
    FRAME_LAYOUTS,
    FrameLayoutName,
    frame_path,
    frames_of_capture,
)

_LISTED = 3  # missing files that a message names


@dataclass(frozen=True)
class ReadyFrames:
    """Frames on disk, one for each true frame of every capture.

    Attributes:
        label: of the method that made them.
        folder: of the frames.
        pattern: of their names (`utils.options.parts.frame_names.frame_path`).
        set_name: name of the test set, if it has one.
        numbers: of the true frames that are scored, if not all are.
    """

    label: str
    folder: Path
    pattern: str
    set_name: str = ""
    numbers: tuple[int, ...] | None = None

    def paths(self, capture: str, times: Sequence[float]) -> dict[int, Path]:
        """Files of the frames of a capture at the instants that are scored, by frame number."""
        numbers = self.numbers or range(len(times))
        numbered = zip(numbers, times, strict=True)
        return {number: self.path(capture, number, time) for number, time in numbered}

    def path(self, capture: str, frame: int, time: float) -> Path:
        """File of a frame.

        Raises:
            InputError: the pattern asks for a number, but the capture's name is none.
        """
        try:
            name = frame_path(
                self.pattern, capture=capture, frame=frame, time=time, set_name=self.set_name
            )
        except ValueError:
            raise InputError(
                f"'{self.label}': pattern '{self.pattern}' asks for the pair's number, but the "
                f"pair is named '{capture}'"
            ) from None
        return self.folder / name

    def read(self, capture: CapturePair, times: Sequence[float]) -> Tensor:
        """Frames (T, 3, H, W) of a capture in [0, 1].

        Raises:
            InputError: one is missing, damaged, or has another size than the capture.
        """
        paths = self.paths(capture.name, times).values()
        return torch.stack([_read_frame(path, capture) for path in paths])


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


def _read_frame(path: Path, capture: CapturePair) -> Tensor:
    frame = read_image(path)
    if frame.shape != capture.t2b.shape:
        height, width = frame.shape[1:]
        raise InputError(
            f"{path}: expected {capture.width}x{capture.height} pixels (width x height) like "
            f"{capture.name}, got {width}x{height}"
        )
    return frame


def check_names(captures: CaptureFolder, method: ReadyFrames, times: Sequence[float]) -> None:
    """Check that there is a file for each frame that is scored, and none beyond these.

    Raises:
        InputError: files are missing, there are too many, or two frames have one name.
    """
    label, folder = method.label, method.folder
    if not folder.is_dir():
        raise InputError(f"'{label}': {folder}: no such folder of frames")
    owners: dict[Path, str] = {}
    for name in captures.names:
        for number, path in method.paths(name, times).items():
            owner = f"{name} frame {number}"
            if path in owners:
                raise InputError(
                    f"'{label}': pattern '{method.pattern}' gives {owners[path]} and {owner} one "
                    f"file, {path}; use {{sequence}}, {{pair}} and {{frame}}"
                )
            owners[path] = owner
    missing = [path for path in owners if not path.is_file()]
    if missing:
        raise InputError(_describe_missing(method, missing, len(owners)))
    beyond = captures.frame_count(0)
    for name in captures.names:
        # One more frame per capture: these were made at other instants than the true frames.
        extra = method.path(name, beyond, 1.0)
        if extra not in owners and extra.is_file():
            raise InputError(
                f"'{label}': {extra}: more frames than the {beyond} true ones of {name}; expected "
                "frames at the instants of the true frames"
            )


def _describe_missing(method: ReadyFrames, missing: Sequence[Path], count: int) -> str:
    listed = ", ".join(str(path.relative_to(method.folder)) for path in missing[:_LISTED])
    more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    about = f"{len(missing)} of {count} frames are missing in {method.folder}: {listed}{more}"
    if len(missing) == count:
        found = next(_images_in(method.folder), None)
        there = "no images" if found is None else f"{found.relative_to(method.folder)} or the like"
        about += f"; it holds {there}, pattern is '{method.pattern}'"
    return f"'{method.label}': {about}; nothing was scored"


def _images_in(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        for file in sorted(files):
            if Path(file).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(root) / file
