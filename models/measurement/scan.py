"""Exposure times of a view's rows: linear in the row."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from data import time_maps
from models.measurement.arrays import library

_MIN_CLOSING_SPEED = 0.2  # of the scan's speed: points must not outrun the scan


class Scan(NamedTuple):
    """Exposure times of a view's rows.

    Attributes:
        first: exposure time of row 0.
        row_time: time from one row to the next; negative where the bottom row is read first.
    """

    first: float
    row_time: float

    @classmethod
    def of(cls, scan_time: Tensor | None, height: int) -> "Scan":
        """The scan of t2b, given evenly spaced times (H,); by default H rows fill the readout."""
        scan = time_maps.scan_time(height) if scan_time is None else scan_time
        # From the ends: times are rounded, and the error of one step would grow from row to row.
        first, last = float(scan[0]), float(scan[-1])
        return cls(first, (last - first) / (len(scan) - 1))

    @classmethod
    def of_batch(cls, scan_times: Tensor) -> "Scan":
        """The scans of the t2b views of a batch, given times (B, H): tensors (B, 1, 1), float64."""
        ends: Any = scan_times[:, [0, -1], None, None].double().unbind(1)
        return cls(ends[0], (ends[1] - ends[0]) / (scan_times.shape[1] - 1))

    @property
    def reversed(self) -> "Scan":
        """The scan of the other view, whose rows are exposed at one minus the time here."""
        return Scan(1 - self.first, -self.row_time)

    def at(self, row: Any) -> Any:
        """Exposure times of rows, which need not be whole; any shape."""
        return self.first + self.row_time * row

    def closing_speed(self, velocity_y: Any) -> Any:
        """Speed at which the scan meets points that move by `velocity_y`, in speeds of the scan."""
        xp = library(velocity_y)
        return xp.clip(1 - velocity_y * self.row_time, _MIN_CLOSING_SPEED, None)

    def readout(self, height: int) -> float:
        """Duration of the readout of `height` rows, at most 1.

        Where the second sensor starts later, exposures are farther apart than one readout.
        """
        reach = self.reach(height)
        return (2 * reach).clamp(max=1.0) if isinstance(reach, Tensor) else min(2 * reach, 1.0)

    def in_readouts(self, readout: float) -> "Scan":
        """The same scan with time counted in readouts, keeping 1/2 at t = 1/2."""
        return Scan(0.5 + (self.first - 0.5) / readout, self.row_time / readout)

    def reach(self, height: int) -> float:
        """Time from t = 1/2 to the farthest of `height` exposures."""
        last = self.first + self.row_time * (height - 1)
        ends = abs(self.first - 0.5), abs(last - 0.5)
        return torch.maximum(*ends) if isinstance(last, Tensor) else max(*ends)
