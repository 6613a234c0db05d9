"""Dual reversed rolling-shutter captures from a high-frame-rate global-shutter video.

A capture's readout lasts some intervals between frames. Every row of either scan collects the
light of its own exposure, interpolated between frames; the true frames are the light at their
instants. The video streams through: in memory are two frames and the captures under way.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from data.capture import CapturePair
from data.simulator.imaging import Imaging
from data.time_maps import scan_time
from models.flow.interpolation import Flow, Interval, make_interval


@dataclass(frozen=True)
class RollingSettings:
    """How captures are laid over a video.

    Attributes:
        span: frames from the first instant of a readout to its last, at least 2.
        step: frames between the beginnings of captures, at least 1.
        times: instants of the true frames, each in [0, 1].
        imaging: how the rolling-shutter images are exposed, without parallax; each capture has
            noise of its own.
    """

    span: int
    step: int
    times: Sequence[float]
    imaging: Imaging

    @property
    def margin(self) -> int:
        """Intervals needed before and after a readout: exposures reach beyond it by half."""
        return math.ceil(self.imaging.exposure / 2 * (self.span - 1))

    @property
    def needed(self) -> int:
        """Frames that one capture takes."""
        return self.span + 2 * self.margin


@dataclass
class VideoStatistics:
    """What a pass over a video finds out.

    Attributes:
        frames: how many there were.
        size: their rows and columns.
        fastest: largest `Interval.speed`, in px between neighbouring frames.
        fastest_at: number of the frame it began at.
    """

    frames: int = 0
    size: tuple[int, int] = (0, 0)
    fastest: float = 0.0
    fastest_at: int = 0


class RolledCapture(NamedTuple):
    """A capture and where it is from.

    Attributes:
        first_frame: number of the video's frame at t = 0.
        capture: on the device of the frames, named by its number.
    """

    first_frame: int
    capture: CapturePair


def roll_captures(
    frames: Iterable[Tensor], settings: RollingSettings, flow: Flow, statistics: VideoStatistics
) -> Iterator[RolledCapture]:
    """Make captures while frames arrive, as many as fit into the video.

    Args:
        frames: (3, H, W) image values in [0, 1], all of one size, of at least two rows.
        settings: how captures are laid over them.
        flow: motion between two frames.
        statistics: counted up on the way.
    """
    under_way: list[_Readout] = []
    made = 0
    for index, pair in enumerate(pairwise(_counted(frames, statistics))):
        if index % settings.step == 0:
            under_way.append(_Readout(index, settings, made))
            made += 1
        if not under_way:
            continue
        interval = make_interval(pair, settings.imaging, flow)
        if interval.speed > statistics.fastest:
            statistics.fastest, statistics.fastest_at = interval.speed, index
        for readout in under_way:
            readout.add(index, interval)
        if under_way[0].last_interval == index:
            readout = under_way.pop(0)
            yield RolledCapture(readout.first_frame, readout.finish())


class _Exposure(NamedTuple):
    """When the rows of an image are exposed.

    Attributes:
        centres: (H,) middle of each row's exposure, in frames of the video.
        length: of each, in intervals between frames; 0 for true frames, which are sharp.
    """

    centres: Tensor
    length: float


class _Readout:
    """A capture that collects its light.

    Attributes:
        first_interval: number of the first interval between frames that it needs.
        first_frame: the frame at t = 0.
        last_interval: number of the last interval that it needs.
    """

    def __init__(self, first_interval: int, settings: RollingSettings, number: int) -> None:
        self.first_interval = first_interval
        self.first_frame = first_interval + settings.margin
        self.last_interval = first_interval + settings.needed - 2
        self._settings = settings
        self._number = number
        self._light = torch.empty(0)
        self._exposures: list[_Exposure] = []

    def add(self, index: int, interval: Interval) -> None:
        """Collect what falls into interval number `index`, which follows the last one added."""
        if not self._exposures:
            self._begin(interval)
        for target, exposure in enumerate(self._exposures):
            for positions, weights in self._share(exposure, index, interval.speed):
                rows = weights.nonzero()[:, 0].tolist()
                if rows:
                    part = slice(rows[0], rows[-1] + 1)
                    light = interval.light(positions[part] - index, part.start)
                    self._light[target, :, part] += weights[part, None].to(light) * light

    def finish(self) -> CapturePair:
        """The capture, once the last interval is added."""
        imaging = self._settings.imaging
        imaging = replace(imaging, noise_seed=imaging.noise_seed + self._number)
        pair = imaging.record(self._light[:2])
        return CapturePair(
            t2b=pair[0],
            b2t=pair[1],
            scan_time=scan_time(pair.shape[2]).to(pair.device),
            name=f"{self._number:08d}",
            truth=imaging.to_values(self._light[2:]),
            truth_times=torch.tensor(self._settings.times, dtype=torch.float32).to(pair.device),
        )

    def _begin(self, interval: Interval) -> None:
        """Lay out the images to sum up: both scans, then the true frames."""
        times, intervals = self._settings.times, self._settings.span - 1
        height = interval.first.shape[1]
        s = torch.arange(height, dtype=torch.float64) / (height - 1)
        length = self._settings.imaging.exposure * intervals
        rows = [(s, length), (1 - s, length)]
        rows += [(torch.full_like(s, float(instant)), 0.0) for instant in times]
        self._exposures = [
            _Exposure(self.first_frame + intervals * instants, length) for instants, length in rows
        ]
        self._light = interval.first.new_zeros((len(rows), *interval.first.shape))

    def _share(
        self, exposure: _Exposure, index: int, speed: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What an image takes of interval number `index`: positions (H,) of its rows, and weights.

        Of an exposure it takes as many instants as pixels pass meanwhile.
        """
        centres, whole = exposure
        if not whole:
            own = centres.floor().clamp(self.first_interval, self.last_interval)
            yield centres, (own == index).double()
            return
        begin = (centres - whole / 2).clamp(min=index)
        length = ((centres + whole / 2).clamp(max=index + 1) - begin).clamp(min=0)
        count = max(1, math.ceil(min(whole, 1) * speed))
        for number in range(count):
            yield begin + (number + 0.5) / count * length, length / (whole * count)


def _counted(frames: Iterable[Tensor], statistics: VideoStatistics) -> Iterator[Tensor]:
    for frame in frames:
        statistics.frames += 1
        statistics.size = (frame.shape[1], frame.shape[2])
        yield frame
