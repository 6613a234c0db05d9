"""Correct the captures of a benchmark and score every frame against its truth."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.images import Image, to_uint8
from data.layouts import CaptureFolder, ends_of_sequences
from models.clip.correction import ClipPair, correct_clip
from utils.correction import memory_of
from utils.evaluation.methods import ClipMethod, Method, make_frames
from utils.evaluation.plan import EvaluationPlan, share_of
from utils.evaluation.saving import ReadyFrames, save_frames
from utils.evaluation.scores import BandScore, FrameScore, open_metrics, score_frame
from utils.evaluation.scoring import BackgroundScores
from utils.evaluation.smoothness import StepErrors
from utils.metrics import PROTOCOLS, Protocol, Rounding, expect_scorable
from utils.options.evaluation import JobCount
from utils.system.console import progress_bar
from utils.system.distributed import Processes
from utils.system.workers import Advance, count_jobs, run_in_workers, split


def evaluate(
    captures: CaptureFolder,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
    processes: Processes,
    *,
    jobs: JobCount = 1,
) -> list[FrameScore]:
    """Make or read the frames of all captures, score them, and save those that the plan names.

    Each process takes neighbouring captures, shares them among `jobs` worker processes, and makes
    the frames of the one before them to compare with; scores are of the 8-bit images.

    Returns:
        All scores, the same in every process, in the order of captures, methods and frames.

    Raises:
        InputError: an image cannot be read, is too small to score, or cannot be saved.
    """
    share = share_of(len(captures), processes)
    count = _count_jobs(jobs, captures, methods, plan, processes)
    score = ShareScorer(captures, methods, plan, processes.device)
    bar = progress_bar(total=len(share), shown=processes.is_main, desc="captures", unit="pair")
    try:
        with bar:
            if count == 1:
                scores = score(share, bar.update)
            else:
                made = run_in_workers(score, split(share, count), bar.update)
                scores = [score for part in made for score in part]
    except KeyboardInterrupt as stop:
        saved = "saved frames are kept, scores are not" if plan.folder else "nothing is kept"
        raise KeyboardInterrupt(f"{saved}; the same command begins again") from stop
    everything = [score for part in processes.gather(scores) for score in part]
    order = {name: index for index, name in enumerate(captures.names)}
    return sorted(everything, key=lambda score: order[score.pair])


@dataclass(frozen=True)
class ShareScorer:
    """Makes, scores and saves the frames of some captures, in this process or in another one."""

    captures: CaptureFolder
    methods: Mapping[str, Method]
    plan: EvaluationPlan
    device: torch.device

    def __call__(self, share: Sequence[int], advance: Advance) -> list[FrameScore]:
        """Scores of neighbouring captures, in order.

        Args:
            share: their numbers.
            advance: called for each capture that is done.

        Raises:
            InputError: an image cannot be read, is too small to score, or cannot be saved.
        """
        captures, plan = self.captures, self.plan
        metrics = open_metrics(plan.optional_metrics, self.device)
        ends, tested = ends_of_sequences(captures), next(iter(self.methods))
        steps = StepErrors(plan.followers)
        numbers = plan.truth_frames or range(len(plan.times))
        # A clip's pairs are needed one ahead, by each method, and then here.
        load = lru_cache(2)(partial(plan.load, captures))
        clips = {
            label: ClipFrames(method, captures, plan, load)
            for label, method in self.methods.items()
            if isinstance(method, ClipMethod)
        }
        with BackgroundScores(metrics) as scoring:
            for index in _with_predecessor(share, captures, plan):
                capture, is_mine = load(index), index in share
                if plan.protocols and is_mine:
                    scoring.start_capture(capture, plan.times)
                for method, source in self.methods.items():
                    frames = (
                        clips[method].of(index)
                        if method in clips
                        else make_frames(source, capture, plan.times).frames
                    )
                    for name in plan.protocols:
                        border, drops_ends = PROTOCOLS[name].border, PROTOCOLS[name].drops_ends
                        # Before saving: images that are too small leave no frames behind.
                        expect_scorable(frames.shape[-2:], border)
                        images, truth = _images(frames, capture, PROTOCOLS[name])
                        key = name, method
                        changes = steps.add(key, capture.name, images, truth, border=border)
                        if not is_mine or (drops_ends and capture.name in ends):
                            continue
                        for number, time, image, true, change in zip(
                            numbers, plan.times, images, truth, changes, strict=True
                        ):
                            place = FrameScore(*key, capture.name, number, time, {}, change=change)
                            scoring.add(place, image, true, border)
                    if is_mine:
                        _save(method, capture.name, frames, plan, is_first=method == tested)
                if is_mine:
                    advance()
            return scoring.finish()


def _count_jobs(
    asked: JobCount,
    captures: CaptureFolder,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
    processes: Processes,
) -> int:
    """Number of worker processes for this process's share."""
    share = share_of(len(captures), processes)
    if asked == 1 or len(share) < 2:
        return 1
    size = captures.load(share[0], ()).t2b.shape[-2:]
    corrections = [
        method.correct if isinstance(method, ClipMethod) else method
        for method in methods.values()
        if not isinstance(method, ReadyFrames)
    ]
    pixels = size[0] * size[1]
    ahead = any(isinstance(method, ClipMethod) for method in methods.values())
    # Frames and their truth, and with neighbours that of the next capture.
    shown = (2 + ahead) * 4 * 3 * pixels * len(plan.times)
    needed = [memory_of(method, (size[0], size[1]), len(plan.times)) for method in corrections]
    return count_jobs(
        asked,
        processes,
        pieces=len(share),
        pixels=pixels * len(share),
        bytes_each=max(needed, default=0) + shown,
    )


class ClipFrames:
    """Makes the frames of captures in the order of their sequences.

    A sequence is entered at any pair, with the pair before it: the frames do not depend on where.
    """

    def __init__(
        self,
        method: ClipMethod,
        captures: CaptureFolder,
        plan: EvaluationPlan,
        load: Callable[[int], CapturePair],
    ) -> None:
        """Prepare to make the frames of some captures, read by `load`; none is made yet."""
        self._method = method
        self._captures = captures
        self._plan = plan
        self._load = load
        self._next: int | None = None
        self._frames: Iterator[Tensor] = iter(())

    def of(self, index: int) -> Tensor:
        """Frames (T, 3, H, W) of a capture; fastest for one capture after the other.

        Raises:
            InputError: an image cannot be read.
        """
        if index != self._next or not self._follows(index):
            first = index - self._follows(index)
            self._frames = self._correct_from(first)
            for _ in range(first, index):
                next(self._frames)
        self._next = index + 1
        return next(self._frames)

    def _follows(self, index: int) -> bool:
        """Whether a capture follows the one before it without a gap."""
        names = self._captures.names
        return index > 0 and self._plan.followers.get(names[index - 1]) == names[index]

    def _correct_from(self, first: int) -> Iterator[Tensor]:
        names = self._captures.names

        def pairs() -> Iterator[ClipPair]:
            for index in range(first, len(names)):
                if index > first and not self._follows(index):
                    return
                yield ClipPair(self._load(index).pair, self._plan.times)

        return correct_clip(
            self._method.correct,
            pairs(),
            self._load(first).scan_time,
            follows_motion=self._method.follows_motion,
            blending=self._method.blending,
            motion_estimate=self._method.motion_estimate,
            on_break=lambda number, finding: sys.stderr.write(
                f"{names[first + number]}: does not follow the pair before it: {finding}\n"
            ),
        )


def _with_predecessor(
    share: Sequence[int], captures: CaptureFolder, plan: EvaluationPlan
) -> Sequence[int]:
    """The captures of a share, after the one before them if the first follows it."""
    if not share or not share[0] or not plan.protocols:
        return share
    before = share[0] - 1
    return [before, *share] if captures.names[before] in plan.followers else share


def score_frames(
    frames: Tensor, capture: CapturePair, protocol: Protocol
) -> list[tuple[dict[str, float], tuple[BandScore, ...]]]:
    """Score frames (T, 3, H, W) in [0, 1] with `score_frame`, as 8-bit images.

    Raises:
        InputError: the images are too small.
        ValueError: the capture has no truth.
    """
    images, truth = _images(frames, capture, protocol)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(score_frame, border=protocol.border), images, truth))


def _images(
    frames: Tensor, capture: CapturePair, protocol: Protocol
) -> tuple[list[Image], list[Image]]:
    """Frames and their truth as 8-bit images.

    Raises:
        ValueError: the capture has no truth.
    """
    if capture.truth is None:
        raise ValueError(f"{capture.name}: no truth to score against")
    images = [to_8bit(frame, protocol.rounding) for frame in frames]
    return images, [to_uint8(frame) for frame in capture.truth]


def to_8bit(image: Tensor, rounding: Rounding) -> Image:
    """Convert (3, H, W) in [0, 1] to (H, W, 3) uint8, rounded to nearest or down."""
    if rounding == "rounded":
        return to_uint8(image)
    return to_uint8(torch.floor(image.float() * 255) / 255)


def _save(
    method: str, capture: str, frames: Tensor, plan: EvaluationPlan, *, is_first: bool
) -> None:
    """Save the frames of a capture by a method once for each rounding, if the plan says so."""
    for rounding in plan.roundings:
        folder = plan.frames_folder(method, rounding, is_first=is_first)
        if folder is not None:
            images = [to_8bit(frame, rounding) for frame in frames]
            save_frames(folder, capture, images, plan.times, layout=plan.layout)
