"""Options of the two test scripts: what can be set, and what each value may be."""

import argparse
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from models.correction import frame_instants
from utils.errors import InputError
from utils.option_files import DeviceName, OptionGroup, TaskName

ProtocolName = Literal["released", "full", "ifed"]
"""A key of `utils.metrics.PROTOCOLS`."""

MethodName = Literal["network", "classical"]
"""What makes the frames: a correction network, or `models.classical`."""

FrameCount = Annotated[int, Field(ge=2)]
Instant = Annotated[float, Field(ge=0, le=1)]


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"expected each protocol once, got {list(names)}")
    return names


Protocols = Annotated[
    tuple[ProtocolName, ...], Field(min_length=1), AfterValidator(_without_repeats)
]


class WeightPathOptions(OptionGroup):
    """Outputs go to `root`/`task`; `pretrained_netG` is the network's weight file."""

    root: str = "results"
    pretrained_netG: str | None = None  # noqa: N815


class MethodOptions(OptionGroup):
    """What both scripts have in common: where results go, and what makes the frames.

    `method`: "network" takes `path.pretrained_netG`; "classical" needs no weights and reads none.
    """

    task: TaskName
    device: DeviceName = "auto"
    method: MethodName = "network"
    path: WeightPathOptions

    @model_validator(mode="after")
    def _names_weights(self) -> "MethodOptions":
        if self.method == "network" and self.path.pretrained_netG is None:
            raise ValueError(
                "path.pretrained_netG: 'network' needs a weight file, got null; name one, or set "
                "method=classical"
            )
        return self


class BenchmarkOptions(OptionGroup):
    """The captures to score: `data_root`/`split`/SEQ/RS and GS."""

    data_root: str
    split: str = "test"


class BenchmarkDatasets(OptionGroup):
    """The data of `main_test.py`."""

    test: BenchmarkOptions


class EvaluationOptions(MethodOptions):
    """Options of `main_test.py`; `options/test.json` shows them filled in.

    `frames`: how many frames to make; null makes as many as there are true frames, and 9 where
        there is no truth. Stated, it must agree with the truth.
    `baselines`: whether to score the classical correction, the inputs as they are, and their mean,
        too.
    `save_images`: whether to keep the frames that were scored.
    """

    datasets: BenchmarkDatasets
    protocols: Protocols = ("released",)
    frames: FrameCount | None = None
    baselines: bool = True
    save_images: bool = True


class CaptureFolderOptions(OptionGroup):
    """The captures to correct: every NAME_t2b with its NAME_b2t under `data_root`."""

    data_root: str


class CaptureDatasets(OptionGroup):
    """The data of `main_test_real.py`."""

    test: CaptureFolderOptions


class RealOptions(MethodOptions):
    """Options of `main_test_real.py`; `options/test_real.json` shows them filled in.

    `frames`: how many frames, evenly spaced over the readout.
    `times`: their instants instead, in [0, 1].
    `fps`: frames per second of video and GIF.
    """

    datasets: CaptureDatasets
    frames: FrameCount = 9
    times: Annotated[tuple[Instant, ...], Field(min_length=1)] | None = None
    fps: PositiveFloat = 9.0
    gif: bool = False


def add_method_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--method`."""
    parser.add_argument(
        "--method",
        choices=get_args(MethodName),
        help="what makes the frames, in place of the option 'method'; classical needs no weights",
    )


def overrides(arguments: argparse.Namespace) -> list[str]:
    """What the command line sets in place of the option file: `--set`, then `--method`."""
    return [*arguments.set, *([f"method={arguments.method}"] if arguments.method else [])]


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main_test_real.py` takes besides an option file."""
    add_method_argument(parser)
    parser.add_argument("--t2b", metavar="FILE", help="image read out top to bottom")
    parser.add_argument("--b2t", metavar="FILE", help="image read out bottom to top")
    parser.add_argument("--frames", metavar="N", help="how many frames, at least 2")
    parser.add_argument("--times", metavar="0,0.25,...", help="instants of the frames in [0, 1]")
    parser.add_argument("--output", metavar="DIR", help="folder for the results")
    parser.add_argument("--gif", action="store_true", help="write a GIF, too")


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


def _parse_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise InputError(f"--frames {text}: expected a whole number of at least 2")
    return int(text)


def _parse_times(text: str) -> tuple[float, ...]:
    try:
        times: Sequence[float] = [float(part) for part in text.split(",")]
    except ValueError:
        times = ()
    if not times or not all(0 <= instant <= 1 for instant in times):
        raise InputError(f"--times {text}: expected instants in [0, 1] such as 0,0.25,1")
    return tuple(times)
