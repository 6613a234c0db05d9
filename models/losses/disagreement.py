"""How far the two views contradict each other once both are brought to the same instant."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.parts.generator_layers import resize_flow
from models.warping import backward_warp


class Disagreement(NamedTuple):
    """Where and how much both views differ in each frame.

    Attributes:
        difference: (B, T, 1, H, W) mean absolute difference over the colours, in [0, 1]; 0 where
            not `seen`.
        seen: (B, T, 1, H, W), 1 where both views show the frame's point, else 0.
    """

    difference: Tensor
    seen: Tensor

    @property
    def mean(self) -> Tensor:
        """() mean difference where both views show the point; 0 where they never do."""
        return self.difference.sum() / self.seen.sum().clamp(min=1)


@torch.no_grad()
def find_disagreement(pair: Tensor, flow: Tensor) -> Disagreement:
    """Bring both views to each frame by the flow that the frame was made with, and compare them.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1], of even size.
        flow: (B, 4 * T, H/2, W/2) a level of `models.generator.CorrectionOutput.flows`.
    """
    full = resize_flow(flow.float(), 2).unflatten(1, (2, -1, 2))  # (B, views, T, 2, H, W)
    images = pair.float()[:, :, None].expand(-1, -1, full.shape[2], -1, -1, -1)
    brought = backward_warp(images.flatten(0, 2), full.flatten(0, 2))
    first, second = brought.warped.unflatten(0, full.shape[:3]).unbind(1)
    seen = brought.valid.unflatten(0, full.shape[:3]).prod(1)
    return Disagreement((first - second).abs().mean(2, keepdim=True) * seen, seen)
