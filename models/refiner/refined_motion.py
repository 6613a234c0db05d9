"""The refiner's intermediate results: encoded inputs, and the refined motion of frames."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.classical.field import CELL
from models.parts.padding import round_up
from models.parts.settings import SIZE_MULTIPLE
from models.refiner.cues import MotionCues
from models.warping import Corner, backward_warp


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
        top: row of the whole image, in px, with which the fields below begin.
        step: rows, in px, of which a part has a whole number.
        cues: per cell, like the fields below.
        displacements: (N, 4, h, w) to t2b and b2t after each round, in px.
        hidden: (N, C, h, w) features.
        preference: (N, 1, h, w) logit added to the preference for t2b.
    """

    continued: Tensor
    halves: Tensor
    instants: int
    top: int
    step: int
    cues: MotionCues
    displacements: tuple[Tensor, Tensor]
    hidden: Tensor
    preference: Tensor

    def within(self, part: tuple[int, int, int, int]) -> "RefinedMotion":
        """The motion of a part (top, left, bottom, right), up to whole steps and columns of 32."""
        top, left, bottom, right = part[0] - self.top, part[1], part[2] - self.top, part[3]
        rows, columns = (
            slice(start // CELL, round_up(stop, step) // CELL)
            for start, stop, step in ((top, bottom, self.step), (left, right, SIZE_MULTIPLE))
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


def repeat_each(images: Tensor, count: int) -> Tensor:
    """Repeat each of (B, ...) `count` times: (B * count, ...); no copy if B or `count` is 1."""
    return images.unsqueeze(1).expand(-1, count, *images.shape[1:]).flatten(0, 1)


def warp_views(views: Sequence[Tensor], flow: Tensor, corner: Corner | None = None) -> Tensor:
    """Warp both views by their halves of a flow (N, 4, h, w) that starts at `corner`; join them."""
    warped = [
        backward_warp(view, part, corner=corner, exact=False).warped
        for view, part in zip(views, flow.chunk(2, dim=1), strict=True)
    ]
    return torch.cat(warped, dim=1)
