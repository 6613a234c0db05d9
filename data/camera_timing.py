"""When two real sensors expose their rows, and in which direction they are read.

All timing ends in one map (`data.time_maps`): with time in frame intervals, starting half an
interval before the middle of both exposures, the same row of the two images is exposed at s and at
1 - s, whatever the sensors' readout time, start and exposure.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from utils.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["t2b", "b2t", "l2r", "r2l"]
"""Readout direction of a sensor: top to bottom, bottom to top, left to right, right to left."""

Layout = Literal["lr", "tb"]
"""Where the first and the second view stand in one picture: left and right, or top and bottom."""

OPPOSITE: dict[Direction, Direction] = {"t2b": "b2t", "b2t": "t2b", "l2r": "r2l", "r2l": "l2r"}

_FORWARD = ("t2b", "l2r")
_MIN_READOUT_RATIO = 1e-3


@dataclass(frozen=True)
class CameraTiming:
    """Timing of the two sensors of a rig; by default that of the paper.

    Instants t count frame intervals: 0 and 1 are one interval apart, the middle of both readouts is
    1/2, and 1 is the 0 of the next pair of a video. Frames are at mid-exposure of the rows.

    Attributes:
        readout_ratio: readout time / frame interval, in [0.001, 1]. Instants before the first and
            after the last row are extrapolated.
        start_offset: readouts by which the second sensor starts after the first, in (-1, 1).
        exposure: exposure time of a row of the first and of the second sensor, in readouts; a row
            is read at the end of its exposure. Only the difference matters: the sensor with the
            longer exposure sees earlier instants. Blur is not removed.
        directions: readout directions of the first and the second sensor, opposite to each other.
    """

    readout_ratio: float = 1.0
    start_offset: float = 0.0
    exposure: tuple[float, float] = (0.0, 0.0)
    directions: tuple[Direction, Direction] = ("t2b", "b2t")

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a value is out of range, or the directions are not opposite.
        """
        if not _MIN_READOUT_RATIO <= self.readout_ratio <= 1:
            raise InputError(
                f"readout ratio {self.readout_ratio:g}: expected readout time / frame interval, "
                f"from {_MIN_READOUT_RATIO:g}, below which there is nothing to correct, to 1"
            )
        if not -1 < self.start_offset < 1:
            raise InputError(
                f"start offset {self.start_offset:g}: expected readouts between -1 and 1, so that "
                "the exposures overlap (--offset shifts by whole frames)"
            )
        longest = 1 / self.readout_ratio
        if not all(0 <= span <= longest for span in self.exposure):
            raise InputError(
                f"exposure {self.exposure[0]:g},{self.exposure[1]:g}: expected readouts from 0 to "
                f"{longest:g}, one frame interval"
            )
        first, second = self.directions
        if OPPOSITE[first] != second:
            raise InputError(
                f"directions {first},{second}: expected opposite ones, {first},{OPPOSITE[first]}; "
                "views read in the same direction cannot be corrected as a pair"
            )

    @property
    def is_transposed(self) -> bool:
        """Whether columns are read, so that images are transposed for correction."""
        return self.directions[0] in ("l2r", "r2l")

    @property
    def oriented_directions(self) -> tuple[Direction, Direction]:
        """Readout directions, after `restore`, of what `orient` returns as t2b and b2t."""
        return ("l2r", "r2l") if self.is_transposed else ("t2b", "b2t")

    def scan_time(self, lines: int) -> "Tensor":
        """(lines,) exposure time of the forward view's lines; the other's are 1 minus these.

        Raises:
            InputError: there are fewer than 2 lines.
        """
        from data.time_maps import scan_time  # here: options read timing without PyTorch

        if lines < 2:
            raise InputError(f"a rolling shutter needs at least 2 rows, got {lines}")
        ratio = self.readout_ratio
        delay = self.start_offset - (self.exposure[1] - self.exposure[0]) / 2
        if self.directions[0] not in _FORWARD:
            delay = -delay
        return (1 - ratio - delay * ratio) / 2 + ratio * scan_time(lines)

    def orient(self, first: "Tensor", second: "Tensor") -> "tuple[Tensor, Tensor]":
        """Turn images (..., H, W) of the two sensors into a t2b and a b2t image."""
        if self.directions[0] not in _FORWARD:
            first, second = second, first
        return self.restore(first), self.restore(second)

    def restore(self, images: "Tensor") -> "Tensor":
        """Turn oriented images (..., H, W), or frames made of them, back to the sensor's layout."""
        return images.transpose(-1, -2).contiguous() if self.is_transposed else images
