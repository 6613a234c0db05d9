"""When the rows of a view are exposed, as NumPy code needs it: a line over the rows."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from data import time_maps

Array = npt.NDArray[np.float32]


class Scan(NamedTuple):
    """Exposure instants of a view's rows.

    Attributes:
        first: instant of row 0.
        pace: step to the next row; negative where the bottom row comes first.
    """

    first: float
    pace: float

    @classmethod
    def of(cls, scan_time: Tensor | None, height: int) -> "Scan":
        """The scan of the t2b view, by its first and last row.

        Args:
            scan_time: (H,) exposure time of each row, evenly spaced; a readout of exactly these by
                default.
            height: H.
        """
        scan = time_maps.scan_time(height) if scan_time is None else scan_time
        # From end to end: times are rounded, and an error of one step would grow from row to row.
        first, last = float(scan[0]), float(scan[-1])
        return cls(first, (last - first) / (len(scan) - 1))

    @property
    def reversed(self) -> "Scan":
        """That of the other view of a pair: a row exposed at s here is exposed at 1 - s there."""
        return Scan(1 - self.first, -self.pace)

    def at(self, row: Array) -> Array:
        """Exposure instants of rows, or of places between them; any shape."""
        return np.float32(self.first) + np.float32(self.pace) * row

    def readout(self, height: int) -> float:
        """Time from the first of `height` exposures to the last, at most 1.

        A second sensor that starts later draws exposures apart; their readout is no longer.
        """
        return min(2 * self.reach(height), 1.0)

    def in_readouts(self, readout: float) -> "Scan":
        """The same scan by a clock that counts readouts, and shows 1/2 at t = 1/2."""
        return Scan(0.5 + (self.first - 0.5) / readout, self.pace / readout)

    def reach(self, height: int) -> float:
        """Time from t = 1/2 to the first or last of `height` exposures, whichever is longer."""
        last = self.first + self.pace * (height - 1)
        return max(abs(self.first - 0.5), abs(last - 0.5))
