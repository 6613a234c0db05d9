"""The endless stream of batches that feeds training, the same for any number of workers."""

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

    Step k is made of samples `k * batch_size` to `(k + 1) * batch_size - 1`, each rank's share of
    them consecutive. The global random state is left alone.

    Args:
        dataset: sample n is a function of n.
        batch_size: over all ranks.
        first_step: how many steps were taken before.
        rank: of this process among `world_size`.
        world_size: number of processes that train together.
        num_workers: processes that prepare batches; 0 prepares them here.
        device: where batches will go; for CUDA they are in pinned memory.

    Raises:
        InputError: `batch_size` is no multiple of `world_size`, or a capture cannot be read.
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
            # Raised here, a worker's error would reach the user wrapped in a traceback.
            return error


def _raise_errors(batches: Iterator[Sample | InputError]) -> Iterator[Sample]:
    for batch in batches:
        if isinstance(batch, InputError):
            del batches  # else the traceback keeps the workers waiting for more
            raise batch
        yield batch


def _init_worker(_: int) -> None:
    """Use one thread, and leave it to the main process to answer Ctrl-C and SIGTERM.

    Both usually go to the whole process group; a worker in its own one lives until the main
    process has saved its work.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    os.setpgrp()


class KeptSamples(Dataset[TrainingSample]):
    """So many samples of another set, over and over: images in 8 bit, flows in half precision.

    Each loader worker keeps those it made, and makes the same ones again if their number is a
    multiple of the workers' number times the batch size.
    """

    def __init__(self, dataset: Dataset[TrainingSample], count: int) -> None:
        """Take the first `count` samples of `dataset`."""
        self.dataset = dataset
        self.count = count
        self._kept: dict[int, TrainingSample] = {}

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number`, any number from 0 on: that of its remainder by `count`."""
        index = number % self.count
        if index not in self._kept:
            sample = self.dataset[index]
            self._kept[index] = sample._replace(
                pair=_to_bytes(sample.pair),
                truth=None if sample.truth is None else _to_bytes(sample.truth),
                truth_flows=None if sample.truth_flows is None else sample.truth_flows.half(),
            )
        kept = self._kept[index]
        return kept._replace(
            pair=kept.pair / 255,
            truth=None if kept.truth is None else kept.truth / 255,
            truth_flows=None if kept.truth_flows is None else kept.truth_flows.float(),
        )


def _to_bytes(images: Tensor) -> Tensor:
    return (images * 255).round().to(torch.uint8)
