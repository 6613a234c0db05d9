"""The refiner's intermediate results: encoded inputs, and the refined motion of frames."""

from typing import NamedTuple

from torch import Tensor

from models.classical.field import CELL
from models.parts.padding import round_up
from models.parts.settings import SIZE_MULTIPLE
from models.refiner.cues import MotionCues


class Encoded(NamedTuple):
    """Both inputs of B pairs.

    Attributes:
        continued: (B, 2, 3, H', W') colours, extrapolated on each side.
        halves: (B, 2, 12, H' / 2, W' / 2) the same, every 2x2 pixels in the channels of one.
        views: (B, 2, 3 + C, h, w) colours and features in cells, padded to multiples of 32 pixels.
    """

    continued: Tensor
    halves: Tensor
    views: Tensor


class RefinedMotion(NamedTuple):
    """Inputs and motion of N = B * T frames, for making any part of them.

    Attributes:
        continued: (N, 2, 3, H', W') whole inputs of each frame, extrapolated on each side.
        halves: (N, 2, 12, H' / 2, W' / 2) the same, every 2x2 pixels in the channels of one.
        instants: T.
        cues: per cell, like the fields below.
        displacements: (N, 4, h, w) to t2b and b2t after each round, in px.
        hidden: (N, C, h, w) features.
        preference: (N, 1, h, w) logit added to the preference for t2b.
    """

    continued: Tensor
    halves: Tensor
    instants: int
    cues: MotionCues
    displacements: tuple[Tensor, Tensor]
    hidden: Tensor
    preference: Tensor

    def within(self, part: tuple[int, int, int, int]) -> "RefinedMotion":
        """The motion of a part (top, left, bottom, right), up to the next multiples of 32."""
        top, left, bottom, right = part
        rows, columns = (
            slice(start // CELL, round_up(stop, SIZE_MULTIPLE) // CELL)
            for start, stop in ((top, bottom), (left, right))
        )

        def cut(cells: Tensor) -> Tensor:
            return cells[..., rows, columns]

        first, last = self.displacements
        return self._replace(
            cues=MotionCues(*map(cut, self.cues)),
            displacements=(cut(first), cut(last)),
            hidden=cut(self.hidden),
            preference=cut(self.preference),
        )
