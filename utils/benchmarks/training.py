"""Speed and memory of training steps, as ratios to a plain pass of the generator at 960x544."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from data.capture import TrainingSample, to_device
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.time_maps import scan_time
from data.training.crops import SimulatedTrainingSet, TrainingSetSettings
from data.training.loader import training_loader
from models.flow_pwc import PWCNet, load_pwc
from models.generator import Generator
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, DistillationObjective
from models.parts.device import reuse_memory
from models.reference.formula_weights import fill_by_formula
from models.reference.step import plain_cycle
from utils.benchmarks.inference import plain_pass
from utils.benchmarks.peak_memory import own_peak
from utils.benchmarks.rows import Row, count_operations, least_times
from utils.system.distributed import Processes

Kind = Literal["stage1", "stage1_bfloat16", "stage2"]

_BARS: dict[Kind, tuple[str, str]] = {
    "stage1": ("<= 4.2", "<= 3 GB"),
    "stage1_bfloat16": ("<= 2.6", ""),
    "stage2": ("<= 3.0", "<= 3.5 GB"),
}
_WEIGHTS = {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}
_PWC = Path("pretrained/pwcnet.safetensors")
_ROOT = Path(__file__).parents[2]
_ALONE = Processes(torch.device("cpu"))
_GAIN = 2**0.5  # of formula weights, for networks with leaky ReLUs


class Cost(NamedTuple):
    """What a piece of work takes: seconds, and floating-point operations."""

    seconds: float
    operations: float


class Step(NamedTuple):
    """A step that can be taken again and again.

    Attributes:
        take: forward, backward, update.
        objective: what it minimises.
        generator: what it trains.
        batch: what it is taken on.
        optimizer: of the generator.
    """

    take: Callable[[], object]
    objective: nn.Module
    generator: Generator
    batch: TrainingSample
    optimizer: torch.optim.Optimizer


def measure(*, quick: bool = False) -> list[Row]:
    """Steps at full width, their memory, two processes against one, and the loader."""
    plain, *costs = _costs(["plain", *_BARS], rounds=2 if quick else 5)
    rows = []
    for (kind, bars), cost in zip(_BARS.items(), costs, strict=True):
        what = f"{kind} step, {_describe(kind)}"
        ratio = f"{cost.seconds:.2f} s, {cost.seconds / plain.seconds:.2f} plain passes"
        rows.append(Row(what, ratio, bars[0]))
        share = cost.operations / plain.operations
        rows.append(Row("... operations / those of a plain pass", f"{share:.2f}"))
        rows.append(Row(f"{kind}: peak memory", f"{_peak(kind) / 1e9:.2f} GB", bars[1]))
    rows.append(Row("stage1: relative difference of the loss", _difference(build_step("stage1"))))
    rows.append(Row("two gloo processes, seconds of a step to one's", _scale_out(), ""))
    pace = 2 / costs[0].seconds
    rows.append(Row("loader worker to a stage-1 step", f"{_loader_pace() / pace:.1f}", ">= 3"))
    return rows


def build_step(kind: Kind, *, batch_size: int = 2, processes: Processes = _ALONE) -> Step:
    """A step as training takes it, with the flow network's weights if they are there."""
    torch.manual_seed(0)
    device = processes.device
    generator, perceptual = Generator(), Perceptual()
    generator.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    fill_by_formula(perceptual, 2, _GAIN)
    flow = PWCNet("released").requires_grad_(False).eval()
    if (_ROOT / _PWC).is_file():
        flow = load_pwc(_ROOT / _PWC, "released")
    else:
        fill_by_formula(flow, 1, _GAIN)
    cycle = CycleObjective(
        _WEIGHTS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
    )
    objective: nn.Module = cycle
    size = 256
    if kind == "stage2":
        objective = DistillationObjective(cycle, Generator(), border=32)
        size, batch_size = 320, 1
    coarse = torch.rand(2 * batch_size, 3, size // 16, size // 16)
    pair = F.interpolate(coarse, (size, size), mode="bilinear").unflatten(0, (-1, 2))
    scan = scan_time(540, rows=size, top=100).expand(batch_size, -1)
    batch = to_device(TrainingSample(pair, scan, torch.full((batch_size,), 0.5)), device)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=1e-6)
    network = processes.wrap(generator)
    objective.to(device)

    def take() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=kind == "stage1_bfloat16"):
            total, _ = objective(network, batch)
        total.backward()
        optimizer.step()

    return Step(take, objective, generator, batch, optimizer)


def _describe(kind: Kind) -> str:
    return "320 crop, batch 1" if kind == "stage2" else "256x256, batch 2"


def _difference(step: Step) -> str:
    assert isinstance(step.objective, CycleObjective)
    with torch.no_grad():
        plain, _ = plain_cycle(step.objective, step.generator, step.batch)
        ours, _ = step.objective(step.generator, step.batch)
    return f"{float(abs(ours - plain) / plain):.1e}"


def _peak(kind: Kind) -> float:
    """Bytes that a process which takes two steps holds at most."""
    return float(_run_apart("peak", kind))


def _scale_out() -> str:
    """How many times as long a step takes where two processes take it together."""
    alone = float(_run_apart("pace", "0", WORLD_SIZE="1"))
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
    other = _start("pace", "1", environment)
    together = float(_run_apart("pace", "0", **environment))
    other.wait()
    return f"{together / alone:.2f}"


def _loader_pace() -> float:
    """Samples per second of one worker that simulates 256x256 crops."""
    settings = TrainingSetSettings(patch_size=256)
    training_set = SimulatedTrainingSet(load_textures(None), SceneSettings(), settings)
    device = torch.device("cpu")
    batches = training_loader(training_set, batch_size=2, num_workers=1, device=device)
    for _ in range(4):  # what is prepared while the worker starts
        next(batches)
    start = time.perf_counter()
    for _ in range(10):
        next(batches)
    return 20 / (time.perf_counter() - start)


def _costs(works: Sequence[str], rounds: int) -> list[Cost]:
    """The least costs of a plain pass and of steps, each in a process of its own, in turns.

    Of its own, because training keeps its memory (`models.parts.device.reuse_memory`), and the
    plain path does not.
    """
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    processes = [_start("cost", work, threads) for work in works]
    operations = [float(_line(process)) for process in processes]
    least = [float("inf")] * len(works)
    for _ in range(rounds):
        for index, process in enumerate(processes):
            least[index] = min(least[index], float(_line(process, asked=True)))
    for process in processes:
        process.communicate()
    return [Cost(*cost) for cost in zip(least, operations, strict=True)]


def _line(process: "subprocess.Popen[str]", *, asked: bool = False) -> str:
    """The next line that a process prints, for some after it is asked to.

    Raises:
        RuntimeError: it ended instead.
    """
    assert process.stdin is not None and process.stdout is not None
    if asked:
        process.stdin.write("\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r}: exit status {process.wait()}")
    return line


def _start(task: str, argument: str, environment: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "utils.benchmarks.training", task, argument]
    return subprocess.Popen(
        command,
        cwd=_ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _run_apart(task: str, argument: str, **environment: str) -> str:
    """What a process of this module prints.

    Raises:
        RuntimeError: it failed.
    """
    process = _start(task, argument, environment)
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{task} {argument}: exit status {process.returncode}")
    return output


def _report_costs(work: str) -> None:
    """Print the operations of a work, then its seconds each time that a line comes in."""
    if work == "plain":
        take = plain_pass()
    else:
        reuse_memory()
        take = build_step(next(kind for kind in _BARS if kind == work)).take
    sys.stdout.write(f"{count_operations(take)}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(f"{least_times([take], 1)[0]}\n")
        sys.stdout.flush()


def _report_peak(kind: Kind) -> None:
    reuse_memory()
    step = build_step(kind)
    for _ in range(2):
        step.take()
    sys.stdout.write(f"{own_peak()}\n")


def _report_pace(rank: int) -> None:
    """Least seconds of a step of this process, its gradients averaged with the others'."""
    torch.set_num_threads(1)
    world_size = int(os.environ["WORLD_SIZE"])
    if world_size > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world_size)
    processes = Processes(torch.device("cpu"), rank, world_size)
    step = build_step("stage1", batch_size=1, processes=processes)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        step.take()
        seconds.append(time.perf_counter() - start)
    if world_size > 1:
        dist.destroy_process_group()
    sys.stdout.write(f"{min(seconds)}\n")


def main() -> None:
    """Measure what takes a process of its own, for another process of this module."""
    task, argument = sys.argv[1:]
    if task == "cost":
        _report_costs(argument)
    elif task == "peak":
        _report_peak(next(kind for kind in _BARS if kind == argument))
    else:
        _report_pace(int(argument))


if __name__ == "__main__":
    main()
