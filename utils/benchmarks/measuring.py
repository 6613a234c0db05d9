"""How the benchmarks measure: least times, operations, memory, GPU cost, and their rows."""

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from timeit import repeat, timeit
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.backends import cpu, cudnn

Work = Callable[[], object]


class Row(NamedTuple):
    """One figure: what was measured, the result, and the bar it should reach."""

    what: str
    measured: str
    bar: str = ""


class GpuCost(NamedTuple):
    """Median time of a call, and peak memory of tensors on the GPU."""

    milliseconds: float
    gigabytes: float

    def describe(self, plain: "GpuCost | None" = None) -> str:
        """Both with units; with `plain`, the reference's cost, also the ratio of the times."""
        ratio = f"{self.milliseconds / plain.milliseconds:.2f} of plain, " if plain else ""
        return f"{self.milliseconds:.1f} ms, {ratio}{self.gigabytes:.2f} GB"


def least_times(work: Sequence[Work], rounds: int) -> list[float]:
    """Least seconds of each function, called in turns so that other load affects all alike.

    With one thread these are seconds of CPU time, which other processes hardly affect; with
    several, wall-clock seconds.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times = [[timeit(run, timer=clock, number=1) for run in work] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def measure_gpu(work: Work, **flags: bool) -> GpuCost:
    """Cost of a call once warmed up, under `torch.backends.cudnn.flags`."""

    def finish() -> None:
        work()
        torch.cuda.synchronize()

    with cudnn.flags(enabled=True, **flags):
        timeit(finish, number=3)
        torch.cuda.reset_peak_memory_stats()
        seconds = median(repeat(finish, repeat=5, number=1))
    return GpuCost(1000 * seconds, torch.cuda.max_memory_allocated() / 1e9)


def count_operations(work: Work) -> float:
    """Floating-point operations of matrix products and convolutions, forward and backward."""
    # Here, because it takes 60 MB, which would count as those of a correction.
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def matrix_rate(dtype: torch.dtype, size: int = 1536) -> float:
    """Operations per second of a product of large square matrices."""
    first, second = (torch.rand(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / least_times([lambda: first @ second], 8)[0]


def own_memory(kind: Literal["VmHWM", "VmRSS"] = "VmRSS") -> int:
    """Bytes that this process holds now ("VmRSS") or held at most ("VmHWM"), on Linux.

    `getrusage` would include the process that started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.findall(rf"{kind}:\s*(\d+)", status)[0])


def start_process() -> ProcessPoolExecutor:
    """A process with as many threads as this one, to call the functions submitted to it."""
    threads = torch.get_num_threads()
    return ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,))


def describe_machine() -> str:
    """The processor, its instruction set, and how many threads are used."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    threads = torch.get_num_threads()
    clock = "CPU time of one thread" if threads == 1 else f"{threads} threads, wall-clock time"
    processor = names[0] if names else "unknown processor"
    return f"{processor}, {os.cpu_count()} cores, {cpu.get_cpu_capability()}; {clock}"


def smooth_pair(size: tuple[int, int]) -> Tensor:
    """A random pair (2, 3, H, W) with detail of about 16 pixels."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, size[0] // 16 + 1, size[1] // 16 + 1, generator=source)
    return F.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
