"""The input arguments of the command line: one capture or a clip."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from data.camera_timing import OPPOSITE, CameraTiming, Direction, Layout
from utils.errors import InputError

if TYPE_CHECKING:
    from data.capture import CapturePair
    from data.files.stored_values import StoredValues
    from data.video.pairing import Change
    from data.video.streams import CaptureStream

# What reads images and videos is imported where they are read: --help does not wait for PyTorch.


@dataclass(frozen=True)
class ChosenInput:
    """A capture or clip named on the command line."""

    first: str  # path of the first view, or of both views with a layout
    second: str | None = None
    layout: Layout | None = None
    offset: int = 0  # frame n of the first view pairs with frame n + offset of the second
    changes: "tuple[Change, ...] | None" = ()  # later offsets; None looks for missing frames
    bits: str | None = None  # of values in 16-bit images
    bayer: str | None = None  # mosaic of grey images

    @property
    def is_clip(self) -> bool:
        """Whether it is a recording rather than a single capture."""
        from data.video.sources import is_image

        return not is_image(self.first)

    @property
    def stored(self) -> "StoredValues":
        """What the values of images are.

        Raises:
            InputError: `bits` or `bayer` is not known.
        """
        from data.files.stored_values import parse_stored_values

        return parse_stored_values(self.bits, self.bayer)

    @property
    def files(self) -> set[Path]:
        """The paths given, resolved."""
        return set(self.paths)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths given, in order of the views, resolved."""
        return tuple(Path(name).resolve() for name in (self.first, self.second) if name is not None)


def add_input_arguments(inputs: argparse._ArgumentGroup, *, images: bool = True) -> None:
    """Add the arguments that name a clip or, with `images`, a single capture."""
    source = "video, folder of images, or quoted pattern such as 'left/*.png'"
    source = f"image, {source}" if images else source
    for name, metavar, text in (
        ("--t2b", "PATH", f"first view, read top to bottom: {source}"),
        ("--b2t", "PATH", "second view, read bottom to top, of the same kind"),
        (
            "--offset",
            "K",
            "clips: frame n of --t2b pairs with frame n + K of --b2t (0); K,N:L changes to L from "
            "frame N on, where a frame is missing; auto finds K and such places",
        ),
        ("--bits", "N", "of values in 16-bit images: 10, 12, 14 or 16"),
        ("--bayer", "P", "mosaic that grey images hold: rggb, bggr, grbg, gbrg or none"),
        ("--input", "PATH", f"both views in one picture: {source}"),
    ):
        inputs.add_argument(name, metavar=metavar, help=text)
    inputs.add_argument(
        "--layout", choices=get_args(Layout), help="of --input: left-right or top-bottom"
    )


def chosen_input(arguments: argparse.Namespace) -> ChosenInput | None:
    """Return the capture or clip that the command line names, None if it names none.

    Raises:
        InputError: arguments are missing, exclude each other, or cannot be parsed.
    """
    t2b, b2t, both = arguments.t2b, arguments.b2t, arguments.input
    offset = _parse_offset(arguments.offset)
    if "" in (t2b, b2t, both):
        raise InputError("--t2b, --b2t or --input: expected a path, got an empty one")
    if both is not None and (t2b, b2t) != (None, None):
        raise InputError("--input holds both views; leave out --t2b and --b2t")
    if (both is None) != (arguments.layout is None):
        given, missing = ("--input", "--layout") if both else ("--layout", "--input")
        raise InputError(f"{given} without {missing}: give --input PATH with --layout lr or tb")
    if (t2b is None) != (b2t is None):
        given, missing = ("--t2b", "--b2t") if t2b else ("--b2t", "--t2b")
        raise InputError(f"{given} without {missing}: a capture needs both views")
    if offset is not None and t2b is None:
        raise InputError("--offset: only for --t2b with --b2t; leave it out")
    values = {"bits": arguments.bits, "bayer": arguments.bayer}
    if both is not None:
        return ChosenInput(both, layout=arguments.layout, **values)
    if t2b is None:
        return None
    from data.video.sources import is_image

    if is_image(t2b) != is_image(b2t):
        raise InputError(f"{t2b} with {b2t}: expected two images or two clips, got one of each")
    if offset is not None and is_image(t2b):
        raise InputError("--offset: only for clips, not for two images; leave it out")
    number, changes = offset or (0, ())
    return ChosenInput(t2b, b2t, offset=number, changes=changes, **values)


def add_directions_argument(timing: argparse._ArgumentGroup) -> None:
    """Add `--directions`, for `parse_directions`."""
    timing.add_argument(
        "--directions",
        metavar="D1,D2",
        help="of the readout of first and second view: t2b,b2t (default), b2t,t2b, l2r,r2l or "
        "r2l,l2r",
    )


def parse_directions(text: str) -> tuple[Direction, Direction]:
    """Parse the readout directions of both sensors, "t2b,b2t" or another opposite pair.

    Raises:
        InputError: it is no such pair.
    """
    pairs = {f"{first},{second}": (first, second) for first, second in OPPOSITE.items()}
    if text not in pairs:
        raise InputError(f"--directions {text}: expected {' or '.join(pairs)}")
    return pairs[text]


def read_capture(chosen: ChosenInput) -> "CapturePair":
    """The single capture named on the command line.

    Raises:
        InputError: it cannot be read.
    """
    from data.real_pairs import read_pair
    from data.video.streams import read_split

    if chosen.layout is not None:
        return read_split(chosen.first, chosen.layout, chosen.stored)
    return read_pair(chosen.first, str(chosen.second), stored=chosen.stored)


def open_clip(chosen: ChosenInput, timing: CameraTiming) -> "CaptureStream":
    """Open the clip named on the command line.

    Raises:
        InputError: it cannot be read, or its views do not match.
    """
    from data.video.sources import open_source
    from data.video.streams import pair_views, split_views

    if chosen.layout is not None:
        source = open_source(chosen.first, stored=chosen.stored)
        return split_views(source, chosen.layout, timing)
    first = open_source(chosen.first, variable=True, stored=chosen.stored)
    second = open_source(str(chosen.second), variable=True, stored=chosen.stored)
    return pair_views(first, second, timing, offset=chosen.offset, changes=chosen.changes)


def _parse_offset(text: str | None) -> "tuple[int, tuple[Change, ...] | None] | None":
    from data.video.pairing import Change

    if text is None:
        return None
    if text == "auto":
        return 0, None
    try:
        first, *later = text.split(",")
        changes = tuple(Change(*map(int, one.split(":", 1))) for one in later)
        numbers = [0, *(change.frame for change in changes)]
        if sorted(set(numbers)) != numbers:
            raise ValueError
        return int(first), changes
    except (ValueError, TypeError):
        raise InputError(
            f"--offset {text}: expected a whole number of frames K, K,N:L with the offset L from "
            "frame N on, or auto"
        ) from None
