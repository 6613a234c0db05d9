"""Frames of a clip's pairs, each made with the pairs before and after it, or alone."""

import sys
from collections import deque
from collections.abc import Iterator

from torch import Tensor

from data.capture import CapturePair
from models.clip.correction import ClipPair, correct_clip
from models.inference.correction import instants_of
from utils.correction import NamedCorrection
from utils.real.clip_plan import ClipPlan

_KEPT = 3  # pairs: the one before a part of the video is read again with the part before


class PairWindow:
    """The prepared pairs of a clip, read in order; the last few stay in memory."""

    def __init__(self, plan: ClipPlan, first: int) -> None:
        """Begin to read at the pair `first`."""
        self._plan = plan
        self._pairs = plan.stream.pairs(first)
        self._next = first
        self._kept: deque[tuple[int, CapturePair]] = deque(maxlen=_KEPT)

    def close(self) -> None:
        """End reading."""
        self._pairs.close()

    def __getitem__(self, number: int) -> CapturePair:
        """A pair from the last few on.

        Raises:
            InputError: it cannot be read.
        """
        while self._next <= number:
            capture = next(self._pairs)
            if self._next > number - _KEPT:
                self._kept.append((self._next, self._plan.preparation.apply_to(capture)))
            self._next += 1
        return dict(self._kept)[number]


def uses_neighbours(plan: ClipPlan, method: NamedCorrection) -> bool:
    """Whether frames are made with neighbouring pairs.

    Not at mid-time, which the pair shows best, nor by networks of certain instants.
    """
    options = plan.options
    return (
        options.context == "clip"
        and options.inference == "ours"
        and set(plan.times) != {0.5}
        and instants_of(method.correct) is None
    )


def first_needed(plan: ClipPlan, method: NamedCorrection, pair: int) -> int:
    """The first pair to read for the frames of the pairs from `pair` on."""
    return max(pair - uses_neighbours(plan, method), 0)


def make_frames(
    plan: ClipPlan, method: NamedCorrection, pairs: PairWindow, numbers: range
) -> Iterator[Tensor]:
    """Frames (T, 3, H, W) of consecutive pairs, upright as the sensors stand.

    They do not depend on where the range begins and ends.

    Raises:
        InputError: a pair cannot be read or corrected.
    """
    scan_time = pairs[numbers.start].scan_time
    if not uses_neighbours(plan, method):
        for number in numbers:
            made = method.correct(pairs[number].pair, plan.instants(number), scan_time=scan_time)
            yield plan.stream.timing.restore(made.frames)
        return
    first = first_needed(plan, method, numbers.start)
    last = min(numbers.stop, plan.stream.count - 1)

    def given() -> Iterator[ClipPair]:
        for number in range(first, last + 1):
            times = plan.instants(number) if number in numbers else ()
            yield ClipPair(pairs[number].pair, times)

    def tell(place: int, finding: str) -> None:
        if first + place in numbers:
            sys.stderr.write(
                f"\n{plan.stream.name}: pair {first + place} does not follow the one before it: "
                f"{finding}; no frame is made of both\n"
            )

    made_frames = correct_clip(
        method.correct,
        given(),
        scan_time,
        follows_motion=method.follows_motion,
        blending=plan.options.blending,
        motion_estimate=plan.options.motion_estimate,
        on_break=tell,
    )
    for number, frames in zip(range(first, last + 1), made_frames, strict=True):
        if number in numbers:
            yield plan.stream.timing.restore(frames)
