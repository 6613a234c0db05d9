"""What PWC-Net minimises on frames whose flow is known."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.training.flow_pairs import FlowSample
from models.losses.objective import Loss, Objective, weigh
from models.parts.correlation import RADIUS
from models.parts.pwc_blocks import FlowLevel

_EPSILON = 0.01  # px by which an endpoint error is rounded off at zero
_SIDE = 2 * RADIUS + 1  # of the cost volumes
_SHARPNESS = 20.0  # factor from costs to the logarithms of odds


class LevelTarget(NamedTuple):
    """The true flow at the size of a level.

    Attributes:
        flow: (B, 2, h, w) mean over the pixels of each cell, in pixels of the images.
        weight: (B, 1, h, w) mean weight of these pixels.
    """

    flow: Tensor
    weight: Tensor


def shrink_flow(flow: Tensor, weight: Tensor, factor: int) -> LevelTarget:
    """Weighted means of a flow (B, 2, H, W) over cells of factor x factor pixels.

    A cell whose pixels weigh nothing gets zero flow.
    """
    total = F.avg_pool2d(weight, factor)
    mean = F.avg_pool2d(flow * weight, factor) / total.clamp(min=1e-6)
    return LevelTarget(mean, total)


def multiscale_endpoint(
    levels: Sequence[FlowLevel],
    truth: Tensor,
    weight: Tensor,
    *,
    level_weights: Sequence[float],
    exponent: float = 1.0,
) -> Tensor:
    """Endpoint error of all levels, each against the truth averaged to its size.

    Args:
        levels: coarsest first.
        truth: (B, 2, H, W) true flow in pixels.
        weight: (B, 1, H, W) how much each pixel counts.
        level_weights: factor of each level's mean error; the factors in force are divided by their
            sum. PWC-Net sums over pixels with 0.32, 0.08, 0.02, 0.01, 0.005 from the 6th level to
            the 2nd: of means, that is 1, 1, 1, 2, 4.
        exponent: of the error, (|d|² + 0.01²)^(exponent / 2): 1 for a smooth endpoint error, less
            for one that large errors dominate less.

    Returns:
        () the weighted mean.
    """
    factors = level_weights[: len(levels)]
    total = truth.new_zeros(())
    for level, factor in zip(levels, factors, strict=True):
        target = shrink_flow(truth, weight, truth.shape[-1] // level.flow.shape[-1])
        squares = (level.flow - target.flow).square().sum(dim=1, keepdim=True)
        errors = (squares + _EPSILON**2) ** (exponent / 2)
        total = total + factor * _weighted_mean(errors, target.weight)
    return total / sum(factors)


def matching(levels: Sequence[FlowLevel], truth: Tensor, visible: Tensor) -> Tensor:
    """How surprising the true displacements are to the cost volumes, read as odds.

    The cross entropy between the softmax of a level's costs and the displacement that is left to be
    found there, shared out bilinearly among the four nearest ones. It teaches the features to tell
    points apart, at every level from the first step on. Cells with hidden pixels, or where more is
    left than the volume covers, are left out.

    Args:
        levels: coarsest first.
        truth: (B, 2, H, W) true flow in pixels.
        visible: (B, 1, H, W) 1 where a pixel's point is seen in the second image.

    Returns:
        () the mean over the levels.
    """
    total = truth.new_zeros(())
    for level in levels:
        cell = truth.shape[-1] // level.flow.shape[-1]
        target = shrink_flow(truth, visible, cell)
        left = (target.flow - level.start.detach()) / cell + RADIUS
        covered = ((left > 0) & (left < _SIDE - 1)).all(dim=1, keepdim=True)
        known = (covered & (target.weight > 0.99)).float()
        odds = torch.log_softmax(_SHARPNESS * level.costs.float(), dim=1)
        total = total - _weighted_mean(_read_bilinearly(odds, left), known)
    return total / len(levels)


class FlowLossSettings(NamedTuple):
    """What the terms of the flow network need besides levels and truth.

    Attributes:
        level_weights: see `multiscale_endpoint`.
        exponent: see `multiscale_endpoint`.
        hidden_weight: how much pixels count whose point is not seen in the second image.
    """

    level_weights: tuple[float, ...] = (1, 1, 1, 2, 4)
    exponent: float = 1.0
    hidden_weight: float = 0.2


DEFAULT_SETTINGS = FlowLossSettings()


def endpoint_term(
    levels: Sequence[FlowLevel], batch: FlowSample, settings: FlowLossSettings
) -> Tensor:
    """`multiscale_endpoint` of a batch, occluded pixels weighted less."""
    weight = settings.hidden_weight + (1 - settings.hidden_weight) * batch.visible
    return multiscale_endpoint(
        levels,
        batch.flow,
        weight,
        level_weights=settings.level_weights,
        exponent=settings.exponent,
    )


def matching_term(
    levels: Sequence[FlowLevel], batch: FlowSample, settings: FlowLossSettings
) -> Tensor:
    """`matching` of a batch."""
    return matching(levels, batch.flow, batch.visible)


class FlowObjective(Objective):
    """Loss of PWC-Net on frames whose flow is known."""

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
            settings: of the terms.
        """
        super().__init__(weights)
        self.down_to = down_to
        self.settings = settings

    def forward(self, network: nn.Module, batch: FlowSample) -> Loss:
        """Loss of a batch."""
        levels = network(batch.first, batch.second, down_to=self.down_to)
        return weigh(self.weights, self.terms(["flow levels"], levels, batch, self.settings))


def _read_bilinearly(volume: Tensor, position: Tensor) -> Tensor:
    """Values (B, 1, h, w) of a volume (B, 81, h, w) at positions (B, 2, h, w), x and y, 0 to 8."""
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


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over samples (B, ...) of their means by weights of the same shape; 0 where none weighs.

    Each sample counts alike, so that a batch may be shared by parts and processes.
    """
    total, weight = (part.flatten(1).sum(1) for part in (values * weights, weights))
    return (total / weight.clamp(min=1e-6)).mean()
