"""When two real sensors expose their rows, and which way they are read.

All timing ends in one map (`data.time_maps`): with time counted in frame intervals from half an
interval before the middle of both exposures, the same row of the two images is exposed at s and at
1 - s, whatever the sensors' readout time, start and exposure.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from data.time_maps import scan_time
from utils.errors import InputError

Direction = Literal["t2b", "b2t", "l2r", "r2l"]
"""How a sensor is read: top to bottom, bottom to top, left to right, right to left."""

_OPPOSITE: dict[Direction, Direction] = {"t2b": "b2t", "b2t": "t2b", "l2r": "r2l", "r2l": "l2r"}
_FORWARD = ("t2b", "l2r")
_SHORTEST = 1e-3  # readout ratio


@dataclass(frozen=True)
class CameraTiming:
    """Timing of the two sensors of a rig; by default that of the paper.

    Instants t count frame intervals: 0 and 1 are one interval apart, the middle of both readouts is
    1/2, and 1 is the 0 of the next pair of a video. Frames are at mid-exposure of the rows.

    Attributes:
        readout_ratio: readout time / frame interval, in [0.001, 1]. Instants before the first and
            after the last row are extrapolated.
        start_offset: readouts by which the second sensor starts after the first, in (-1, 1).
        exposure: time during which a row of the first and of the second sensor collects light, in
            readouts; a row is read at its end. Only their difference moves anything: the sensor
            that exposes longer looks further back. Blur is not removed.
        directions: how the first and the second sensor are read.
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
        if not _SHORTEST <= self.readout_ratio <= 1:
            raise InputError(
                f"readout ratio {self.readout_ratio:g}: expected readout time / frame interval, "
                f"from {_SHORTEST:g}, below which there is nothing to correct, to 1"
            )
        if not -1 < self.start_offset < 1:
            raise InputError(
                f"start offset {self.start_offset:g}: expected readouts between -1 and 1; beyond, "
                "the sensors hardly see the same moment (--offset shifts by whole frames)"
            )
        longest = 1 / self.readout_ratio
        if not all(0 <= span <= longest for span in self.exposure):
            raise InputError(
                f"exposure {self.exposure[0]:g},{self.exposure[1]:g}: expected readouts from 0 to "
                f"{longest:g}, one frame interval"
            )
        first, second = self.directions
        if _OPPOSITE[first] != second:
            raise InputError(
                f"directions {first},{second}: expected opposite ones, {first},{_OPPOSITE[first]}; "
                "views read the same way cannot be corrected as a pair"
            )

    @property
    def is_transposed(self) -> bool:
        """Whether columns are read, so that images are transposed for correction."""
        return self.directions[0] in ("l2r", "r2l")

    @property
    def oriented_directions(self) -> tuple[Direction, Direction]:
        """How the t2b and the b2t image of `orient` are read where they are restored."""
        return ("l2r", "r2l") if self.is_transposed else ("t2b", "b2t")

    def scan_time(self, lines: int) -> Tensor:
        """(lines,) exposure time of the forward view's lines; the other's are 1 minus these.

        Raises:
            InputError: there are fewer than 2 lines.
        """
        if lines < 2:
            raise InputError(f"a rolling shutter needs at least 2 rows, got {lines}")
        ratio = self.readout_ratio
        delay = self.start_offset - (self.exposure[1] - self.exposure[0]) / 2
        if self.directions[0] not in _FORWARD:
            delay = -delay
        return (1 - ratio - delay * ratio) / 2 + ratio * scan_time(lines)

    def orient(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Images (..., H, W) of the two sensors as a t2b and a b2t image."""
        if self.directions[0] not in _FORWARD:
            first, second = second, first
        return self.restore(first), self.restore(second)

    def restore(self, images: Tensor) -> Tensor:
        """Oriented images (..., H, W), or frames made of them, as the sensors stand."""
        return images.transpose(-1, -2).contiguous() if self.is_transposed else images
