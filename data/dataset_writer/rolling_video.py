"""Dual reversed rolling-shutter captures from a high-frame-rate global-shutter video.

A readout spans several frame intervals. Each row of either scan integrates light over its own
exposure, interpolated between frames; true frames are sharp. The video is streamed: memory holds
two frames and the unfinished captures.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from data.capture import CapturePair
from data.simulator.imaging import Imaging
from data.time_maps import scan_time


class FrameInterval(Protocol):
    """Light between two neighbouring frames (`models.flow.interpolation.Interval`)."""

    @property
    def first(self) -> Tensor:
        """(3, H, W) light of the earlier frame."""

    @property
    def speed(self) -> float:
        """Motion between the frames in px."""

    def light(self, positions: Tensor, top: int = 0) -> Tensor:
        """Light (3, rows, W) of rows from `top` on at `positions` (rows,) in [0, 1]."""


IntervalFactory = Callable[[tuple[Tensor, Tensor]], FrameInterval]
"""Makes the interval between two frames (3, H, W) of image values."""


@dataclass(frozen=True)
class RollingSettings:
    """Timing and imaging of captures made from a video."""

    span: int  # frames from the first instant of a readout to its last, at least 2
    step: int  # frames between the beginnings of captures, at least 1
    times: Sequence[float]  # instants of the true frames, each in [0, 1]
    imaging: Imaging  # without parallax; noise differs between captures

    @property
    def margin(self) -> int:
        """Intervals needed before and after a readout, for half an exposure."""
        return math.ceil(self.imaging.exposure / 2 * (self.span - 1))

    @property
    def frames_needed(self) -> int:
        """Frames of the video that one capture takes."""
        return self.span + 2 * self.margin


@dataclass
class VideoStatistics:
    """Statistics of a video, updated while it is streamed."""

    frames: int = 0
    size: tuple[int, int] = (0, 0)  # rows and columns
    max_speed: float = 0.0  # largest `FrameInterval.speed`
    max_speed_at: int = 0  # index of the first frame of that interval


class RolledCapture(NamedTuple):
    """A capture, named by its index, and the index of the video's frame at its t = 0."""

    first_frame: int
    capture: CapturePair


def roll_captures(
    frames: Iterable[Tensor],
    settings: RollingSettings,
    make_interval: IntervalFactory,
    statistics: VideoStatistics,
) -> Iterator[RolledCapture]:
    """Yield captures while frames arrive, as many as fit into the video.

    Args:
        frames: (3, H, W) image values in [0, 1], all of one size, of at least two rows.
        settings: of the captures.
        make_interval: interpolates between two frames.
        statistics: updated on the way.
    """
    unfinished: list[_Readout] = []
    started = 0
    for index, pair in enumerate(pairwise(_counted(frames, statistics))):
        starts = index % settings.step == 0
        if not (starts or unfinished):
            continue
        interval = make_interval(pair)
        if interval.speed > statistics.max_speed:
            statistics.max_speed, statistics.max_speed_at = interval.speed, index
        if starts:
            unfinished.append(_Readout(index, settings, started, interval.first))
            started += 1
        for readout in unfinished:
            readout.add(index, interval)
        if unfinished[0].last_interval == index:
            readout = unfinished.pop(0)
            yield RolledCapture(readout.first_frame, readout.finish())


class _Readout:
    """A capture while its light is summed up, from `first_interval` to `last_interval`."""

    def __init__(
        self, first_interval: int, settings: RollingSettings, number: int, like: Tensor
    ) -> None:
        """Set the exposures (centres (H,), length) in frame intervals; 0 long for true frames."""
        self.first_interval = first_interval
        self.first_frame = first_interval + settings.margin  # at t = 0
        self.last_interval = first_interval + settings.frames_needed - 2
        self._settings = settings
        self._number = number
        intervals, height = settings.span - 1, like.shape[1]
        s = torch.arange(height, dtype=torch.float64) / (height - 1)
        length = settings.imaging.exposure * intervals
        rows = [(s, length), (1 - s, length)]
        rows += [(torch.full_like(s, float(instant)), 0.0) for instant in settings.times]
        self._exposures = [
            (self.first_frame + intervals * instants, length) for instants, length in rows
        ]
        self._light = like.new_zeros((len(rows), *like.shape))

    def add(self, index: int, interval: FrameInterval) -> None:
        """Add the light of interval `index`, which follows the last one added."""
        for target, (centres, length) in enumerate(self._exposures):
            for positions, weights in self._sample_exposure(centres, length, index, interval.speed):
                rows = weights.nonzero()[:, 0].tolist()
                if rows:
                    part = slice(rows[0], rows[-1] + 1)
                    light = interval.light(positions[part] - index, part.start)
                    self._light[target, :, part] += weights[part, None].to(light) * light

    def finish(self) -> CapturePair:
        """Return the capture after the last interval was added."""
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

    def _sample_exposure(
        self, centres: Tensor, whole: float, index: int, speed: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield instants (H,) of an exposure within interval `index`, and their weights (H,).

        There is one instant per pixel of motion.
        """
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
