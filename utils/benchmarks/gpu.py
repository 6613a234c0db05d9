"""Speed and memory on a GPU: nine frames of a pair, and steps of training."""

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from data.time_maps import offset_maps, scan_time
from models.inference.correction import correct
from models.objectives import CycleObjective
from models.parts.precision import autocast
from models.parts.settings import InferenceSettings, frame_instants
from models.reference.generator import plain_correct
from models.reference.step import plain_cycle
from models.refiner.cues import find_motion
from models.refiner.network import Refiner
from utils.benchmarks.inference import full_generator, smooth_pair
from utils.benchmarks.rows import Row
from utils.benchmarks.training import Kind, Step, build_step
from utils.system.distributed import Processes

_SIZE = (540, 960)
_NINE = frame_instants(9)
_BATCH = 32  # samples of a step, halved until memory suffices


class _Cost(NamedTuple):
    """What a piece of work takes, warmed up.

    Attributes:
        milliseconds: median of the clock's, until the GPU has finished.
        gigabytes: most that tensors took on the GPU.
    """

    milliseconds: float
    gigabytes: float


def measure() -> list[Row]:
    """Nine frames of a 960x540 pair and training steps, full width, on the first GPU."""
    return [*_measure_frames(), *_measure_refiner(), *_measure_training()]


def describe_gpu() -> str:
    """The GPU, its memory, and how PyTorch was set up to use it."""
    properties = torch.cuda.get_device_properties(0)
    return (
        f"One {torch.cuda.get_device_name(0)}, {properties.total_memory / 1e9:.0f} GB, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}. "
        "Pair and frames are in its memory; corrections in float32 use no TF32, training in "
        "float32 does where it is not said otherwise (PyTorch's default)"
    )


def _measure_frames() -> list[Row]:
    generator, pair = full_generator().cuda(), smooth_pair(_SIZE).cuda()
    plain_generator = copy.deepcopy(generator)  # as PyTorch lays out weights; ours are moved

    def plain() -> Tensor:
        with autocast("float32", pair.device):
            return plain_correct(plain_generator, pair, 9)

    def ours(settings: InferenceSettings) -> Tensor:
        return correct(generator, pair, _NINE, settings=settings).frames

    exact, low = InferenceSettings(tile=None), InferenceSettings("auto", tile=None)
    expected = plain()
    difference = float((ours(exact) - expected).abs().max())
    psnr = -10 * float(torch.log10((ours(low) - expected).square().mean()))
    base = _cost(plain)
    costs = _cost(lambda: ours(exact)), _cost(lambda: ours(low))
    with _algorithms_tried():
        tried = _cost(lambda: ours(low))
    return [
        Row("nine frames, 7 plain passes, float32", _describe(base)),
        Row("nine frames, float32", _describe(costs[0], base)),
        Row("... largest difference from the plain path", f"{difference:.1e}", "<= 1e-4"),
        Row("nine frames, precision auto", _describe(costs[1], base), "<= 60 ms"),
        Row("... PSNR against the plain path", f"{psnr:.1f} dB", ">= 50 dB"),
        Row("... with the fastest of cuDNN's algorithms", _describe(tried, base)),
    ]


def _measure_refiner() -> list[Row]:
    refiner, pair = Refiner().eval().cuda(), smooth_pair(_SIZE).cuda()
    maps = offset_maps(scan_time(_SIZE[0])[None], torch.tensor([_NINE]))
    settings = InferenceSettings("auto", tile=None)
    whole = _cost(lambda: correct(refiner, pair, _NINE, settings=settings), rounds=3)
    motion = _cost(lambda: find_motion(pair[None], maps), rounds=3)
    return [
        Row("nine frames, refiner (width 1.0), precision auto", _describe(whole)),
        Row("... of which classical motion, on the CPU", f"{motion.milliseconds:.0f} ms"),
    ]


def _measure_training() -> list[Row]:
    plain = _describe_step("stage1", _take_plainly)
    float32 = _describe_step("stage1", _take)
    low = _describe_step("stage1_bfloat16", _take)
    with _tf32(False):
        full = _describe_step("stage1", _take)
    with _algorithms_tried():
        tried = _describe_step("stage1_bfloat16", _take)
    return [
        Row("stage-1 step, 256x256, plain, float32", plain),
        Row("stage-1 step, float32", float32),
        Row("... without TF32", full),
        Row("... relative difference of the loss from the plain one", _difference()),
        Row("stage-1 step, bfloat16", low, ">= 100 samples/s"),
        Row("... with the fastest of cuDNN's algorithms", tried),
    ]


def _describe_step(kind: Kind, take: Callable[[Step], object]) -> str:
    """Samples per second and memory, of as large a batch as memory allows."""
    size = _BATCH
    while True:
        try:
            cost = _cost(partial(take, _build(kind, size)), rounds=5)
            return (
                f"{1000 * size / cost.milliseconds:.0f} samples/s, batch {size}: {_describe(cost)}"
            )
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        size //= 2


def _build(kind: Kind, size: int) -> Step:
    torch.cuda.empty_cache()
    return build_step(kind, batch_size=size, processes=Processes(torch.device("cuda", 0)))


def _take(step: Step) -> None:
    step.take()


def _take_plainly(step: Step) -> None:
    assert isinstance(step.objective, CycleObjective)
    step.optimizer.zero_grad(set_to_none=True)
    plain_cycle(step.objective, step.generator, step.batch)[0].backward()
    step.optimizer.step()


def _difference() -> str:
    step = _build("stage1", 2)
    assert isinstance(step.objective, CycleObjective)
    with torch.no_grad(), _tf32(False):
        plain, _ = plain_cycle(step.objective, step.generator, step.batch)
        ours, _ = step.objective(step.generator, step.batch)
    return f"{float(abs(ours - plain) / plain):.1e}"


def _cost(work: Callable[[], object], *, rounds: int = 7) -> _Cost:
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return _Cost(statistics.median(times), torch.cuda.max_memory_allocated() / 1e9)


def _describe(cost: _Cost, base: _Cost | None = None) -> str:
    ratio = f"{cost.milliseconds / base.milliseconds:.2f} of plain, " if base else ""
    return f"{cost.milliseconds:.1f} ms, {ratio}{cost.gigabytes:.2f} GB"


@contextmanager
def _algorithms_tried() -> Iterator[None]:
    """Let cuDNN try its algorithms on each new size and keep the fastest."""
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
