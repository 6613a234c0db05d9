"""Variational refinement of flow (Brox et al., ECCV 2004) for batches of tensors, on any device.

It follows OpenCV's within DIS and has its settings: an energy of constant brightness, of constant
gradients and of smoothness, all with robust losses, minimised by fixed-point iterations. Their
linear equations are relaxed in the order of a chessboard, both components of a pixel together.

Terms are stacked: on a GPU the number of operations matters more than their size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.measurement.sampling import pixel_grid
from models.measurement.tensor_sampling import (
    links_between,
    pad_border,
    sample_linearly,
    with_neighbours,
)

_SMOOTHNESS, _BRIGHTNESS, _GRADIENT = 20.0, 5.0, 10.0  # weights of the terms
_ITERATIONS, _SWEEPS = 5, 5  # of the fixed point, and over the equations in each
_OVERRELAXATION = 1.6
_ROBUST = 1e-3**2  # of the losses sqrt(x² + this)
_LEAST_SLOPE = 0.1**2  # added to squared gradients that normalise the terms


def refine_by_energy(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """Refine flow (B, 2, H, W) between images (B, 1, H, W) with levels in [0, 255]."""
    x, y = pixel_grid(first.shape[-2:], like=first)
    moved = sample_linearly(second[:, 0], x + flow[:, 0], y + flow[:, 1])[:, None]
    terms = _DataTerms(first, moved)
    is_black = ((x + y) % 2 == 0)[:, None]
    shares = [colour * _OVERRELAXATION for colour in (is_black, ~is_black)]
    has_next = torch.stack((x < x.shape[-1] - 1, y < y.shape[-2] - 1), dim=1)
    around_flow, _ = with_neighbours(flow)
    around, change = with_neighbours(torch.zeros_like(flow))
    for _ in range(_ITERATIONS):
        equations = terms.equations(change)
        links = _links(flow + change, has_next)
        total = links.sum((2, 3))
        matrix, right = equations[:, :, :2], -equations[:, :, 2]
        matrix.diagonal(dim1=1, dim2=2).add_((total + _LEAST_SLOPE).movedim(1, -1))
        right = torch.addcmul(right + (around_flow * links).sum((2, 3)), total, flow, value=-1)
        inverse = _inverse(matrix)
        for sweep in range(2 * _SWEEPS):
            given = (around * links).sum((2, 3)) + right
            solved = (inverse * given[:, None]).sum(2)
            change.lerp_(solved, shares[sweep % 2])  # `around` sees it
    return flow + change


class _DataTerms:
    """Linear errors x u + y v + t of brightness and of both gradients, each of unit slope."""

    def __init__(self, first: Tensor, moved: Tensor) -> None:
        # Derivatives in space of the mean of both images, and those of their difference.
        images = torch.cat(((first + moved) / 2, moved - first), dim=1)
        along_x, along_y = slopes_of(images)
        slopes = torch.stack((along_x, along_y), dim=1)  # (B, 2, 2, H, W)
        bent_x, bent_y = slopes_of(slopes[:, :, 0])
        mixed = bent_y[:, :1]
        of_x = torch.cat((along_x[:, :1], bent_x[:, :1], mixed), dim=1)
        of_y = torch.cat((along_y[:, :1], mixed, bent_y[:, 1:]), dim=1)
        of_t = torch.cat((images[:, 1:], slopes[:, :, 1]), dim=1)
        norm = torch.addcmul(of_x.square() + _LEAST_SLOPE, of_y, of_y).rsqrt()
        self.errors = torch.stack((of_x, of_y, of_t), dim=1) * norm[:, None]  # (B, 3, 3, H, W)
        strength = torch.full_like(norm, _GRADIENT / 2)
        strength[:, 0] = _BRIGHTNESS / 2
        self.products = self.errors[:, :2, None] * (self.errors * strength[:, None])[:, None]

    def equations(self, change: Tensor) -> Tensor:
        """Normal equations (B, 2, 3, H, W), weighted as after a change (B, 2, H, W).

        The last axis but two has the matrix, and the right side with the opposite sign.
        """
        along_x, along_y, error = self.errors.unbind(1)
        error = torch.addcmul(error, along_x, change[:, :1])
        squared = torch.addcmul(error, along_y, change[:, 1:]).square()
        # Both gradients have one loss.
        of_gradient = (squared[:, 1:2] + squared[:, 2:]).expand(-1, 2, -1, -1)
        weight = (torch.cat((squared[:, :1], of_gradient), dim=1) + _ROBUST).rsqrt()
        return (self.products * weight[:, None, None]).sum(3)


def _links(flow: Tensor, has_next: Tensor) -> Tensor:
    """Weights of the steps between neighbours, as `links_between` returns them.

    `has_next` (1, 2, H, W) tells whether a pixel has a neighbour on the right, and below.
    """
    following = F.pad(flow, (0, 1, 0, 1), mode="replicate")
    step_x, step_y = following[..., :-1, 1:] - flow, following[..., 1:, :-1] - flow
    squared = torch.addcmul(step_x.square(), step_y, step_y).sum(1, keepdim=True)
    return links_between((squared + _ROBUST).rsqrt() * has_next * (_SMOOTHNESS / 2))


def _inverse(matrix: Tensor) -> Tensor:
    """Inverses of symmetric (B, 2, 2, H, W)."""
    mixed = matrix[:, 0, 1]
    determinant = torch.addcmul(matrix[:, 0, 0] * matrix[:, 1, 1], mixed, mixed, value=-1)
    sign = 2 * torch.eye(2, device=matrix.device)[..., None, None] - 1
    return matrix.flip(1, 2) * sign / determinant[:, None, None]


def slopes_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y of images (B, C, H, W), whose border is repeated."""
    around = pad_border(image, 1, mirrored=False)
    along_x = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
    return along_x, (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
