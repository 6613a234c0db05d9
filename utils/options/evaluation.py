"""Options of `main_test.py`, and what `main_test_real.py` shares with it."""

import argparse
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from data.layouts import LAYOUTS
from models.parts.settings import SIZE_MULTIPLE, Precision
from utils.options.files import DeviceName, FolderName, OptionGroup, one_of
from utils.options.methods import METHODS

ProtocolName = Literal["released", "full", "ifed"]
"""A key of `utils.metrics.PROTOCOLS`."""

MOST_FRAMES = 10_000
"""Frames of a capture that can be asked for: they are in memory together."""

FrameCount = Annotated[int, Field(ge=2, le=MOST_FRAMES)]


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"expected each protocol once, got {list(names)}")
    return names


def _on_the_grid(tile: int) -> int:
    if tile < SIZE_MULTIPLE or tile % SIZE_MULTIPLE:
        raise ValueError(f'expected null, "auto" or a multiple of {SIZE_MULTIPLE}, got {tile}')
    return tile


TileOption = Literal["auto"] | Annotated[int, AfterValidator(_on_the_grid)] | None

Protocols = Annotated[
    tuple[ProtocolName, ...], Field(min_length=1), AfterValidator(_without_repeats)
]


class WeightPathOptions(OptionGroup):
    """Outputs go to `root`/`task`; `pretrained_netG` is the network's weight file."""

    root: str = "results"
    pretrained_netG: str | None = None  # noqa: N815


class MethodOptions(OptionGroup):
    """What both scripts have in common: where results go, and what makes the frames.

    `task`, `path`: results go to `path.root`/`task`. `device`: "auto" takes a GPU if there is one.
    `method`: "network" takes `path.pretrained_netG`; "classical" needs no weights and reads none.
    `precision`: of a network's convolutions; "auto" takes bfloat16 where the hardware has it. The
        default is float32: scores are compared with published ones.
    `tile`: pixels along each side of the tiles a network works in; "auto" takes tiles only where
        memory would not do, null never.
    `self_ensemble`: whether frames are the mean of the method's and of those it makes of the
        mirrored scene running backwards: better, in twice the time.
    """

    task: FolderName
    device: DeviceName = "auto"
    method: Annotated[str, one_of(METHODS)] = "network"
    precision: Precision = "float32"
    tile: TileOption = "auto"
    self_ensemble: bool = False
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
    """The captures to score: those of `data_root`/`split`, laid out as `dataset_type` says."""

    dataset_type: Annotated[str, one_of(LAYOUTS)] = "rs_gopro"
    data_root: str
    split: FolderName = "test"


class BenchmarkDatasets(OptionGroup):
    """The data of `main_test.py`: `test`."""

    test: BenchmarkOptions


class EvaluationOptions(MethodOptions):
    """Options of `main_test.py`; `options/test.json` shows them filled in.

    `datasets`: the captures to score.
    `protocols`: how to score them; one table each (`utils.metrics.PROTOCOLS`).
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


def add_method_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--method`."""
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="what makes the frames, in place of the option 'method'; classical needs no weights",
    )


def overrides(arguments: argparse.Namespace) -> list[str]:
    """What the command line sets in place of the option file: `--set`, then `--method`."""
    return [*arguments.set, *([f"method={arguments.method}"] if arguments.method else [])]
