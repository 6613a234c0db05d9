"""Frames that show one view where the views disagree: the network's motion, classical sampling."""

import torch
from torch import Tensor

from models.classical.blending import better_view, choose, narrow_seams
from models.classical.field import CELL
from models.parts.generator_layers import resize
from models.refiner.cues import MotionCues


def choose_views(cues: MotionCues, first: Tensor, second: Tensor, noise: float) -> Tensor:
    """Frames (N, 3, h, w) of warped views by the classical weights, one view where they disagree.

    The network's own weights and residual are means over what may be. They soften real captures
    (docs/RESULTS.md), so its fusion is left out here.

    Args:
        cues: per cell of the frames.
        first: (N, 3, h, w) t2b warped to each frame.
        second: (N, 3, h, w) b2t warped to each frame.
        noise: standard deviation of the noise of either view.
    """
    lead = cues.offset[:, 1:] - cues.offset[:, :1]
    better = better_view(cues.preference, lead).to(first.dtype)
    seams = narrow_seams(resize(better, CELL), CELL)
    share = torch.sigmoid(resize(cues.preference, CELL))
    difference = first - second
    squared = difference.square().sum(dim=1, keepdim=True)
    share = choose(share, seams, squared, noise)
    return torch.addcmul(second, share, difference).clamp_(0, 1)
