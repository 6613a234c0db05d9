"""Options of `main_test_real.py`, and the command-line arguments that override them."""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from data.camera_timing import CameraTiming, Direction
from data.video.inputs import add_directions_argument, add_input_arguments, parse_directions
from models.parts.settings import frame_instants
from utils.errors import InputError, one_line
from utils.options.command_line import add_console_arguments
from utils.options.evaluation import (
    MAX_FRAMES,
    MethodOptions,
    add_method_argument,
    overrides,
)
from utils.options.files import OptionGroup, load_options
from utils.options.parts.tested import ContextName

Instant = Annotated[float, Field(ge=0, le=1)]
FrameRate = Annotated[float, Field(ge=0.01, le=1e5)]
Speed = Annotated[float, Field(ge=1e-4, le=1e4)]
FrameCount = Annotated[int, Field(ge=1, le=MAX_FRAMES)]

DEFAULT_FPS = 9.0
"""Frames per second of a video whose speed is not known."""

_CAPTURE_FRAMES = 9  # of a single capture

_TIMING_VALUES = {
    ("--readout-ratio", "R"): "readout time / frame interval (1)",
    ("--start-offset", "R"): "delay of the second sensor in readouts (0)",
    ("--exposure", "E1,E2"): "exposure time of a row of each sensor in readouts (0,0); frames are "
    "at mid-exposure",
}
_CHECK_SWITCHES = {
    "--check": "only check the captures and print the findings; status 3 if there are warnings",
    "--align": "undo the measured misalignment of the cameras, if that helps",
    "--match-colour": "undo the measured difference in colour",
}
_RESULT_VALUES = {
    ("--frames", "N"): "frames per pair, from t = 0 to t = 1; 1: at mid-time (default: 9 of a "
    "single capture, 1 of each pair of a clip)",
    ("--times", "0,0.25,..."): "instants of the frames in [0, 1]",
    ("--fps", "F"): "frames per second of the video; by default those of the source, or as many "
    "as --frames needs at its speed",
    ("--speed", "S"): "speed of a clip's video relative to its source (1): --speed 0.25 shows 4 "
    "frames per pair at the source's rate; --fps 50 --speed 0.25 shows 50 per second",
    ("--output", "DIR"): "folder for the results",
    ("--title", "TEXT"): "heading of the page of results (name of the input)",
}
_RESULT_SWITCHES = {
    "--gif": "also write a GIF of a single capture",
    "--crop-unseen": "cut all pictures of a single capture to the largest part that a view shows "
    "at all instants",
    "--mask": "also write which pixels of each frame of a single capture a view shows (white), as "
    "seen_*.png",
    "--save-frames": "also keep a clip's frames as PNG",
    "--flow-pictures": "write the flow of single captures as pictures",
    "--restart": "begin a clip again instead of continuing an interrupted run",
}


class CaptureFolderOptions(OptionGroup):
    """The captures to correct: every NAME_t2b with its NAME_b2t under `data_root`.

    `bits`: of the values in 16-bit images; null takes them for 16 and refuses what looks like
        fewer.
    `bayer`: the mosaic that grey images hold; null takes them for grey and refuses what looks like
        a mosaic, "none" takes them for grey.
    """

    data_root: str
    bits: Literal[10, 12, 14, 16] | None = None
    bayer: Literal["rggb", "bggr", "grbg", "gbrg", "none"] | None = None


class CaptureDatasets(OptionGroup):
    """The data of `main_test_real.py`: `test`."""

    test: CaptureFolderOptions


class TimingOptions(OptionGroup):
    """Timing of the two sensors: the fields of `data.camera_timing.CameraTiming`.

    `readout_ratio`: readout time / frame interval.
    `start_offset`: delay of the second sensor in readouts.
    `exposure`: exposure time of a row of each sensor in readouts.
    `directions`: readout direction of each sensor: t2b, b2t, l2r or r2l.
    """

    readout_ratio: float = 1.0
    start_offset: float = 0.0
    exposure: tuple[float, float] = (0.0, 0.0)
    directions: tuple[Direction, Direction] = ("t2b", "b2t")

    def camera_timing(self) -> CameraTiming:
        """The checked timing.

        Raises:
            InputError: a value is out of range.
        """
        return CameraTiming(self.readout_ratio, self.start_offset, self.exposure, self.directions)


class RealOptions(MethodOptions):
    """Options of `main_test_real.py`; `options/test_real.json` shows them filled in.

    `context`: by default "clip": the pairs of a clip help each other.
    `datasets`: the captures, unless the command line names a capture or a clip.
    `timing`: of the two sensors.
    `frames`: number of frames per pair, evenly spaced from t = 0 to t = 1; 1 is at t = 0.5. null:
        9 of a single capture; of each pair of a clip as many as `fps` and `speed` need, else 1.
    `times`: instants in [0, 1] to use instead of `frames`.
    `fps`: frames per second of video and GIF; null: what the speed of a clip needs, or 9 if that is
        not known.
    `speed`: speed of a clip's video relative to its source; null: 1, or what `fps` and `frames`
        make together.
    `output`: folder for the results; null: `path.root`/`task`.
    `gif`: write a GIF of a single capture.
    `crop_unseen`: cut frames, video and page of a single capture to the largest rectangle that at
        least one view shows at all instants.
    `mask`: write a picture for each frame of a single capture: white where a view shows it.
    `save_frames`: keep a clip's frames as PNG; those of single captures always are.
    `frame_bits`: bits per colour of frames written as PNG; videos and the page have 8.
    `check`: check each capture first and print the findings; "only": correct nothing.
    `align`, `match_colour`: undo the misalignment of the cameras, and the difference in colour,
        that the check measures; the former only if it helps, as measured after it.
    `deflicker`: if the light flickers, remove that from the views before all else.
    `viewer`: write `index.html`, a page that shows the results.
    `title`: heading of that page; null: the name of the input.
    `flow_pictures`: write the flow fields of single captures as a sheet of pictures.
    `restart`: begin a clip again instead of continuing an interrupted run.
    """

    context: ContextName = "clip"
    datasets: CaptureDatasets
    timing: TimingOptions = TimingOptions()
    frames: FrameCount | None = None
    times: Annotated[tuple[Instant, ...], Field(min_length=1)] | None = None
    fps: FrameRate | None = None
    speed: Speed | None = None
    output: str | None = None
    gif: bool = False
    crop_unseen: bool = False
    mask: bool = False
    save_frames: bool = False
    frame_bits: Literal[8, 16] = 8
    check: bool | Literal["only"] = True
    align: bool = False
    match_colour: bool = False
    deflicker: bool = True
    viewer: bool = True
    title: str | None = None
    flow_pictures: bool = False
    restart: bool = False

    @property
    def instants(self) -> tuple[float, ...]:
        """Instants of the frames of each pair, in [0, 1]; without `frames`, of a single capture."""
        if self.times is not None:
            return self.times
        return (0.5,) if self.frames == 1 else frame_instants(self.frames or _CAPTURE_FRAMES)

    @property
    def folder(self) -> Path:
        """Where results go."""
        return Path(self.output or Path(self.path.root) / self.task)


def load_real_options(arguments: argparse.Namespace) -> RealOptions:
    """The options of the option file, with the command-line arguments folded in.

    Raises:
        InputError: an argument cannot be read, or an option is wrong.
    """
    options = load_options(arguments.opt, option_overrides(arguments), RealOptions)
    # As they are: they are no JSON, and a folder may hold non-UTF-8 bytes.
    title = None if arguments.title is None else one_line(arguments.title)
    given = {"output": arguments.output, "title": title}
    update = {name: text for name, text in given.items() if text is not None}
    return options.model_copy(update=update)


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main_test_real.py` takes besides an option file."""
    add_method_argument(parser)
    by_default = "input, by default all captures of datasets.test.data_root"
    add_input_arguments(parser.add_argument_group(by_default))
    timing = parser.add_argument_group("timing of the sensors (timing.*)")
    _add_values(timing, _TIMING_VALUES)
    add_directions_argument(timing)
    _add_switches(parser.add_argument_group("capture check"), _CHECK_SWITCHES)
    results = parser.add_argument_group("results")
    _add_values(results, _RESULT_VALUES)
    _add_switches(results, _RESULT_SWITCHES)
    add_console_arguments(parser)


def option_overrides(arguments: argparse.Namespace) -> list[str]:
    """Overrides "key=value" of the option file that the command line asks for.

    Raises:
        InputError: an argument cannot be read, or both `--frames` and `--times` are given.
    """
    changes = overrides(arguments)
    for key in ("timing.readout_ratio", "timing.start_offset", "fps", "speed"):
        name = key.removeprefix("timing.")
        if (text := getattr(arguments, name)) is not None:
            changes.append(f"{key}={_parse_numbers(name, text, 1)[0]}")
    if arguments.exposure is not None:
        changes.append(f"timing.exposure={_parse_numbers('exposure', arguments.exposure, 2)}")
    if arguments.directions is not None:
        directions = parse_directions(arguments.directions)
        changes.append(f"timing.directions={json.dumps(directions)}")
    for name in ("bits", "bayer"):
        if (text := getattr(arguments, name)) is not None:
            changes.append(f"datasets.test.{name}={text}")
    changes += _choose_instants(arguments.frames, arguments.times)
    if arguments.output == "":
        raise InputError("--output: expected a folder, got an empty name")
    for name in (*_CHECK_SWITCHES, *_RESULT_SWITCHES):
        key = name.removeprefix("--").replace("-", "_")
        if getattr(arguments, key):
            changes.append(f"{key}={'only' if key == 'check' else 'true'}")
    return changes


def _choose_instants(frames: str | None, times: str | None) -> list[str]:
    if frames is not None and times is not None:
        raise InputError("--frames and --times both say which frames to make; give only one")
    if frames is not None:
        return [f"frames={_parse_count(frames)}", "times=null"]
    return [] if times is None else [f"times={_parse_times(times)}"]


def _add_values(group: argparse._ArgumentGroup, arguments: Mapping[tuple[str, str], str]) -> None:
    for (name, metavar), text in arguments.items():
        group.add_argument(name, metavar=metavar, help=text)


def _add_switches(group: argparse._ArgumentGroup, arguments: Mapping[str, str]) -> None:
    for name, text in arguments.items():
        group.add_argument(name, action="store_true", help=text)


def _parse_numbers(name: str, text: str, count: int) -> list[float]:
    numbers = _parse_list(text)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        expected = "a number" if count == 1 else f"{count} numbers such as 0.3,0.3"
        raise InputError(f"--{name.replace('_', '-')} {text}: expected {expected}")
    return numbers


def _parse_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_FRAMES:
        raise InputError(f"--frames {text}: expected a whole number from 1 to {MAX_FRAMES}")
    return int(text)


def _parse_times(text: str) -> list[float]:
    times = _parse_list(text)
    if not times or not all(0 <= instant <= 1 for instant in times):
        raise InputError(f"--times {text}: expected instants in [0, 1] such as 0,0.25,1")
    return times


def _parse_list(text: str) -> list[float]:
    """The numbers between commas; none if one cannot be read."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []
