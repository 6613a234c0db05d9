"""Frames of a test's captures with the pairs before and after them in their sequence."""

import sys
from collections.abc import Iterator

from models.clip.correction import ClipPair, correct_clip
from torch import Tensor

from data.layouts import CaptureFolder
from utils.evaluation.methods import ClipMethod
from utils.evaluation.plan import EvaluationPlan


class ClipFrames:
    """Makes the frames of captures in the order of their sequences.

    A sequence is entered at any pair, with the pair before it: the frames do not depend on where.
    """

    def __init__(self, method: ClipMethod, captures: CaptureFolder, plan: EvaluationPlan) -> None:
        """Prepare to make the frames of some captures; none is made yet."""
        self._method = method
        self._captures = captures
        self._plan = plan
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
                yield ClipPair(self._captures.load(index, ()).pair, self._plan.times)

        return correct_clip(
            self._method.correct,
            pairs(),
            self._captures.load(first, ()).scan_time,
            follows_motion=self._method.follows_motion,
            on_break=lambda number, finding: sys.stderr.write(
                f"{names[first + number]}: does not follow the pair before it: {finding}\n"
            ),
        )
