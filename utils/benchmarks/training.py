"""Speed and memory of training steps, beside the released loss (`models.reference.step`)."""

import timeit
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn.utils import clip_grad_norm_

from data.capture import TrainingSample, collate, to_device
from data.time_maps import scan_time
from models.flow_pwc import load_pwc
from models.generator import Generator
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, DistillationObjective
from models.parts.device import reuse_memory
from models.parts.precision import is_lower
from models.reference.formula_weights import fill_by_formula
from models.reference.step import plain_cycle, plain_distillation
from utils.benchmarks import measuring
from utils.benchmarks.measuring import Row, Work, smooth_pair
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.training.correction_network import build_network, build_objective
from utils.training.data import build_training_set
from utils.training.step import build_optimizer

Kind = Literal["stage1", "stage1_bfloat16", "stage2", "stage2_bfloat16"]
T = TypeVar("T")

_RELEASED = "released "
_ROWS: dict[Kind, tuple[Kind, str, str]] = {
    "stage1": ("stage1", "stage-1 step, 256x256, batch 2, float32", "<= 0.45"),
    "stage1_bfloat16": ("stage1", "stage-1 step, 256x256, batch 2, bfloat16", ""),
    "stage2": ("stage2", "stage-2 step, 320 crop, batch 1, float32", "<= 0.45"),
    "stage2_bfloat16": ("stage2", "stage-2 step, 320 crop, batch 1, bfloat16", ""),
}
"""Of each kind of step: what it is compared with, what it is taken on, and the bar of its ratio."""
_WEIGHTS = {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}
_REFINER_RECIPE = Path(__file__).parents[2] / "options/recipes/train_refiner.json"
_BY_BATCH = ("datasets.train.distinct_samples=null", "train.motion_estimate=torch")
_PWC = Path(__file__).parents[2] / "pretrained/pwcnet.safetensors"
_ALONE = Processes(torch.device("cpu"))
_FIRST_GPU = Processes(torch.device("cuda", 0))


class RefinerStep:
    """A supervised step by the recipe of the bundled refiner, which finds the batch's motion cues.

    Attributes:
        network: in training.
        batch: `scenes` different simulated crops, repeated.
    """

    def __init__(
        self,
        batch_size: int,
        processes: Processes = _ALONE,
        *,
        cues_given: bool = False,
        scenes: int = 4,
        changes: Sequence[str] = (),
    ) -> None:
        """Build network, objective and batch; with its cues if `cues_given`.

        `changes` are further options, as of `--set`.
        """
        torch.manual_seed(0)
        device, given = processes.device, (*_BY_BATCH, *changes)
        self.options = load_options(_REFINER_RECIPE, given, TrainingOptions)
        self.network = build_network(self.options)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = build_objective(self.options, device)
        self.optimizer = build_optimizer(self.network, self.options.train, device)
        samples = build_training_set(self.options, device)
        different = [samples[number] for number in range(min(scenes, batch_size))]
        repeated = [different[number % len(different)] for number in range(batch_size)]
        self.batch = to_device(collate(repeated), device)
        if cues_given:
            self.batch = self.objective.with_cues(self.batch)

    def take(self) -> None:
        """Find cues unless they are given, forward, backward, update."""
        self.optimizer.zero_grad(set_to_none=True)
        device = self.batch.pair.device
        lower = is_lower(self.options.train.precision, device)
        with torch.autocast(device.type, torch.bfloat16, lower):
            total, _ = self.objective(self.network, self.batch)
        total.backward()
        clip_grad_norm_(self.network.parameters(), self.options.train.G_optimizer_clipgrad)
        self.optimizer.step()


class Step:
    """A step as training takes it."""

    def __init__(
        self,
        kind: Kind,
        batch_size: int = 2,
        processes: Processes = _ALONE,
        *,
        plain: bool = False,
    ) -> None:
        """Build networks, objective and batch: crops of 320 px in stage 2, of 256 px in stage 1.

        With `plain` the network has PyTorch's memory layout, as the released code.
        """
        torch.manual_seed(0)
        device, size = processes.device, 320 if _ROWS[kind][0] == "stage2" else 256
        self.generator, perceptual = Generator(), Perceptual()
        layout = torch.contiguous_format if plain else torch.channels_last
        self.generator.to(device, memory_format=layout)  # type: ignore[call-overload]
        fill_by_formula(perceptual, 2, 2**0.5)
        flow = load_pwc(_PWC, "released")
        self.cycle = CycleObjective(
            _WEIGHTS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
        )
        self.objective: nn.Module = self.cycle
        if _ROWS[kind][0] == "stage2":
            self.objective = DistillationObjective(self.cycle, Generator(), border=32)
        self.objective.to(device)
        pairs = smooth_pair((size, size)).repeat(batch_size, 1, 1, 1, 1)
        scan = scan_time(540, rows=size, top=100).expand(batch_size, -1)
        batch = TrainingSample(pairs, scan, torch.full((batch_size,), 0.5))
        self.batch = to_device(batch, device)
        self.optimizer = torch.optim.AdamW(self.generator.parameters(), lr=1e-6)
        self.network = processes.wrap(self.generator)
        lower = kind.endswith("bfloat16")
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=lower)

    def take(self, *, plain: bool = False) -> None:
        """Forward, backward, update; by the reference with `plain`."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(plain=plain).backward()
        self.optimizer.step()

    def loss(self, *, plain: bool = False) -> Tensor:
        """The loss of the step; by the reference with `plain`."""
        if plain and isinstance(self.objective, DistillationObjective):
            return plain_distillation(self.objective, self.generator, self.batch)
        if plain:
            return plain_cycle(self.cycle, self.generator, self.batch)[0]
        with self.autocast:
            total: Tensor = self.objective(self.network, self.batch)[0]
        return total

    def describe_difference(self) -> str:
        """Relative difference of the loss from the reference's."""
        with torch.no_grad(), cudnn.flags(enabled=True, allow_tf32=False):
            plain, ours = self.loss(plain=True), self.loss()
        return f"{float(abs(ours - plain) / plain):.1e}"


def measure(*, quick: bool = False) -> tuple[list[Row], list[Row]]:
    """Steps at full width as ratios to the released loss, and their memory.

    They take turns in processes of their own, because training keeps its memory
    (`models.parts.device.reuse_memory`) and the released code does not.
    """
    kinds = [kind for kind in _ROWS if not (quick and kind.endswith("bfloat16"))]
    works = [_RELEASED + base for base in dict.fromkeys(_ROWS[kind][0] for kind in kinds)]
    works += kinds
    with ExitStack() as stack:
        processes = {work: stack.enter_context(measuring.start_process()) for work in works}

        def ask(function: Callable[[str], T]) -> list[T]:
            return [each.submit(function, work).result() for work, each in processes.items()]

        peaks = dict(zip(works, ask(partial(_find_peak, steps=1 if quick else 2)), strict=True))
        rounds = [ask(_time) for _ in range(1 if quick else 3)]
    seconds = dict(zip(works, map(min, zip(*rounds, strict=True)), strict=True))
    times, memory = [], []
    for kind in kinds:
        base, what, bar = _ROWS[kind]
        loop = _RELEASED + base
        times.append(Row(what, f"{seconds[kind] / seconds[loop]:.2f}", bar))
        if kind == base:
            times.append(Row("... operations", _compare_operations(kind)))
        memory.append(Row(what, f"{peaks[kind] / 1e9:.2f} GB", f"{peaks[loop] / 1e9:.2f} GB"))
    difference = Step("stage1").describe_difference()
    times.append(Row("... relative difference of the stage-1 loss", difference))
    return times, memory


def _compare_operations(kind: Kind) -> str:
    """Operations of convolutions and matrix products as a ratio to the released loss's."""
    ours, released = (
        measuring.count_operations(partial(Step(kind, 1, plain=plain).take, plain=plain))
        for plain in (False, True)
    )
    return f"{ours / released:.2f}"


def measure_on_gpu() -> list[Row]:
    """Steps of stage 1 at full width, and of the bundled refiner."""
    difference = "... relative difference of the loss from the plain one"
    fastest = "... with the fastest of cuDNN's algorithms"  # last: cuDNN keeps what it finds
    step = Step("stage1", processes=_FIRST_GPU)
    in_float32, lower = partial(_take_on_gpu, "stage1"), partial(_take_on_gpu, "stage1_bfloat16")
    plain = partial(_take_on_gpu, "stage1", plain=True)
    return [
        Row("stage-1 step, 256x256, plain, float32", _describe_step(plain)),
        Row("stage-1 step, float32", _describe_step(in_float32)),
        Row("... without TF32", _describe_step(in_float32, allow_tf32=False)),
        Row(difference, step.describe_difference()),
        Row("stage-1 step, bfloat16", _describe_step(lower), ">= 100 samples/s"),
        Row(fastest, _describe_step(lower, benchmark=True)),
        *measure_refiner(_FIRST_GPU),
    ]


def measure_refiner(processes: Processes, size: int = 64, **options: Any) -> list[Row]:
    """Steps of the bundled refiner with motion cues found on the device, and with cues given.

    `size` is the largest batch; `options` are those of `RefinerStep`.
    """
    rows = []
    for what, given, bar in (
        ("refiner training step, 640x384, cues on the device", False, ">= 100 samples/s"),
        ("... with cues given", True, ""),
    ):

        def build(batch: int, given: bool = given) -> Work:
            return RefinerStep(batch, processes, cues_given=given, **options).take

        rows.append(Row(what, _describe_step(build, size), bar))
    return rows


def _take_on_gpu(kind: Kind, size: int, *, plain: bool = False) -> Work:
    return partial(Step(kind, size, _FIRST_GPU).take, plain=plain)


def _describe_step(build: Callable[[int], Work], size: int = 32, **flags: bool) -> str:
    """Samples per second and memory, with half the batch until it fits into memory.

    `build` makes a step of a batch.
    """
    torch.cuda.empty_cache()
    try:
        # Not kept in a variable: what did not fit must be freed before the next try.
        cost = measuring.measure_gpu(build(size), **flags)
    except torch.OutOfMemoryError:
        if size == 1:
            raise
    else:
        pace = 1000 * size / cost.milliseconds
        return f"{pace:.0f} samples/s, batch {size}: {cost.describe()}"
    return _describe_step(build, size // 2, **flags)


@cache
def _prepare(work: str) -> Work:
    """What this process measures: a step of a kind, ours or released."""
    kind = cast(Kind, work.removeprefix(_RELEASED))
    plain = work != kind
    if not plain:
        reuse_memory()
    return partial(
        Step(kind, 1 if _ROWS[kind][0] == "stage2" else 2, plain=plain).take, plain=plain
    )


def _find_peak(work: str, steps: int) -> int:
    """Peak bytes of this process after so many steps."""
    timeit.timeit(_prepare(work), number=steps)
    return measuring.own_memory("VmHWM")


def _time(work: str) -> float:
    return measuring.least_times([_prepare(work)], 1)[0]
