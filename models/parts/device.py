"""The device to compute on, and its memory."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from utils.errors import InputError

_DEVICES = ("auto", "cuda", "mps", "cpu")
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD


def choose_device(name: str = "auto", *, local_rank: int = 0) -> torch.device:
    """Choose the device.

    Args:
        name: "auto" (CUDA, else MPS, else the CPU), "cuda", "mps" or "cpu".
        local_rank: index of this process on the machine; process r takes GPU r.

    Raises:
        InputError: the device is not available, or there are fewer GPUs than processes.
    """
    has_mps = torch.backends.mps.is_available()
    if name not in _DEVICES:
        raise InputError(f"device: expected one of {', '.join(_DEVICES)}, got {name!r}")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    if name == "cuda":
        return _choose_gpu(local_rank)
    if name == "mps" and not has_mps:
        raise InputError("device: 'mps' asked for, but this machine has none; use 'auto' or 'cpu'")
    return torch.device(name)


def reuse_memory() -> None:
    """Let glibc keep freed memory for the next tensors on the CPU; other C libraries: no effect.

    Training allocates and frees the same large blocks again and again. By default each is returned
    to the system and cleared anew, which takes a tenth of a step.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Let glibc return freed CPU memory to the system; other C libraries: no effect.

    By default it keeps much of what other threads have freed, and does not reuse it.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def free_memory(device: torch.device) -> float | None:
    """Free memory in bytes; on a CPU limited by the machine and by its container.

    Returns:
        None if it is unknown.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return free_on_linux(_PROC, _CGROUPS) if device.type == "cpu" else None


def free_on_linux(proc: Path, cgroups: Path) -> float | None:
    """Free memory in bytes, from /proc and the control groups of Linux.

    Returns:
        None on other systems.
    """
    try:
        machine = _read_table(proc / "meminfo")["MemAvailable:"] * 1024
    except (OSError, KeyError):
        return None
    return float(min([machine, *_left_in_groups(proc, cgroups)]))


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _choose_gpu(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        raise InputError(
            "device: 'cuda' asked for, but PyTorch finds no CUDA GPU; use 'auto' or 'cpu'"
        )
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise InputError(
            f"device: process {local_rank} of this machine has no GPU: expected at most {count} "
            f"processes, one per GPU; lower --nproc_per_node"
        )
    return torch.device("cuda", local_rank)


def _left_in_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """Free bytes of each control group with a limit that the process belongs to."""
    try:
        memberships = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # of version 2
            root, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif controllers == "memory":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            root = cgroups / "memory"
        else:
            continue
        # A container may see its own group as the root, although its path outside is longer.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (left := _left_in(folder, *names)) is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Free bytes of a group, including cached files; None without a limit."""
    try:
        maximum = (group / limit).read_text(encoding="ascii").strip()
        if maximum == "max":
            return None
        used = int((group / usage).read_text(encoding="ascii"))
        return int(maximum) - used + _read_table(group / "memory.stat").get(reclaimable, 0)
    except OSError:
        return None


def _read_table(file: Path) -> dict[str, int]:
    """Parse a file whose lines are a name, a number, and perhaps a unit."""
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}
