import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.parts.device import free_memory, free_on_linux, release_memory
from utils.benchmarks.measuring import own_memory
from utils.errors import says_memory_ran_out


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    write(tmp_path / "proc", meminfo="MemTotal: 4000 kB\nMemAvailable: 3000 kB\nHugePages: 0\n")
    return tmp_path / "proc"


def test_free_memory_is_that_of_the_system() -> None:
    free = free_memory(torch.device("cpu"))
    if Path("/proc/meminfo").exists():
        assert free is not None and 1e7 < free < 1e14
    assert free_memory(torch.device("meta")) is None


def test_without_limits_all_that_the_machine_has_is_free(tmp_path: Path, proc: Path) -> None:
    assert free_on_linux(proc, tmp_path / "none") == 3000 * 1024
    write(proc / "self", cgroup="3:cpu:/a\n0::/a\n")
    write(tmp_path / "groups", memory__max="max\n")
    assert free_on_linux(proc, tmp_path / "groups") == 3000 * 1024
    assert free_on_linux(tmp_path / "other", tmp_path / "groups") is None


@pytest.mark.parametrize("visible", ["", "outer", "outer/inner"])
def test_a_container_s_limit_counts(tmp_path: Path, proc: Path, visible: str) -> None:
    write(proc / "self", cgroup="0::/outer/inner\n")
    group = tmp_path / "groups" / visible
    stat = "anon 1000\ninactive_file 500\n"
    write(group, memory__max="100000\n", memory__current="40000\n", memory__stat=stat)
    assert free_on_linux(proc, tmp_path / "groups") == 100000 - 40000 + 500


def test_a_limit_of_the_first_version_counts(tmp_path: Path, proc: Path) -> None:
    write(proc / "self", cgroup="4:memory:/job\n0::/\n")
    write(
        tmp_path / "groups" / "memory" / "job",
        memory__limit_in_bytes="90000\n",
        memory__usage_in_bytes="30000\n",
        memory__stat="cache 5\ntotal_inactive_file 7\n",
    )
    assert free_on_linux(proc, tmp_path / "groups") == 60007


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_errors_that_say_that_memory_ran_out(error: Exception, expected: bool) -> None:
    assert says_memory_ran_out(error) is expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_what_is_free_is_given_back() -> None:
    megabyte = 2**20
    # Small blocks that stay in use between large ones keep these from the end of the heap.
    blocks = [np.ones(count, np.uint8) for _ in range(1500) for count in (100_000, 2_000)]
    kept = blocks[1::2]
    before = own_memory()
    del blocks
    release_memory()
    assert own_memory() < before - 100 * megabyte
    assert all(block.all() for block in kept)
