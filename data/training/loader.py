"""Endless training batches, which do not depend on the number of workers."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.capture import Sample, TrainingSample, collate
from utils.errors import InputError


def training_loader(
    dataset: Dataset[Sample],
    *,
    batch_size: int,
    first_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    device: torch.device,
) -> Iterator[Sample]:
    """Endless batches from step `first_step` on.

    Step k has samples `k * batch_size` to `(k + 1) * batch_size - 1`, in consecutive shares of the
    ranks. The global random state is not used.

    Args:
        dataset: endless; sample n is a function of n.
        batch_size: samples per step over all ranks.
        first_step: number of the first step.
        rank: rank of this process.
        world_size: number of processes that train together.
        num_workers: processes that prepare batches; 0: this one.
        device: device that batches will be moved to; for CUDA they are in pinned memory.

    Raises:
        InputError: `batch_size` is not a multiple of `world_size`, or a capture cannot be read.
    """
    share, remainder = divmod(batch_size, world_size)
    if remainder or share < 1:
        raise InputError(
            f"batch size {batch_size} cannot be shared equally by {world_size} processes; "
            "expected a multiple of their number"
        )
    loader = DataLoader(
        _Batches(dataset, share=share, first=rank * share, stride=batch_size),
        batch_size=None,
        sampler=itertools.count(first_step),
        num_workers=num_workers,
        worker_init_fn=_init_worker,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
    )
    return _raise_errors(iter(loader))


@dataclass(frozen=True)
class _Batches(Dataset[Sample | InputError], Generic[Sample]):
    """One rank's share of each step's batch."""

    dataset: Dataset[Sample]
    share: int
    first: int
    stride: int

    def __getitem__(self, step: int) -> Sample | InputError:
        start = step * self.stride + self.first
        try:
            return collate([self.dataset[number] for number in range(start, start + self.share)])
        except InputError as error:
            # Returned, because a worker's exception would reach the user with a traceback.
            return error


def _raise_errors(batches: Iterator[Sample | InputError]) -> Iterator[Sample]:
    for batch in batches:
        if isinstance(batch, InputError):
            del batches  # the exception's traceback would keep the workers alive
            raise batch
        yield batch


def _init_worker(_: int) -> None:
    """Use one thread, and leave Ctrl-C and SIGTERM to the main process.

    Both usually go to the whole process group; a worker in its own group lives until the main
    process has saved its work.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    os.setpgrp()


class CachedSamples(Dataset[TrainingSample]):
    """Caches the first `count` samples (8-bit images, float16 flows) and cycles through them.

    Each loader worker has its own cache. It sees the same samples in every cycle if `count` is a
    multiple of the number of workers times the batch size.
    """

    def __init__(self, dataset: Dataset[TrainingSample], count: int) -> None:
        """Cache the first `count` samples of `dataset`."""
        self.dataset = dataset
        self.count = count
        self._cache: dict[int, TrainingSample] = {}

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number % count`."""
        index = number % self.count
        if index not in self._cache:
            sample = self.dataset[index]
            self._cache[index] = sample._replace(
                pair=_to_bytes(sample.pair),
                truth=None if sample.truth is None else _to_bytes(sample.truth),
                truth_flows=None if sample.truth_flows is None else sample.truth_flows.half(),
            )
        cached = self._cache[index]
        return cached._replace(
            pair=cached.pair / 255,
            truth=None if cached.truth is None else cached.truth / 255,
            truth_flows=None if cached.truth_flows is None else cached.truth_flows.float(),
        )


def _to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)
