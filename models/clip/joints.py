"""The joint of two consecutive pairs: a dual reversed capture of its own.

Time counts frame intervals; t = 1 of a pair is t = 0 of the next. A pair exposes the same row of
its views at s and 1 - s, the next pair at 1 + s and 2 - s. Near the joint, the b2t view before it
and the t2b view after it expose a row at 1 - s and 1 + s, the t2b view before it and the b2t view
after it at s and 2 - s. Each two are symmetric about the joint, like the views of a pair about its
mid-time: any method corrects them as a pair. The former are closer where s < 1/2, the latter where
s > 1/2, so that the joint's frame is interpolated over at most one readout, where frames at the end
of a single pair are extrapolated.

Times of a joint are such that 1/2 is the joint: t of the pair before is t - 1/2 there, t of the
pair after is t + 1/2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.classical.field import CELL
from models.measurement.arrays import Array, same_kind
from models.measurement.scan import Scan
from models.parts.checks import check_scan

_SEAM = 0.05  # of the height, on either side of the row where both parts are as close
_RAMP = 0.03  # frame intervals, on either side of equal closeness, of the blend with a pair's frame


class RowWeights(NamedTuple):
    """The rows that count, one after the other, and their weights (n, 1)."""

    rows: slice
    weight: Array

    @classmethod
    def of(cls, weights: Array) -> "RowWeights":
        """Leave out weights (N,) that are 0 before the first other and after the last one.

        Of nothing else the first is kept.
        """
        used = np.flatnonzero(weights)
        rows = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(1)
        return cls(rows, np.asarray(weights[rows, None], np.float32))


class JointPart(NamedTuple):
    """Two views on either side of a joint, and the rows in which they are the nearest.

    Attributes:
        views: numbers of the view before and of the view after: 0 is t2b, 1 is b2t.
        scan_time: (H,) exposure time of the former; that of the latter is 1 minus this.
        share: (H,) weight of the part in each row; those of both parts add to 1.
        scan: of the view before.
        pixels: the rows of pixels with their shares.
        cells: the same of cells, at their centres.
    """

    views: tuple[int, int]
    scan_time: Tensor
    share: Tensor
    scan: Scan
    pixels: RowWeights
    cells: RowWeights

    @classmethod
    def of(cls, views: tuple[int, int], scan_time: Tensor, share: Tensor) -> "JointPart":
        """A part with all that follows from its views, times and shares."""
        height, shares = len(share), share.numpy()
        centres = np.arange(-(-height // CELL)) * CELL + (CELL - 1) / 2
        return cls(
            *(views, scan_time, share, Scan.of(scan_time, height)),
            RowWeights.of(shares),
            RowWeights.of(np.interp(centres, np.arange(height), shares).astype(np.float32)),
        )

    def like(self, values: Any) -> "JointPart":
        """The same with the weights in the library and on the device of `values`."""
        pixels, cells = (
            rows._replace(weight=same_kind(rows.weight, values))
            for rows in (self.pixels, self.cells)
        )
        return self._replace(pixels=pixels, cells=cells)

    def pair(self, before: Tensor, after: Tensor) -> Tensor:
        """The part's views (2, ...) of two pairs (2, ...)."""
        return torch.stack((before[self.views[0]], after[self.views[1]]))


def parts_of(scan_time: Tensor) -> Sequence[JointPart]:
    """Both parts of a joint: b2t before and t2b after it, then t2b before and b2t after it.

    Args:
        scan_time: (H,) exposure times of the rows of t2b, in frame intervals.

    Raises:
        ValueError: the times are not as stated.
    """
    height = len(scan_time)
    check_scan(scan_time, height)
    rows = torch.arange(height, dtype=scan_time.dtype)
    # Where rows are exposed in the middle of the interval, both parts are as close to the joint.
    even = int((scan_time - 0.5).abs().argmin())
    late = ((rows - even) / (2 * max(_SEAM * height, 1)) + 0.5).clamp(0, 1)
    if scan_time[0] > scan_time[-1]:
        late = 1 - late  # the bottom row is read first
    return (
        JointPart.of((1, 0), 0.5 - scan_time, 1 - late),
        JointPart.of((0, 1), scan_time - 0.5, late),
    )


def joint_share(scan_time: Tensor, t: float) -> Tensor:
    """Weight (H,) of the joint's frame in each row of the frame at `t` of a pair.

    A row is taken from the capture, pair or joint, between whose exposures `t` lies, with a soft
    seam where `t` is an exposure of both. Mid-time is the pair's alone, t = 0 and 1 the joint's.

    Args:
        scan_time: (H,) exposure times of the rows of t2b, in frame intervals.
        t: instant in [0, 1].
    """
    if t == 0.5:
        return torch.zeros_like(scan_time)
    if t in (0, 1):
        return torch.ones_like(scan_time)
    last_exposure = torch.maximum(scan_time, 1 - scan_time)
    return ((max(t, 1 - t) - last_exposure) / (2 * _RAMP) + 0.5).clamp(0, 1)
