"""The device a script runs on, and how memory on the CPU is kept."""

import ctypes
import sys

import torch

from utils.errors import InputError

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
