"""Difference of the two views after warping both to the same instant."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.parts.generator_layers import resize_flow
from models.warping import backward_warp


class Disagreement(NamedTuple):
    """Difference of both views, warped to each frame.

    Attributes:
        difference: (B, T, 1, H, W) mean absolute difference over the colours, in [0, 1]; 0 outside
            `seen`.
        seen: (B, T, 1, H, W), 1 where both sample points lie inside their views, else 0.
    """

    difference: Tensor
    seen: Tensor

    @property
    def mean(self) -> Tensor:
        """() mean difference over `seen` pixels; 0 if there are none."""
        return self.difference.sum() / self.seen.sum().clamp(min=1)


@torch.no_grad()
def find_disagreement(pair: Tensor, flow: Tensor) -> Disagreement:
    """Warp both views to each frame by the frame's own flow, and compare them.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1], of even size.
        flow: (B, 4 * T, H/2, W/2) a level of `models.generator.CorrectionOutput.flows`.
    """
    full = resize_flow(flow.float(), 2).unflatten(1, (2, -1, 2))  # (B, views, T, 2, H, W)
    images = pair.float()[:, :, None].expand(-1, -1, full.shape[2], -1, -1, -1)
    warped_views = backward_warp(images.flatten(0, 2), full.flatten(0, 2))
    first, second = warped_views.warped.unflatten(0, full.shape[:3]).unbind(1)
    seen = warped_views.valid.unflatten(0, full.shape[:3]).prod(1)
    return Disagreement((first - second).abs().mean(2, keepdim=True) * seen, seen)
