"""Endpoint errors of a flow network against known flow."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from data.training.flow_pairs import FlowSample


class FlowScore(NamedTuple):
    """Means in pixels, over the pixels of a pair whose flow is known, or over pairs.

    Attributes:
        error: endpoint error.
        visible_error: endpoint error of the pixels that are visible in both frames.
        motion: length of the true flow.
    """

    error: float
    visible_error: float
    motion: float


@torch.no_grad()
def score_pair(flow: nn.Module, pair: FlowSample, device: torch.device) -> FlowScore:
    """Score a flow network on one pair.

    Args:
        flow: (first, second) images (B, 3, H, W) -> flow (B, 2, H, W).
        pair: without a batch axis; pixels whose true flow is not finite are left out.
        device: where to compute.
    """
    found = flow(pair.first[None].to(device), pair.second[None].to(device))[0].float().cpu()
    return score_flow(found, pair.flow, pair.visible)


def score_flow(found: Tensor, truth: Tensor, visible: Tensor) -> FlowScore:
    """Score a flow (2, H, W) against `truth` (2, H, W); `visible` (1, H, W) is 1 or 0."""
    known = truth.isfinite().all(dim=0)
    errors, motion = (found - truth).norm(dim=0), truth.norm(dim=0)
    seen = known & (visible[0] > 0.5)
    return FlowScore(*(float(part.mean()) for part in (errors[known], errors[seen], motion[known])))


def mean_scores(scores: Sequence[FlowScore]) -> FlowScore:
    """Means over pairs, without the pairs that lack a value (NaN)."""
    columns = torch.tensor(scores, dtype=torch.float64)
    return FlowScore(*columns.nanmean(dim=0).tolist())
