"""What benchmarks have in common: rows of a table, clocks, and the machine's own rate."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

_MATRIX = 1536


class Row(NamedTuple):
    """One figure: what was measured, what came out, and what was to be reached."""

    what: str
    measured: str
    bar: str = ""


def least_times(work: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Least seconds of each, run in turn: what else the machine does then meets all alike.

    With one thread, seconds of CPU time, which others' work hardly moves; else of the clock.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    least = [float("inf")] * len(work)
    for _ in range(rounds):
        for index, run in enumerate(work):
            start = clock()
            run()
            least[index] = min(least[index], clock() - start)
    return least


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations per second of a product of large square matrices."""
    first, second = (torch.rand(_MATRIX, _MATRIX).to(dtype) for _ in range(2))
    return 2 * _MATRIX**3 / least_times([lambda: first @ second], 8)[0]


def count_operations(work: Callable[[], object]) -> float:
    """Floating-point operations of its matrix products and convolutions, backward ones included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def describe_machine() -> str:
    """The processor, what it offers, and how many threads are used."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    threads = torch.get_num_threads()
    clock = "CPU time of one thread" if threads == 1 else f"{threads} threads, time of the clock"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name}, {os.cpu_count()} cores, {capability}; {clock}"
