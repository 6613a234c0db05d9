"""What somebody asks for on the page, and the command line of `main_test_real.py` that does it."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.camera_timing import OPPOSITE
from data.files.images import IMAGE_SUFFIXES
from utils.errors import InputError, one_line

ROOT = Path(__file__).resolve().parents[2]
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"})
MAX_FRAMES = 33
"""Per pair."""

METHODS: Mapping[str, tuple[str, ...]] = {
    "drsc_light (default)": (),
    "classical, without learned weights": ("--method", "classical"),
    "the paper's network at half width": (
        *("--set", f"path.pretrained_netG={ROOT}/pretrained/drsc_light_generator.safetensors"),
    ),
}
"""Arguments of each method by its name on the page."""

ARRANGEMENTS: Mapping[str, str | None] = {
    "two files": None,
    "one file, views side by side": "lr",
    "one file, views above each other": "tb",
    "a bundled capture": None,
}
"""Layout of one file with both views, by its name on the page."""

DIRECTIONS = tuple(f"{first},{second}" for first, second in OPPOSITE.items())

_MAX_NAME = 80  # characters that are shown


class Upload(NamedTuple):
    """An uploaded file.

    Attributes:
        path: where the server keeps it.
        name: what its owner calls it; only ever shown.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Request:
    """A correction that is asked for.

    Attributes:
        uploads: the first and the second view, or one file with both.
        layout: of one file with both views.
        cures: "swap", "--align", "--match-colour", "--offset" (`utils.real.check_report.cure_of`).
        method: a key of `METHODS`.
        frames: per pair; of a clip also how many times slower the video is.
        readout_ratio: readout time / frame interval.
        start_offset: delay of the second sensor in readouts.
        directions: of the readout, one of `DIRECTIONS`.
    """

    uploads: tuple[Upload, ...]
    layout: str | None = None
    cures: frozenset[str] = frozenset()
    method: str = next(iter(METHODS))
    frames: int = 9
    readout_ratio: float = 1.0
    start_offset: float = 0.0
    directions: str = DIRECTIONS[0]

    def __post_init__(self) -> None:
        """Check what does not depend on what the files hold.

        Raises:
            InputError: a file is missing or of no known kind, the views are of two kinds, or a
                value is none that the page offers.
        """
        expected = 2 if self.layout is None else 1
        if len(self.uploads) != expected:
            files = "both views, one file each" if expected == 2 else "the file with both views"
            raise InputError(f"nothing to correct yet: give {files}")
        kinds = {kind_of(upload) for upload in self.uploads}
        if len(kinds) > 1:
            raise InputError("one view is an image and the other a video: give two of a kind")
        choices = {"method": METHODS, "directions": DIRECTIONS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: expected one of {', '.join(allowed)}")
        if not 1 <= self.frames <= MAX_FRAMES:
            raise InputError(f"frames: expected 1 to {MAX_FRAMES}, got {self.frames}")

    @property
    def is_clip(self) -> bool:
        """Whether it is a recording rather than a single capture."""
        return kind_of(self.uploads[0]) == "video"

    @property
    def title(self) -> str:
        """What the files are called, as the heading of the results."""
        return " and ".join(map(shown_name, self.uploads))

    def take(self, folder: Path) -> list[Path]:
        """Put the files into a folder, under names of our own.

        Raises:
            InputError: an upload is gone.
            OSError: no space left.
        """
        taken = []
        for name, upload in zip(("first", "second"), self.uploads, strict=False):
            path = folder / f"{name}{upload.path.suffix.lower()}"
            if not upload.path.is_file():
                raise InputError(f"{shown_name(upload)}: no longer here; upload it again")
            try:
                os.link(upload.path, path)
            except OSError:  # another file system, or one without links
                shutil.copyfile(upload.path, path)
            taken.append(path)
        return taken

    def words(self, inputs: Sequence[Path], output: Path, *, check_only: bool) -> list[str]:
        """Arguments of `main_test_real.py` for files that `take` gave."""
        if self.layout is not None:
            words = ["--input", str(inputs[0]), "--layout", self.layout]
        else:
            views = inputs[::-1] if "swap" in self.cures else inputs
            words = [*("--t2b", str(views[0])), *("--b2t", str(views[1]))]
        words += [flag for flag in ("--align", "--match-colour") if flag in self.cures]
        if "--offset" in self.cures and self.is_clip and self.layout is None:
            words += ["--offset", "auto"]
        words += [*("--readout-ratio", f"{self.readout_ratio}")]
        words += [f"--start-offset={self.start_offset}"]  # which may begin with a minus
        words += ["--directions", self._directions]
        words += [f"--title={self.title}"]
        words += ["--output", str(output), f"--title={self.title}", *METHODS[self.method]]
        if check_only:
            return [*words, "--check"]
        if self.is_clip:
            return [*words, "--speed", repr(1 / self.frames), "--save-frames"]
        return [*words, "--frames", str(self.frames), "--gif"]

    @property
    def _directions(self) -> str:
        """The readout directions; of one file with both views, swapping exchanges these."""
        if self.layout is None or "swap" not in self.cures:
            return self.directions
        first, second = self.directions.split(",")
        return f"{second},{first}"


def kind_of(upload: Upload) -> str:
    """Whether a file is an "image" or a "video", by its suffix; decoding tells what it holds.

    Raises:
        InputError: it is neither.
    """
    suffix = upload.path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    known = ", ".join(sorted((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)))
    raise InputError(f"{shown_name(upload)}: neither an image nor a video; expected one of {known}")


def shown_name(upload: Upload) -> str:
    """A file's name as it may stand in a sentence."""
    return one_line(upload.name, _MAX_NAME)


def bundled_captures() -> dict[str, tuple[Upload, ...]]:
    """The captures that come with the code, by name."""
    folder = ROOT / "data/samples"
    views = {
        first.parent.name: (first, first.with_name(first.name.replace("_t2b", "_b2t")))
        for first in sorted(folder.glob("*/*_t2b.png"))
    }
    return {
        name: tuple(Upload(path, f"{name}/{path.name}") for path in pair)
        for name, pair in views.items()
    }
