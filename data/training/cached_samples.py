"""Samples that are slow to make, made once and kept in memory."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import TrainingSample


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
