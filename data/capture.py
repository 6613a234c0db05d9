"""Captures, which check their tensors, and batches of training samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class CapturePair:
    """One capture: two images of the same moment, read in opposite directions.

    Attributes:
        t2b: (3, H, W) RGB float32 in [0, 1], read top to bottom.
        b2t: (3, H, W), read bottom to top.
        scan_time: (H,) exposure time of each t2b row; b2t rows are exposed at `1 - scan_time`.
        name: "sequence/frame", unique within a dataset.
        truth: (T, 3, H, W) global-shutter frames, if known.
        truth_times: (T,) instants of `truth` in [0, 1].
        truth_flows: (T, 2, 2, H / k, W / k), if known: displacement (dx, dy) in pixels from the
            centre of each k x k block of each true frame to the same point in t2b and in b2t.
    """

    t2b: Tensor
    b2t: Tensor
    scan_time: Tensor
    name: str
    truth: Tensor | None = None
    truth_times: Tensor | None = None
    truth_flows: Tensor | None = None

    def __post_init__(self) -> None:
        """Check shapes, types and ranges.

        Raises:
            ValueError: a field is wrong.
        """
        _expect_image(self.name, "t2b", self.t2b)
        _expect_shape(self.name, "b2t", self.b2t, tuple(self.t2b.shape))
        _expect_shape(self.name, "scan_time", self.scan_time, (self.height,))
        if (self.truth is None) != (self.truth_times is None):
            raise ValueError(f"{self.name}: truth and truth_times go together")
        if self.truth is not None and self.truth_times is not None:
            count = len(self.truth_times)
            _expect_shape(self.name, "truth", self.truth, (count, *self.t2b.shape))
        if self.truth_flows is not None:
            count = 0 if self.truth_times is None else len(self.truth_times)
            stride = self.flow_stride
            expected = (count, 2, 2, self.height // stride, self.width // stride)
            _expect_shape(self.name, "truth_flows", self.truth_flows, expected)

    @property
    def height(self) -> int:
        """Rows of the images."""
        return self.t2b.shape[-2]

    @property
    def width(self) -> int:
        """Columns of the images."""
        return self.t2b.shape[-1]

    @property
    def flow_stride(self) -> int:
        """Side k of the blocks of `truth_flows`; 1 without flows."""
        rows = self.height if self.truth_flows is None else self.truth_flows.shape[-2]
        stride = self.height // max(rows, 1)
        return stride if stride and not (self.height % stride or self.width % stride) else 1

    @property
    def pair(self) -> Tensor:
        """(2, 3, H, W): t2b, b2t."""
        return torch.stack((self.t2b, self.b2t))


class TrainingSample(NamedTuple):
    """A crop to train on, or a batch of them with a leading batch axis.

    Attributes:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure time of the crop's t2b rows.
        t: () the intermediate instant in [0, 1].
        truth: (3, 3, H, W) true frames at 0, t, 1, or None; (T, 3, H, W) for a network of T fixed
            instants, likewise below.
        truth_flows: (3, 2, 2, H/2, W/2) exact displacements (see `CapturePair`), or None.
        cues: (3, 15, H/4, W/4) classical motion estimates of these frames
            (`models.refiner.cues.MotionCues.packed`), or None.
    """

    pair: Tensor
    scan_time: Tensor
    t: Tensor
    truth: Tensor | None = None
    truth_flows: Tensor | None = None
    cues: Tensor | None = None


Sample = TypeVar("Sample", bound=NamedTuple)
"""A named tuple of optional tensors: a training sample, or a batch of them."""


def collate(samples: Sequence[Sample]) -> Sample:
    """Stack samples along a new first axis; a field that any sample lacks becomes None."""

    def stack_optional(values: Sequence[Tensor | None]) -> Tensor | None:
        present = [value for value in values if value is not None]
        return torch.stack(present) if len(present) == len(values) else None

    return samples[0]._make(stack_optional(values) for values in zip(*samples, strict=True))


def split_batch(batch: Sample, parts: int) -> list[Sample]:
    """Split a batch into parts of equal size.

    Raises:
        ValueError: the size is not a multiple of `parts`.
    """
    present = next(value for value in batch if value is not None)
    size, remainder = divmod(len(present), parts)
    if remainder:
        raise ValueError(f"{len(present)} samples cannot be split into {parts} equal parts")
    return [
        batch._make(None if value is None else value[start : start + size] for value in batch)
        for start in range(0, len(present), size)
    ]


def to_device(batch: Sample, device: torch.device) -> Sample:
    """Move every tensor of a batch; copies from pinned memory are non-blocking."""
    return batch._make(
        None if value is None else value.to(device, non_blocking=True) for value in batch
    )


def _expect_image(name: str, field: str, image: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.float32:
        got = f"{tuple(image.shape)} {image.dtype}"
        raise ValueError(f"{name}: {field} must be (3, H, W) torch.float32, got {got}")
    low, high = (float(image.min()), float(image.max())) if image.numel() else (0.0, 0.0)
    if not 0 <= low <= high <= 1:
        raise ValueError(f"{name}: {field} must lie in [0, 1], got [{low:.3g}, {high:.3g}]")


def _expect_shape(name: str, field: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(value.shape) != expected:
        raise ValueError(f"{name}: {field} must be {expected}, got {tuple(value.shape)}")
