"""Distributed runs: process group, averages over processes, and the process that writes files."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.parts.device import choose_device
from utils.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The process group of a run, as one of its processes sees it.

    Attributes:
        device: of this process.
        rank: of this process; process 0 writes the files.
        world_size: number of processes on all machines.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def device_names(self) -> list[str]:
        """The device of every process, by rank, such as "cuda:0 NVIDIA H200"."""
        name = str(self.device)
        if self.device.type == "cuda":
            name += f" {torch.cuda.get_device_name(self.device)}"
        return self.gather(name)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over all processes, identical in each of them."""
        if self.world_size == 1:
            return values
        total = values.detach().to(self.device, copy=True)
        dist.all_reduce(total)
        return total / self.world_size

    def gather(self, item: T) -> list[T]:
        """The `item` of every process, by rank."""
        if self.world_size == 1:
            return [item]
        items: list[T | None] = [None] * self.world_size
        dist.all_gather_object(items, item)
        return cast(list[T], items)

    def from_main(self, item: T) -> T:
        """The main process's `item`, in every process."""
        return self.gather(item)[0]

    def wrap(self, network: nn.Module) -> nn.Module:
        """`network`, with gradients averaged over the processes."""
        if self.world_size == 1:
            return network
        _align_gradients(network)
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            network, device_ids=device_ids, broadcast_buffers=False, gradient_as_bucket_view=True
        )


@contextmanager
def process_group(device: str, *, launched: bool = False) -> Iterator[Processes]:
    """Join the process group of a launcher; without one, a group of a single process.

    Rank and world size come from the environment variables of `torchrun` or
    `torch.distributed.launch`, also on several machines. The backend is NCCL on CUDA, gloo on CPU.

    Args:
        device: the device option (`models.parts.device.choose_device`).
        launched: whether a launcher is expected (`--dist True`).

    Raises:
        InputError: the device is missing or cannot be shared, there is no launcher, or another
            process failed.
    """
    if launched and "WORLD_SIZE" not in os.environ:
        raise InputError("--dist True: no launcher found; start with torchrun --nproc_per_node=N")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Processes(choose_device(device))
        return
    if "LOCAL_RANK" not in os.environ:
        raise InputError(
            f"WORLD_SIZE is {world_size}, but no launcher set LOCAL_RANK: start with torchrun "
            "--nproc_per_node=N, or unset WORLD_SIZE"
        )
    chosen = choose_device(device, local_rank=int(os.environ["LOCAL_RANK"]))
    if chosen.type == "mps":
        raise InputError("device: 'mps' supports a single process; start without the launcher")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(chosen, dist.get_rank(), world_size)
        # A worker thread of gloo that still frees the tensors of the last message when the
        # interpreter ends aborts the process ("terminate called without an active exception").
        dist.barrier(device_ids=[chosen.index] if chosen.type == "cuda" else None)
    except RuntimeError as error:
        if not re.search(r"onnection (closed|reset)|Broken pipe", str(error)):
            raise
        raise InputError("stopped because another process failed: see its message") from error
    finally:
        dist.destroy_process_group()


def _align_gradients(network: nn.Module) -> None:
    """Give the gradients of weights that have sides of length 1 the strides of these weights.

    The strides of such sides mean nothing, but differ: a 1x1 kernel in channels-last layout has
    (C, 1, C, C), its gradient (C, 1, 1, 1) where the network reshapes the kernel, as the generator
    does to fuse features. DistributedDataParallel takes that for another layout and warns.
    """
    for weight in network.parameters():
        if weight.requires_grad and 1 in weight.shape:
            weight.register_hook(partial(_restrided, strides=weight.stride()))


def _restrided(gradient: Tensor, *, strides: tuple[int, ...]) -> Tensor:
    """A view of the gradient with other strides, if these address the same memory."""
    sides = zip(gradient.shape, gradient.stride(), strides, strict=True)
    if any(own != wanted for length, own, wanted in sides if length != 1):
        return gradient
    return gradient.as_strided(gradient.shape, strides)
