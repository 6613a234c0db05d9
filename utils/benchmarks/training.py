"""Speed and memory of training steps, as ratios to a plain pass of the generator at 960x544."""

import timeit
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.backends import cudnn

from data.capture import TrainingSample, to_device
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.time_maps import scan_time
from data.training.crops import SimulatedTrainingSet, TrainingSetSettings
from data.training.loader import training_loader
from models.flow_pwc import load_pwc
from models.generator import Generator
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, DistillationObjective
from models.parts.device import reuse_memory
from models.reference.formula_weights import fill_by_formula
from models.reference.step import plain_cycle
from utils.benchmarks import measuring
from utils.benchmarks.correction import plain_pass
from utils.benchmarks.measuring import Row, Work, smooth_pair
from utils.system.distributed import Processes

Kind = Literal["stage1", "stage1_bfloat16", "stage2"]
T = TypeVar("T")

_ROWS: dict[Kind, tuple[str, str, str]] = {
    "stage1": ("256x256, batch 2", "<= 4.2", "<= 3 GB"),
    "stage1_bfloat16": ("256x256, batch 2", "<= 2.6", ""),
    "stage2": ("320 crop, batch 1", "<= 3.0", "<= 3.5 GB"),
}
"""What a step is taken on, and the bars of its time and memory."""
_WEIGHTS = {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}
_PWC = Path(__file__).parents[2] / "pretrained/pwcnet.safetensors"
_ALONE = Processes(torch.device("cpu"))
_FIRST_GPU = Processes(torch.device("cuda", 0))


class Step:
    """A step as training takes it."""

    def __init__(self, kind: Kind, batch_size: int = 2, processes: Processes = _ALONE) -> None:
        """Build networks, objective and batch: crops of 320 px in stage 2, of 256 px in stage 1."""
        torch.manual_seed(0)
        device, size = processes.device, 320 if kind == "stage2" else 256
        self.generator, perceptual = Generator(), Perceptual()
        self.generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        fill_by_formula(perceptual, 2, 2**0.5)
        flow = load_pwc(_PWC, "released")
        self.cycle = CycleObjective(
            _WEIGHTS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
        )
        self.objective: nn.Module = self.cycle
        if kind == "stage2":
            self.objective = DistillationObjective(self.cycle, Generator(), border=32)
        self.objective.to(device)
        pairs = smooth_pair((size, size)).repeat(batch_size, 1, 1, 1, 1)
        scan = scan_time(540, rows=size, top=100).expand(batch_size, -1)
        batch = TrainingSample(pairs, scan, torch.full((batch_size,), 0.5))
        self.batch = to_device(batch, device)
        self.optimizer = torch.optim.AdamW(self.generator.parameters(), lr=1e-6)
        self.network = processes.wrap(self.generator)
        lower = kind == "stage1_bfloat16"
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=lower)

    def take(self, *, plain: bool = False) -> None:
        """Forward, backward, update; by the reference with `plain`."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(plain=plain).backward()
        self.optimizer.step()

    def loss(self, *, plain: bool = False) -> Tensor:
        """The loss of the step; of stage 1 by the reference with `plain`."""
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


def measure(*, quick: bool = False) -> list[Row]:
    """Steps at full width, their memory, two processes against one, and the loader.

    A plain pass and each kind of step take turns in processes of their own, because training keeps
    its memory (`models.parts.device.reuse_memory`) and the reference does not.
    """
    with ExitStack() as stack:
        processes = {
            work: stack.enter_context(measuring.start_process()) for work in ("plain", *_ROWS)
        }

        def ask(function: Callable[[str], T]) -> list[T]:
            return [each.submit(function, work).result() for work, each in processes.items()]

        (plain_operations, _), *costs = ask(_find_cost)
        rounds = [ask(_time) for _ in range(2 if quick else 5)]
    plain, *seconds = map(min, zip(*rounds, strict=True))
    rows = []
    for index, (kind, (taken_on, time_bar, memory_bar)) in enumerate(_ROWS.items()):
        operations, peak = costs[index]
        ratio = f"{seconds[index]:.2f} s, {seconds[index] / plain:.2f} plain passes"
        rows += [
            Row(f"{kind} step, {taken_on}", ratio, time_bar),
            Row("... operations / those of a plain pass", f"{operations / plain_operations:.2f}"),
            Row(f"{kind}: peak memory", f"{peak / 1e9:.2f} GB", memory_bar),
        ]
    together = _time_together(2) / _time_together(1)
    pace = _loader_pace() * seconds[0] / 2
    return [
        *rows,
        Row("stage1: relative difference of the loss", Step("stage1").describe_difference()),
        Row("two gloo processes, seconds of a step to one's", f"{together:.2f}"),
        Row("loader worker to a stage-1 step", f"{pace:.1f}", ">= 3"),
    ]


def measure_on_gpu() -> list[Row]:
    """Steps of stage 1 at full width."""
    difference = "... relative difference of the loss from the plain one"
    fastest = "... with the fastest of cuDNN's algorithms"  # last: cuDNN keeps what it finds
    step = Step("stage1", processes=_FIRST_GPU)
    return [
        Row("stage-1 step, 256x256, plain, float32", _describe_step("stage1", plain=True)),
        Row("stage-1 step, float32", _describe_step("stage1")),
        Row("... without TF32", _describe_step("stage1", allow_tf32=False)),
        Row(difference, step.describe_difference()),
        Row("stage-1 step, bfloat16", _describe_step("stage1_bfloat16"), ">= 100 samples/s"),
        Row(fastest, _describe_step("stage1_bfloat16", benchmark=True)),
    ]


def _describe_step(kind: Kind, size: int = 32, *, plain: bool = False, **flags: bool) -> str:
    """Samples per second and memory, with half the batch until it fits into memory."""
    torch.cuda.empty_cache()
    try:
        # Not kept in a variable: what did not fit must be freed before the next try.
        cost = measuring.measure_gpu(
            partial(Step(kind, size, _FIRST_GPU).take, plain=plain), **flags
        )
    except torch.OutOfMemoryError:
        if size == 1:
            raise
    else:
        pace = 1000 * size / cost.milliseconds
        return f"{pace:.0f} samples/s, batch {size}: {cost.describe()}"
    return _describe_step(kind, size // 2, plain=plain, **flags)


@cache
def _prepare(work: str) -> Work:
    """What this process measures: a plain pass, or a step of a kind."""
    if work == "plain":
        return plain_pass()
    reuse_memory()
    return Step(cast(Kind, work), 1 if work == "stage2" else 2).take


def _find_cost(work: str) -> tuple[float, int]:
    """Operations of this process's work, and its peak bytes after two runs."""
    timeit.timeit(_prepare(work), number=2)
    peak = measuring.own_memory("VmHWM")
    return measuring.count_operations(_prepare(work)), peak


def _time(work: str) -> float:
    return measuring.least_times([_prepare(work)], 1)[0]


def _time_together(world_size: int) -> float:
    """Seconds of a step that so many processes take together."""
    with ProcessPoolExecutor(world_size, get_context("spawn")) as pool:
        return next(pool.map(_time_rank, range(world_size), [world_size] * world_size))


def _time_rank(rank: int, world_size: int) -> float:
    """Least seconds of a step of one sample, its gradients averaged over the processes."""
    torch.set_num_threads(1)
    address = "tcp://127.0.0.1:29517"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world_size)
    step = Step("stage1", 1, Processes(torch.device("cpu"), rank, world_size))
    seconds = min(timeit.repeat(step.take, repeat=4, number=1))
    dist.destroy_process_group()
    return seconds


def _loader_pace() -> float:
    """Samples per second of one worker that simulates 256x256 crops."""
    settings = TrainingSetSettings(patch_size=256)
    training_set = SimulatedTrainingSet(load_textures(None), SceneSettings(), settings)
    batches = training_loader(training_set, batch_size=2, num_workers=1, device=_ALONE.device)
    take = partial(next, batches)
    timeit.timeit(take, number=4)  # prepared while the worker starts
    return 20 / timeit.timeit(take, number=10)
