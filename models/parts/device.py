"""The device to compute on, and its memory: how much is free, kept or given back."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from utils.errors import InputError

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # names of glibc's settings


def choose_device(name: str = "auto", *, local_rank: int = 0) -> torch.device:
    """The device to use.

    Args:
        name: "auto" (CUDA, else MPS, else the CPU), "cuda", "mps" or "cpu".
        local_rank: which of the machine's processes this is; process r takes GPU r.

    Raises:
        InputError: the device asked for is not there, or there are fewer GPUs than processes.
    """
    if name == "auto":
        name = _best_available()
    if name == "cuda":
        return _gpu(local_rank)
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("device: 'mps' asked for, but this machine has none; use 'auto' or 'cpu'")
    return torch.device(name)


def reuse_memory() -> None:
    """Keep what tensors on the CPU free for the next ones, where the C library is glibc.

    Training takes and frees the same large blocks over and over; by default each is given back to
    the system and cleared anew, a tenth of a step's time.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Give the system back what is free on the CPU, where the C library is glibc.

    By default it keeps much of what several threads have freed, which others then cannot use.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def free_memory(device: torch.device) -> float | None:
    """Bytes that are free: on a CPU of the machine's memory and of what a container may take.

    Returns:
        None where nobody knows.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    return free_on_linux(_PROC, _CGROUPS)


def free_on_linux(proc: Path, cgroups: Path) -> float | None:
    """Bytes that are free, as Linux tells in /proc and by its control groups.

    Returns:
        None where there is no such system.
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


def _best_available() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu(local_rank: int) -> torch.device:
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
    """Bytes left in each of the control groups with a limit that the process is in."""
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
        # A container may see its own group as the root, whatever its path is outside.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (left := _left_in(folder, *names)) is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Bytes left in a group, cached files not counted; None where it has no limit."""
    try:
        most = (group / limit).read_text(encoding="ascii").strip()
        if most == "max":
            return None
        used = int((group / usage).read_text(encoding="ascii"))
        return int(most) - used + _read_table(group / "memory.stat").get(reclaimable, 0)
    except OSError:
        return None


def _read_table(file: Path) -> dict[str, int]:
    """The numbers of a file whose lines are a name, a number, and perhaps a unit."""
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {words[0]: int(words[1]) for words in lines}
