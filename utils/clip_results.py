"""A corrected clip: one video and, on request, its frames.

Every few pairs become a part of the video, kept in a hidden folder until all are there and are
joined. So an interrupted run goes on after the last finished part.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from data.capture import CapturePair
from data.capture_streams import CaptureStream
from models.correction import Method
from utils.capture_results import DEFAULT_FPS, VIDEO
from utils.distributed import Processes
from utils.errors import InputError
from utils.image_io import prepare_output_folder, to_uint8, write_image, write_video_part
from utils.metrics import Image
from utils.unfinished_clip import UnfinishedClip, describe_sources
from utils.video_joining import Soundtrack, join_video_parts

FRAMES = "frames"
PAIRS_PER_PART = 8
_SAME_SPEED = 1e-3  # relative difference of speeds at which sound goes with pictures


@dataclass(frozen=True)
class ClipPlan:
    """What to make of a clip.

    Attributes:
        stream: its pairs.
        times: instants of each pair's frames in [0, 1], in order of time, at least one.
        fps: frames per second of the video; the speed of the stream by default, if that is known.
        save_frames: whether to keep the frames as PNG, too.
    """

    stream: CaptureStream
    times: tuple[float, ...]
    fps: float | None = None
    save_frames: bool = False

    def __post_init__(self) -> None:
        """Check the order of the instants.

        Raises:
            InputError: they are not in order of time.
        """
        if sorted(set(self.times)) != list(self.times):
            given = ",".join(f"{instant:g}" for instant in self.times)
            raise InputError(f"times {given}: expected instants in order of time for a clip")

    @property
    def shares_instants(self) -> bool:
        """Whether t = 1 of a pair and t = 0 of the next, the same instant, are both asked for."""
        return self.times[0] == 0 and self.times[-1] == 1

    @property
    def frames_per_pair(self) -> int:
        """Frames from the beginning of a pair to that of the next."""
        return len(self.times) - self.shares_instants

    @property
    def video_fps(self) -> float:
        """Frames per second of the video."""
        speed = self.stream.fps and self.stream.fps * self.frames_per_pair
        return self.fps or speed or DEFAULT_FPS

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
        """The sound of the first recording, if there is any and the clip keeps its speed."""
        audio, rate = self.stream.audio, self.stream.fps
        if audio is None or rate is None:
            return None
        if abs(self.video_fps / (self.frames_per_pair * rate) - 1) > _SAME_SPEED:
            return None
        return Soundtrack(audio, self.stream.count / rate)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before, a line each."""
        if self.stream.audio is None or self.soundtrack is not None:
            return self.stream.notes
        return (
            *self.stream.notes,
            f"{self.stream.audio.path}: its sound is left out, because at {self.video_fps:.5g} "
            "frames per second the video does not keep its speed",
        )

    def instants(self, pair: int) -> Sequence[float]:
        """Instants of the frames to make of a pair.

        A shared instant is made from the later pair alone: neither knows it better, as an end of
        its readout, and so the earlier need not make it.
        """
        is_last = pair == self.stream.count - 1
        return self.times[:-1] if self.shares_instants and not is_last else self.times


def describe_clip(plan: ClipPlan) -> dict[str, Any]:
    """Everything but the method that the parts of a clip's video depend on."""
    return {
        "inputs": describe_sources(plan.stream.sources),
        "pairs": plan.stream.count,
        "arrangement": plan.stream.arrangement,
        "timing": asdict(plan.stream.timing),
        "times": plan.times,
        "fps": plan.video_fps,
        "save_frames": plan.save_frames,
        "pairs_per_part": PAIRS_PER_PART,
    }


def clip_frame_name(pair: int, instant: float) -> str:
    """File name of a clip's frame."""
    return f"{pair:06d}_t{instant:.3f}.png"


def write_clip(
    plan: ClipPlan, method: Method, unfinished: UnfinishedClip, processes: Processes
) -> None:
    """Make what is missing of a clip, shared among the processes, and put the results together.

    The main process must have opened `unfinished`; the others wait for it.

    Raises:
        InputError: a pair cannot be read or corrected, or the results cannot be written; finished
            parts are kept.
    """
    try:
        _make_parts(plan, method, unfinished, processes)
        processes.gather(None)  # once all are ready
        if processes.is_main:
            _put_together(plan, unfinished)
    except InputError as error:
        raise InputError(f"{error}{_say_kept(plan, unfinished)}") from error
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{plan.stream.name}: stopped{_say_kept(plan, unfinished)}\n")
        raise


def _make_parts(
    plan: ClipPlan, method: Method, unfinished: UnfinishedClip, processes: Processes
) -> None:
    """Make this process's share of the missing parts of the video."""
    missing = processes.from_main(unfinished.missing)[processes.rank :: processes.world_size]
    if not missing:
        return
    if plan.save_frames:
        prepare_output_folder(unfinished.folder / FRAMES)
    begins = [part * PAIRS_PER_PART for part in missing]
    pairs_left = sum(min(PAIRS_PER_PART, plan.stream.count - begin) for begin in begins)
    bar = tqdm(
        total=plan.stream.count,
        initial=plan.stream.count - pairs_left,
        desc=plan.stream.name,
        unit="pair",
        disable=not processes.is_main,
    )
    with bar, closing(plan.stream.pairs(begins[0])) as pairs:
        numbered = enumerate(pairs, start=begins[0])
        passed = begins[0]
        for begin, part in zip(begins, missing, strict=True):
            chosen = islice(numbered, begin - passed, begin - passed + PAIRS_PER_PART)
            passed = begin + PAIRS_PER_PART
            frames = _make_frames(plan, method, _counted(chosen, bar), unfinished.folder)
            write_video_part(unfinished.parts[part], frames, plan.video_fps)


def _put_together(plan: ClipPlan, unfinished: UnfinishedClip) -> None:
    """Join the parts, move the results to where they belong and remove the hidden folder."""
    folder = unfinished.folder.parent
    made, video = unfinished.folder / FRAMES, unfinished.folder / VIDEO
    join_video_parts(unfinished.parts, video, plan.video_fps, plan.soundtrack)
    try:
        os.replace(video, folder / VIDEO)
        if made.exists() or not plan.save_frames:
            shutil.rmtree(folder / FRAMES, ignore_errors=True)
        if made.exists():
            made.rename(folder / FRAMES)
    except OSError as error:
        raise InputError(f"{folder}: cannot replace earlier results: {error.strerror}") from error
    shutil.rmtree(unfinished.folder, ignore_errors=True)


def _make_frames(
    plan: ClipPlan, method: Method, pairs: Iterable[tuple[int, CapturePair]], folder: Path
) -> Iterator[Image]:
    """Frames of some pairs in order of time; saves them below `folder` if the plan says so."""
    for number, capture in pairs:
        times = plan.instants(number)
        made = method(capture.pair, times, scan_time=capture.scan_time)
        for instant, frame in zip(times, plan.stream.timing.restore(made), strict=True):
            image = to_uint8(frame)
            if plan.save_frames:
                write_image(folder / FRAMES / clip_frame_name(number, instant), image)
            yield image


def _counted(
    pairs: Iterable[tuple[int, CapturePair]], bar: "tqdm[NoReturn]"
) -> Iterator[tuple[int, CapturePair]]:
    for pair in pairs:
        yield pair
        bar.update()


def _say_kept(plan: ClipPlan, unfinished: UnfinishedClip) -> str:
    """What an error leaves; nothing where no part is finished."""
    done = unfinished.count - len(unfinished.missing)
    pairs = min(done * PAIRS_PER_PART, plan.stream.count)
    kept = f"{pairs} of {plan.stream.count} pairs are kept in {unfinished.folder}"
    return f"; {kept}: the same command goes on from there" if done else ""
