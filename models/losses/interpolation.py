"""Losses of an interpolator on images with known motion."""

from torch import Tensor, nn

from data.training.interpolation import InterpolationSample
from models.losses.flow import EPSILON, weighted_mean
from models.losses.objective import OF_IMAGES, Loss, Objective, weigh
from models.plusplus.interpolator import Motion

_HIDDEN_WEIGHT = 0.2  # of points that are not visible in a frame: only the other can show them


def motion_endpoint(motion: Motion, batch: InterpolationSample) -> Tensor:
    """Mean endpoint error of the flows after every block to both frames, in pixels.

    Points that a frame does not show weigh 0.2. Trained by images alone, the flows of large
    displacements stay on a plateau near 0.
    """
    truth = batch.flows.unflatten(1, (2, 2))
    weights = _HIDDEN_WEIGHT + (1 - _HIDDEN_WEIGHT) * batch.visible
    total = truth.new_zeros(())
    for flow in motion.flows:
        squares = (flow.unflatten(1, (2, 2)) - truth).square().sum(dim=2)
        total = total + weighted_mean((squares + EPSILON**2).sqrt(), weights)
    return total / len(motion.flows)


class InterpolationObjective(Objective):
    """Distance of interpolated images to the true ones, and of their motion to the exact one."""

    def forward(self, network: nn.Module, batch: InterpolationSample) -> Loss:
        """Loss of a batch; sides are multiples of 32."""
        position = batch.position[:, None, :, None].expand_as(batch.target[:, :1])
        image, motion = network(batch.first, batch.second, position, with_motion=True)
        terms = self.terms(OF_IMAGES, image, batch.target)
        terms |= self.terms(["interpolated motion"], motion, batch)
        return weigh(self.weights, terms)
