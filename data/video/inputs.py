"""What the command line names: a folder of captures, one capture, or a clip."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from data.camera_timing import CameraTiming, Direction
from data.capture import CapturePair
from data.real_pairs import read_pair
from data.video.sources import is_image, open_source
from data.video.streams import CaptureStream, Layout, pair_views, read_split, split_views
from utils.errors import InputError

_DIRECTIONS: tuple[tuple[Direction, Direction], ...] = (
    ("t2b", "b2t"),
    ("b2t", "t2b"),
    ("l2r", "r2l"),
    ("r2l", "l2r"),
)


@dataclass(frozen=True)
class ChosenInput:
    """What the command line names instead of the folder of captures.

    Attributes:
        first: recording of the first sensor, or of both where there is a `layout`.
        second: recording of the second sensor, if it has one of its own.
        layout: where both views stand in one picture.
        offset: frame n of the first belongs with frame n + `offset` of the second.
    """

    first: str
    second: str | None = None
    layout: Layout | None = None
    offset: int = 0

    @property
    def is_clip(self) -> bool:
        """Whether it is a recording, not a single capture."""
        return not is_image(self.first)

    @property
    def files(self) -> set[Path]:
        """The paths given, resolved."""
        return {Path(name).resolve() for name in (self.first, self.second) if name is not None}


def add_input_arguments(inputs: argparse._ArgumentGroup, *, images: bool = True) -> None:
    """Add what names one capture or a clip; without `images` a clip alone."""
    source = "video, folder of images, or quoted pattern such as 'left/*.png'"
    source = f"image, {source}" if images else source
    inputs.add_argument("--t2b", metavar="PATH", help=f"first view, read top to bottom: {source}")
    inputs.add_argument(
        "--b2t", metavar="PATH", help="second view, read bottom to top, of the same kind"
    )
    inputs.add_argument(
        "--offset",
        metavar="K",
        help="clips: frame n of --t2b belongs with frame n + K of --b2t (0)",
    )
    inputs.add_argument("--input", metavar="PATH", help=f"both views in one picture: {source}")
    inputs.add_argument(
        "--layout", choices=get_args(Layout), help="of --input: left and right, or top and bottom"
    )


def chosen_input(arguments: argparse.Namespace) -> ChosenInput | None:
    """What to correct instead of the folder of captures, if the command line names it.

    Raises:
        InputError: arguments are missing, do not go together, or cannot be read.
    """
    t2b, b2t, both = arguments.t2b, arguments.b2t, arguments.input
    offset = _parse_offset(arguments.offset)
    if "" in (t2b, b2t, both):
        raise InputError("--t2b, --b2t or --input: expected a path, got an empty one")
    if both is not None and (t2b, b2t) != (None, None):
        raise InputError("--input holds both views; leave out --t2b and --b2t")
    if (both is None) != (arguments.layout is None):
        given, missing = ("--input", "--layout") if both else ("--layout", "--input")
        raise InputError(f"{given} without {missing}: say which file, and lr or tb for its views")
    if (t2b is None) != (b2t is None):
        given, missing = ("--t2b", "--b2t") if t2b else ("--b2t", "--t2b")
        raise InputError(f"{given} without {missing}: a capture needs both images")
    if offset is not None and t2b is None:
        raise InputError("--offset: only for --t2b with --b2t; leave it out")
    if both is not None:
        return ChosenInput(both, layout=arguments.layout)
    if t2b is None:
        return None
    if is_image(t2b) != is_image(b2t):
        raise InputError(f"{t2b} with {b2t}: expected two of a kind, not an image and a clip")
    if offset is not None and is_image(t2b):
        raise InputError("--offset: only for clips, not for two images; leave it out")
    return ChosenInput(t2b, b2t, offset=offset or 0)


def add_directions_argument(timing: argparse._ArgumentGroup) -> None:
    """Add `--directions`, for `parse_directions`."""
    timing.add_argument(
        "--directions",
        metavar="D1,D2",
        help="how first and second view are read: t2b,b2t (default), b2t,t2b, l2r,r2l or r2l,l2r",
    )


def parse_directions(text: str) -> tuple[Direction, Direction]:
    """The directions in which both sensors are read, "t2b,b2t" or another pair.

    Raises:
        InputError: it is no such pair.
    """
    for directions in _DIRECTIONS:
        if text == ",".join(directions):
            return directions
    raise InputError(f"--directions {text}: expected t2b,b2t or b2t,t2b or l2r,r2l or r2l,l2r")


def read_capture(chosen: ChosenInput) -> CapturePair:
    """The single capture named on the command line.

    Raises:
        InputError: it cannot be read.
    """
    if chosen.layout is not None:
        return read_split(chosen.first, chosen.layout)
    return read_pair(chosen.first, str(chosen.second))


def open_clip(chosen: ChosenInput, timing: CameraTiming) -> CaptureStream:
    """The clip named on the command line.

    Raises:
        InputError: it cannot be read, or its views do not go together.
    """
    first = open_source(chosen.first)
    if chosen.layout is not None:
        return split_views(first, chosen.layout, timing)
    return pair_views(first, open_source(str(chosen.second)), timing, offset=chosen.offset)


def _parse_offset(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        raise InputError(f"--offset {text}: expected a whole number of frames") from None
