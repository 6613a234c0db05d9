"""Options of `main_test_real.py`, and the arguments that stand for them."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data.camera_timing import CameraTiming, Direction
from data.video.inputs import add_directions_argument, add_input_arguments, parse_directions
from models.inference.correction import frame_instants
from utils.errors import InputError
from utils.options.evaluation import (
    MOST_FRAMES,
    FrameCount,
    MethodOptions,
    add_method_argument,
    overrides,
)
from utils.options.files import OptionGroup, load_options

Instant = Annotated[float, Field(ge=0, le=1)]
FrameRate = Annotated[float, Field(ge=0.01, le=1e5)]

_SWITCHES = ("gif", "save_frames", "check", "align", "match_colour", "flow_pictures")


class CaptureFolderOptions(OptionGroup):
    """The captures to correct: every NAME_t2b with its NAME_b2t under `data_root`."""

    data_root: str


class CaptureDatasets(OptionGroup):
    """The data of `main_test_real.py`: `test`."""

    test: CaptureFolderOptions


class TimingOptions(OptionGroup):
    """Timing of the two sensors, as of `data.camera_timing.CameraTiming`.

    `readout_ratio`: readout time / frame interval.
    `start_offset`: readouts by which the second sensor starts later.
    `exposure`: readouts during which a row of each sensor collects light.
    `directions`: how each sensor is read: t2b, b2t, l2r or r2l.
    """

    readout_ratio: float = 1.0
    start_offset: float = 0.0
    exposure: tuple[float, float] = (0.0, 0.0)
    directions: tuple[Direction, Direction] = ("t2b", "b2t")

    def camera_timing(self) -> CameraTiming:
        """The timing, checked.

        Raises:
            InputError: a value is out of range.
        """
        return CameraTiming(self.readout_ratio, self.start_offset, self.exposure, self.directions)


class RealOptions(MethodOptions):
    """Options of `main_test_real.py`; `options/test_real.json` shows them filled in.

    `datasets`, `timing`: the captures, unless the command line names others, and their sensors.
    `frames`: how many frames of each pair, evenly spaced from t = 0 to t = 1.
    `times`: their instants instead, in [0, 1].
    `fps`: frames per second of video and GIF; null shows clips at the speed of their source, if
        that is known, and all else at 9.
    `gif`: whether to write a GIF of a single capture, too.
    `save_frames`: whether to keep a clip's frames as PNG, too; those of single captures always are.
    `frame_bits`: of each colour of frames written as PNG; videos and the page have 8.
    `check`: whether to check each capture first and print what is found.
    `align`, `match_colour`: whether to undo a misalignment of the cameras, and a difference in
        colour, that the check measures.
    `viewer`: whether to write a page to look at the results with, `index.html`.
    `flow_pictures`: whether to write the flow fields of single captures as a sheet of pictures.
    """

    datasets: CaptureDatasets
    timing: TimingOptions = TimingOptions()
    frames: FrameCount = 9
    times: Annotated[tuple[Instant, ...], Field(min_length=1)] | None = None
    fps: FrameRate | None = None
    gif: bool = False
    save_frames: bool = False
    frame_bits: Literal[8, 16] = 8
    check: bool = True
    align: bool = False
    match_colour: bool = False
    viewer: bool = True
    flow_pictures: bool = False


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main_test_real.py` takes besides an option file."""
    add_method_argument(parser)
    by_default = "input, by default all captures of datasets.test.data_root"
    add_input_arguments(parser.add_argument_group(by_default))
    _add_timing_arguments(parser.add_argument_group("timing of the sensors (timing.*)"))
    _add_check_arguments(parser.add_argument_group("capture check"))
    _add_result_arguments(parser.add_argument_group("results"))


def option_overrides(arguments: argparse.Namespace) -> list[str]:
    """What the command line sets in place of the option file.

    Raises:
        InputError: an argument cannot be read.
    """
    changes = overrides(arguments)
    for key in ("timing.readout_ratio", "timing.start_offset", "fps"):
        name = key.removeprefix("timing.")
        if (text := getattr(arguments, name)) is not None:
            changes.append(f"{key}={_parse_numbers(name, text, 1)[0]}")
    if arguments.exposure is not None:
        changes.append(f"timing.exposure={_parse_numbers('exposure', arguments.exposure, 2)}")
    if arguments.directions is not None:
        directions = parse_directions(arguments.directions)
        changes.append(f"timing.directions={json.dumps(directions)}")
    changes += [f"{name}=true" for name in _SWITCHES if getattr(arguments, name)]
    return changes


def bundled_files(option_file: Path) -> list[str]:
    """Overrides that find what our own option file names wherever the program is called from."""
    root = option_file.parents[1]
    if Path.cwd() == root:
        return []
    named = load_options(option_file, [], RealOptions)
    files = {
        "path.pretrained_netG": named.path.pretrained_netG,
        "datasets.test.data_root": named.datasets.test.data_root,
    }
    return [f"{key}={json.dumps(str(root / name))}" for key, name in files.items() if name]


def chosen_instants(options: RealOptions, arguments: argparse.Namespace) -> tuple[float, ...]:
    """Instants of the frames to make: the command line's, else the options'.

    Raises:
        InputError: `--frames` or `--times` cannot be read, is out of range, or both are given.
    """
    if arguments.frames is not None and arguments.times is not None:
        raise InputError("--frames and --times both say which frames to make; give only one")
    if arguments.frames is not None:
        return frame_instants(_parse_count(arguments.frames))
    if arguments.times is not None:
        return _parse_times(arguments.times)
    return options.times or frame_instants(options.frames)


def _add_timing_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--readout-ratio", metavar="R", help="readout time / frame interval (1)")
    group.add_argument(
        "--start-offset", metavar="R", help="readouts by which the second sensor starts later (0)"
    )
    group.add_argument(
        "--exposure",
        metavar="E1,E2",
        help="readouts during which a row of each sensor collects light (0,0); frames are at "
        "mid-exposure",
    )
    add_directions_argument(group)


def _add_check_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--check", action="store_true", help="only check the captures and print what is found"
    )
    group.add_argument(
        "--align", action="store_true", help="undo the misalignment of the cameras that is measured"
    )
    group.add_argument(
        "--match-colour", action="store_true", help="even out the views' difference in colour"
    )


def _add_result_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--frames", metavar="N", help="frames of each pair, at least 2")
    group.add_argument("--times", metavar="0,0.25,...", help="instants of the frames in [0, 1]")
    group.add_argument(
        "--fps",
        metavar="F",
        help="of the video; by default clips keep their speed, source rate * (N - 1): half of that "
        "plays at half the speed, without sound",
    )
    group.add_argument("--output", metavar="DIR", help="folder for the results")
    group.add_argument("--gif", action="store_true", help="write a GIF of a single capture, too")
    group.add_argument(
        "--save-frames", action="store_true", help="keep a clip's frames as PNG, too"
    )
    group.add_argument(
        "--flow-pictures", action="store_true", help="write the flow of single captures as pictures"
    )
    group.add_argument(
        "--restart", action="store_true", help="begin a clip again, not where it was interrupted"
    )


def _parse_numbers(name: str, text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        expected = "a number" if count == 1 else f"{count} numbers such as 0.3,0.3"
        raise InputError(f"--{name.replace('_', '-')} {text}: expected {expected}")
    return numbers


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= MOST_FRAMES:
        raise InputError(f"--frames {text}: expected a whole number from 2 to {MOST_FRAMES}")
    return int(text)


def _parse_times(text: str) -> tuple[float, ...]:
    try:
        times: Sequence[float] = [float(part) for part in text.split(",")]
    except ValueError:
        times = ()
    if not times or not all(0 <= instant <= 1 for instant in times):
        raise InputError(f"--times {text}: expected instants in [0, 1] such as 0,0.25,1")
    return tuple(times)
