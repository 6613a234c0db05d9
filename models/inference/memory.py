"""How much memory a process can still take."""

from collections.abc import Iterator
from pathlib import Path

import torch

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def says_memory_ran_out(error: BaseException) -> bool:
    """Whether an error is of memory that could not be had, be it Python's, PyTorch's or a GPU's."""
    told = any(words in str(error) for words in ("can't allocate memory", "out of memory"))
    return told or isinstance(error, MemoryError | torch.OutOfMemoryError)


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
