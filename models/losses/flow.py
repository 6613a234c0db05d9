"""Losses of PWC-Net on frames with known flow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.training.flow_pairs import FlowSample
from models.losses.objective import Loss, Objective, weigh
from models.parts.correlation import RADIUS
from models.parts.pwc_blocks import FlowLevel

EPSILON = 0.01
"""Pixels: smooths the endpoint error at zero."""

_SIDE = 2 * RADIUS + 1  # of the cost volumes
_SHARPNESS = 20.0  # factor from costs to logits


class FlowLossSettings(NamedTuple):
    """Settings of the terms of the flow network.

    Attributes:
        level_weights: factor of each level's mean endpoint error, coarsest first; the factors in
            use are divided by their sum. PWC-Net's 0.32, 0.08, 0.02, 0.01, 0.005 for sums over
            pixels from the 6th level to the 2nd correspond to 1, 1, 1, 2, 4 for means.
        exponent: of the error, (|d|² + 0.01²)^(exponent / 2): 1 for a smooth endpoint error; below
            1 large errors dominate less.
        hidden_weight: weight of pixels that are not visible in the second image.
    """

    level_weights: tuple[float, ...] = (1, 1, 1, 2, 4)
    exponent: float = 1.0
    hidden_weight: float = 0.2


DEFAULT_SETTINGS = FlowLossSettings()


def shrink_flow(flow: Tensor, weight: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Average a flow (B, 2, H, W) over cells of factor x factor pixels, with weights (B, 1, H, W).

    Returns:
        Mean flow (B, 2, h, w), 0 where all weights are 0, and mean weight (B, 1, h, w).
    """
    total = F.avg_pool2d(weight, factor)
    return F.avg_pool2d(flow * weight, factor) / total.clamp(min=1e-6), total


def multiscale_endpoint(
    levels: Sequence[FlowLevel], batch: FlowSample, settings: FlowLossSettings
) -> Tensor:
    """Weighted mean endpoint error of levels, coarsest first, against the truth at their sizes."""
    weight = settings.hidden_weight + (1 - settings.hidden_weight) * batch.visible
    factors = settings.level_weights[: len(levels)]
    total = batch.flow.new_zeros(())
    for level, factor in zip(levels, factors, strict=True):
        cell = weight.shape[-1] // level.flow.shape[-1]
        target, share = shrink_flow(batch.flow, weight, cell)
        squares = (level.flow - target).square().sum(dim=1, keepdim=True)
        errors = (squares + EPSILON**2) ** (settings.exponent / 2)
        total = total + factor * weighted_mean(errors, share)
    return total / sum(factors)


def matching(levels: Sequence[FlowLevel], batch: FlowSample, _: FlowLossSettings) -> Tensor:
    """Mean cross entropy between the softmax of the levels' costs and the true displacements.

    A level's target is the displacement that remains from its starting flow, distributed bilinearly
    over the four nearest displacements of the cost volume. This trains discriminative features at
    all levels from the first step. Cells with occluded pixels, and cells whose displacement exceeds
    the volume, are ignored.
    """
    total = batch.flow.new_zeros(())
    for level in levels:
        cell = batch.flow.shape[-1] // level.flow.shape[-1]
        target, visible = shrink_flow(batch.flow, batch.visible, cell)
        position = (target - level.start.detach()) / cell + RADIUS
        covered = ((position > 0) & (position < _SIDE - 1)).all(dim=1, keepdim=True)
        known = (covered & (visible > 0.99)).float()
        logs = torch.log_softmax(_SHARPNESS * level.costs.float(), dim=1)
        total = total - weighted_mean(_sample_volume(logs, position), known)
    return total / len(levels)


class FlowObjective(Objective):
    """Loss of PWC-Net on frames with known flow."""

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        down_to: int = 2,
        settings: FlowLossSettings = DEFAULT_SETTINGS,
    ) -> None:
        """Build the objective.

        Args:
            weights: factors of terms that "flow" offers (`models.losses.table`).
            down_to: finest level to train, 5 to 2.
            settings: settings of the terms.
        """
        super().__init__(weights)
        self.down_to = down_to
        self.settings = settings

    def forward(self, network: nn.Module, batch: FlowSample) -> Loss:
        """Loss of a batch."""
        levels = network(batch.first, batch.second, down_to=self.down_to)
        return weigh(self.weights, self.terms(["flow levels"], levels, batch, self.settings))


def _sample_volume(volume: Tensor, position: Tensor) -> Tensor:
    """Sample a volume (B, 81, h, w) bilinearly at positions (B, 2, h, w), x and y in [0, 8]."""
    inside = position.clamp(0, _SIDE - 1)
    corner = inside.floor().clamp(max=_SIDE - 2)
    share = inside - corner
    value = torch.zeros_like(volume[:, :1])
    for step_y in (0, 1):
        for step_x in (0, 1):
            offset = position.new_tensor((step_x, step_y))[:, None, None]
            x, y = (corner + offset).long().unbind(dim=1)
            weights = (1 - offset - share).abs().prod(dim=1, keepdim=True)
            value = value + weights * volume.gather(1, (y * _SIDE + x)[:, None])
    return value


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over samples (B, ...) of their weighted means; 0 for samples without weight.

    Samples count equally, so that the result does not depend on how a batch is split.
    """
    total, weight = (part.flatten(1).sum(1) for part in (values * weights, weights))
    return (total / weight.clamp(min=1e-6)).mean()
