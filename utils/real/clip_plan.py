"""Frames, speed and sound of the video that a clip becomes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from data.files.videos import Soundtrack
from data.video.streams import CaptureStream
from utils.errors import InputError
from utils.options.real import DEFAULT_FPS, RealOptions
from utils.real.capture_check import Preparation
from utils.real.clip_parts import describe_sources

PAIRS_PER_PART = 8
_SPEED_TOLERANCE = 1e-3  # relative; sound needs the speed of the source


@dataclass(frozen=True)
class ClipPlan:
    """How to correct a clip.

    Attributes:
        stream: its pairs.
        options: with `instants` in order of time (`settle_video`).
        preparation: of each pair.
        warnings: of the check.
    """

    stream: CaptureStream
    options: RealOptions
    preparation: Preparation = Preparation()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the order of the instants.

        Raises:
            InputError: they are not in order of time.
        """
        if sorted(set(self.times)) != list(self.times):
            given = ",".join(f"{instant:g}" for instant in self.times)
            raise InputError(f"times {given}: expected instants in order of time for a clip")

    @property
    def times(self) -> tuple[float, ...]:
        """Instants of each pair's frames."""
        return self.options.instants

    @property
    def shares_instants(self) -> bool:
        """Whether both t = 1 of a pair and t = 0 of the next, the same instant, are wanted."""
        return self.times[0] == 0 and self.times[-1] == 1

    @property
    def frames_per_pair(self) -> int:
        """Frames from the start of a pair to the start of the next."""
        return len(self.times) - self.shares_instants

    @property
    def video_fps(self) -> float:
        """Frames per second of the video."""
        speed = self.stream.fps and self.stream.fps * self.frames_per_pair
        return self.options.fps or speed or DEFAULT_FPS

    @property
    def speed(self) -> float | None:
        """Speed of the video relative to its source; None if that states no rate."""
        if self.stream.fps is None:
            return None
        return self.video_fps / (self.frames_per_pair * self.stream.fps)

    @property
    def frame_count(self) -> int:
        """Frames of the whole clip."""
        return self.stream.count * self.frames_per_pair + self.shares_instants

    @property
    def part_count(self) -> int:
        """Parts of the video."""
        return -(-self.stream.count // PAIRS_PER_PART)

    @property
    def soundtrack(self) -> Soundtrack | None:
        """The sound of the first recording, if it has any and the clip keeps its speed."""
        audio, rate = self.stream.audio, self.stream.fps
        if audio is None or rate is None or not self._keeps_speed:
            return None
        return Soundtrack(audio, self.stream.count / rate)

    @property
    def notes(self) -> tuple[str, ...]:
        """Messages for the user before the correction, a line each."""
        if self.stream.audio is None or self.soundtrack is not None:
            return self.stream.notes
        return (
            *self.stream.notes,
            f"{self.stream.audio.path}: its sound is left out, because at {self.video_fps:.5g} "
            "frames per second the video does not keep its speed",
        )

    @property
    def summary(self) -> str:
        """Frames, rate, duration and speed of the video, for the user."""
        frames, pairs, fps = self.frame_count, self.stream.count, self.video_fps
        speed = "at the speed of its source"
        if self.speed is None:
            speed = "at a speed that is not known, because images state no rate (--fps)"
        elif not self._keeps_speed:
            speed = f"at {self.speed:.4g} times the speed of its source"
        return (
            f"{frames} frame{'s'[: frames > 1]} of {pairs} pair{'s'[: pairs > 1]} at {fps:.5g} per "
            f"second, {frames / fps:.4g} s {speed}"
        )

    @property
    def _keeps_speed(self) -> bool:
        return self.speed is not None and abs(self.speed - 1) <= _SPEED_TOLERANCE

    def pairs_of_part(self, part: int) -> range:
        """Numbers of the pairs that a part of the video is made of."""
        begin = part * PAIRS_PER_PART
        return range(begin, min(begin + PAIRS_PER_PART, self.stream.count))

    def without_sources(self) -> "ClipPlan":
        """The plan without what is known of its recordings; it still reads their pairs."""
        return replace(self, stream=replace(self.stream, sources=()))

    def instants(self, pair: int) -> Sequence[float]:
        """Instants of the frames to make of a pair.

        A shared instant is made from the later pair only: to both it is an end of the readout.
        """
        is_last = pair == self.stream.count - 1
        return self.times[:-1] if self.shares_instants and not is_last else self.times


def describe_clip(plan: ClipPlan) -> dict[str, Any]:
    """Everything that the parts of a clip's video depend on, except the method."""
    return {
        "inputs": describe_sources(plan.stream.sources),
        "pairs": plan.stream.count,
        "arrangement": plan.stream.arrangement,
        "timing": asdict(plan.stream.timing),
        "times": plan.times,
        "fps": plan.video_fps,
        "save_frames": plan.options.save_frames,
        "frame_bits": plan.options.frame_bits,
        "preparation": plan.preparation.describe(),
        "pairs_per_part": PAIRS_PER_PART,
    }
