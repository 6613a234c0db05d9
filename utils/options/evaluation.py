"""Options of `main_test.py`, and those it shares with `main_test_real.py`."""

import argparse
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from data.layouts import LAYOUTS
from models.parts.settings import SIZE_MULTIPLE, Blending, Precision
from utils.options.files import DeviceName, FolderName, OptionGroup, one_of
from utils.options.methods import METHODS

ProtocolName = Literal["released", "full", "ifed"]
"""A key of `utils.metrics.PROTOCOLS`."""

MAX_FRAMES = 10_000
"""Maximum number of frames per capture: they are in memory together."""

FrameCount = Annotated[int, Field(ge=2, le=MAX_FRAMES)]


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"expected each protocol once, got {list(names)}")
    return names


def _on_the_grid(tile: int) -> int:
    if tile < SIZE_MULTIPLE or tile % SIZE_MULTIPLE:
        raise ValueError(f'expected null, "auto" or a multiple of {SIZE_MULTIPLE}, got {tile}')
    return tile


InferenceName = Literal["ours", "released_stage1", "released_stage2"]

TileOption = Literal["auto"] | Annotated[int, AfterValidator(_on_the_grid)] | None

Protocols = Annotated[
    tuple[ProtocolName, ...], Field(min_length=1), AfterValidator(_without_repeats)
]


class WeightPathOptions(OptionGroup):
    """Outputs go to `root`/`task`; `pretrained_netG`: weight file of the network."""

    root: str = "results"
    pretrained_netG: str | None = None  # noqa: N815


class MethodOptions(OptionGroup):
    """Options of both test scripts: where results go, and which method makes the frames.

    `task`, `path`: results go to `path.root`/`task`.
    `device`: "auto" uses a GPU if there is one.
    `method`: "network" uses `path.pretrained_netG`; "classical" needs no weights.
    `precision`: of the network's convolutions; "auto" is bfloat16 where the hardware supports it.
        The default is float32, for scores that compare with published ones.
    `tile`: side of the network's tiles in pixels; "auto" uses tiles only if memory is short, null
        never.
    `blending`: how the classical correction and the refiner join both views: "choose" takes one of
        them where they disagree, so that nothing is half transparent; "average" weights them
        everywhere, for the highest PSNR. Other networks blend by themselves.
    `inference`: how passes of a network become frames: "ours", or "released_stage1" and
        "released_stage2" as the authors' test scripts compose them (docs/DIFFERENCES.md).
    `self_ensemble`: test-time augmentation with the mirrored, time-reversed capture: better, twice
        the time.
    """

    task: FolderName
    device: DeviceName = "auto"
    method: Annotated[str, one_of(METHODS)] = "network"
    precision: Precision = "float32"
    tile: TileOption = "auto"
    blending: Blending = "choose"
    inference: InferenceName = "ours"
    self_ensemble: bool = False
    path: WeightPathOptions

    @model_validator(mode="after")
    def _names_weights(self) -> "MethodOptions":
        if self.method == "network" and self.path.pretrained_netG is None:
            raise ValueError(
                "path.pretrained_netG: 'network' needs a weight file, got null; name one, or set "
                "method=classical"
            )
        if self.inference != "ours":
            self._check_released()
        return self

    def _check_released(self) -> None:
        """The authors' tests know neither the classical correction, nor tiles or augmentation."""
        for key, value, fits in (
            ("method", self.method, self.method == "network"),
            ("tile", self.tile, not isinstance(self.tile, int)),
            ("self_ensemble", self.self_ensemble, not self.self_ensemble),
        ):
            if not fits:
                raise ValueError(f"{key}: not with inference '{self.inference}', got {value!r}")


class BenchmarkOptions(OptionGroup):
    """The captures to score: those of `data_root`/`split`, in the layout `dataset_type`."""

    dataset_type: Annotated[str, one_of(LAYOUTS)] = "rs_gopro"
    data_root: str
    split: FolderName = "test"


class BenchmarkDatasets(OptionGroup):
    """Data sets of `main_test.py`: `test`."""

    test: BenchmarkOptions


class EvaluationOptions(MethodOptions):
    """Options of `main_test.py`; `options/test.json` is an example.

    `datasets`: the captures to score.
    `protocols`: scoring protocols (`utils.metrics.PROTOCOLS`), one table each.
    `frames`: number of frames per capture; null makes one for each true frame, 9 without truth. A
        number must equal that of the true frames.
    `baselines`: also score the classical correction, both inputs as they are, and their mean.
    `save_images`: save the frames.
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
        help="method that makes the frames (option 'method'); classical needs no weights",
    )


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Overrides of the option file on the command line: `--set`, then `--method`."""
    return [*arguments.set, *([f"method={arguments.method}"] if arguments.method else [])]
