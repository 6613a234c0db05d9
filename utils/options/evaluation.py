"""Options of `main_test.py`, and those it shares with `main_test_real.py`."""

import argparse
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    model_validator,
)
from typing_extensions import Self

from models.parts.settings import SIZE_MULTIPLE, Blending, MotionEstimate, Precision
from utils.errors import InputError
from utils.options.command_line import add_console_arguments
from utils.options.files import DeviceName, FolderName, OptionGroup, changed, one_of
from utils.options.methods import METHODS
from utils.options.parts.frame_names import FrameLayoutName
from utils.options.parts.help import show_options
from utils.options.parts.tested import (
    BenchmarkDatasets,
    ContextName,
    InferenceName,
    TestedMethodOptions,
    with_own_names,
)

ProtocolName = Literal["released", "full", "ifed"]
"""A key of `utils.metrics.PROTOCOLS`."""

OptionalMetric = Literal["lpips_alex", "lpips_vgg", "niqe"]
"""A key of `utils.metrics.METRICS` whose metric needs a package or weights."""

MAX_FRAMES = 10_000
"""Maximum number of frames per capture: they are in memory together."""

FrameCount = Annotated[int, Field(ge=2, le=MAX_FRAMES)]

MAX_JOBS = 1024
"""Maximum number of worker processes."""

JobCount = Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_JOBS)]


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"expected each protocol once, got {list(names)}")
    return names


def _without_repeated_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError(f"expected each metric once, got {list(names)}")
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
    """Files and folders.

    `root`: outputs go to `root`/`task`.
    `pretrained_netG`: weight file of the network, ours or a released .pth.
    """

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
    `context`: "pair" corrects every pair alone, as all published methods do; "clip" also takes the
        views of the pairs before and after it in the clip or sequence (docs/METHOD.md).
    `blending`: how the classical correction and the refiner join both views: "choose" takes one of
        them where they disagree and one was exposed clearly nearer in time; "average" joins them
        everywhere. Other networks blend by themselves.
    `motion_estimate`: what estimates the motion that the classical correction and the refiner start
        from, and in context "clip" that between pairs: "opencv" on the CPU, or "torch" on the
        network's device, for the classical correction on the CPU; "auto" is "torch" for a network
        on a CUDA device, else "opencv". Frames differ a little (docs/BENCHMARKS_GPU.md).
    `inference`: how passes of a network become frames: "ours", or "released_stage1" and
        "released_stage2" as the authors' test scripts compose them (docs/DIFFERENCES.md).
    `self_ensemble`: test-time augmentation with the mirrored, time-reversed capture: better, twice
        the time.
    `jobs`: worker processes that share the pairs of a clip or of a test set; the results do not
        depend on it. "auto" is one for each core, as far as they have enough to do and memory
        suffices; 1 on a GPU, and where a launcher has started several processes.
    """

    task: FolderName
    device: DeviceName = "auto"
    method: Annotated[str, one_of(METHODS)] = "network"
    precision: Precision = "float32"
    tile: TileOption = "auto"
    context: ContextName = "pair"
    blending: Blending = "choose"
    motion_estimate: MotionEstimate = "auto"
    inference: InferenceName = "ours"
    self_ensemble: bool = False
    jobs: JobCount = "auto"
    path: WeightPathOptions

    @model_validator(mode="after")
    def _names_methods(self) -> Self:
        self._check_methods()
        return self

    def _check_methods(self) -> None:
        """Check the method; groups with several check each of them.

        Raises:
            ValueError: it lacks weights, or its options contradict each other.
        """
        if self.method == "network" and self.path.pretrained_netG is None:
            raise ValueError(
                "path.pretrained_netG: 'network' needs a weight file, got null; name one, or set "
                "method=classical"
            )
        if self.inference != "ours":
            self._check_released()

    def _check_released(self) -> None:
        """The authors' tests know neither the classical correction, nor tiles or augmentation."""
        for key, value, fits in (
            ("method", self.method, self.method == "network"),
            ("tile", self.tile, not isinstance(self.tile, int)),
            ("self_ensemble", self.self_ensemble, not self.self_ensemble),
            ("context", self.context, self.context == "pair" or not changed(self, "context")),
        ):
            if not fits:
                raise ValueError(f"{key}: not with inference '{self.inference}', got {value!r}")


class EvaluationOptions(MethodOptions):
    """Options of `main_test.py`; `options/test.json` is an example.

    `datasets`: the captures to score.
    `methods`: several methods to score beside each other, in place of `method`; null scores one.
    `protocols`: scoring protocols (`utils.metrics.PROTOCOLS`), one table each.
    `frames`: number of frames per capture; null makes one for each true frame, 9 without truth. A
        number must equal that of the true frames.
    `baselines`: also score the classical correction, both inputs as they are, and their mean.
    `save_images`: save the frames; "all" saves those of the baselines, too. Of several methods each
        gets a folder of its own.
    `frame_layout`: names of saved frames: "ours", SEQ/00000000/frame_000_t0.000.png, or "released",
        SEQ/00000000_gs_000.png.
    `worst_pages`: number of captures to show in pages of their own: those of the lowest PSNR of the
        first method under the first protocol.
    `optional_metrics`: metrics to compute beside PSNR, SSIM and the measures of ghosts, of those
        that need weights and a package: "lpips_alex", "lpips_vgg" (requirements-metrics.txt),
        "niqe" (requirements-niqe.txt).
    """

    datasets: BenchmarkDatasets
    methods: (
        Annotated[
            tuple[TestedMethodOptions, ...],
            Field(min_length=1),
            AfterValidator(lambda methods: with_own_names(methods, "method")),
        ]
        | None
    ) = None
    protocols: Protocols = ("released",)
    frames: FrameCount | None = None
    baselines: bool = True
    save_images: bool | Literal["all"] = True
    frame_layout: FrameLayoutName = "ours"
    worst_pages: NonNegativeInt = 0
    optional_metrics: Annotated[
        tuple[OptionalMetric, ...], AfterValidator(_without_repeated_metrics)
    ] = ()

    def options_of(self, tested: TestedMethodOptions) -> MethodOptions:
        """The options of one of several methods, complete with what it takes from these."""
        own = ("context", "blending", "inference", "precision", "self_ensemble")
        given = {key: getattr(tested, key) for key in own if getattr(tested, key) is not None}
        shared = {key: getattr(self, key) for key in MethodOptions.model_fields}
        path = self.path
        if tested.weights is not None:
            path = path.model_copy(update={"pretrained_netG": tested.weights})
        method = tested.method or "network"
        return MethodOptions.model_construct(**shared | given | {"method": method, "path": path})

    def _check_methods(self) -> None:
        """Check each of `methods`, or else the one method."""
        if self.methods is None:
            super()._check_methods()
            return
        if changed(self, "method"):
            raise ValueError(
                f"method: not beside methods, got {self.method!r}; add it to methods by a name and "
                "method, or set methods=null"
            )
        for index, tested in enumerate(self.methods):
            if tested.frames_folder is not None:
                continue
            try:
                self.options_of(tested)._check_methods()
            except ValueError as error:
                raise ValueError(f"methods.{index}.{error}") from error


_HELP = {
    "test sets": ("datasets.test",),
    "method": (
        *("method", "path.pretrained_netG", "context", "blending", "inference", "self_ensemble"),
        *("motion_estimate", "precision", "tile", "device", "jobs"),
    ),
    "several methods, each {...} in a list": ("methods",),
    "scores": ("protocols", "optional_metrics", "frames", "baselines"),
    "results": (*("task", "path.root", "save_images", "frame_layout", "worst_pages"),),
}
"""Options of `main_test.py` in groups, for `--help`; a group of options stands for all of its."""


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `main_test.py` takes besides an option file, and explain its options."""
    add_method_argument(parser)
    add_console_arguments(parser)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = show_options(EvaluationOptions, _HELP)


def add_method_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--method` and `--jobs`."""
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="method that makes the frames (option 'method'); classical needs no weights",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        help="worker processes that share the pairs of a clip or of a test set (option 'jobs'; "
        "auto: one for each core, if that pays)",
    )


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Overrides of the option file on the command line: `--set`, then `--method` and `--jobs`.

    Raises:
        InputError: `--jobs` is no number of processes.
    """
    changes = [*arguments.set, *([f"method={arguments.method}"] if arguments.method else [])]
    jobs = arguments.jobs
    if jobs is None:
        return changes
    if jobs != "auto" and not (jobs.isdecimal() and 1 <= int(jobs) <= MAX_JOBS):
        raise InputError(f"--jobs {jobs}: expected a whole number from 1 to {MAX_JOBS}, or auto")
    return [*changes, f"jobs={jobs}"]
