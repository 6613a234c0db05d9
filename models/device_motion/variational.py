"""Variational refinement of flow (Brox et al., ECCV 2004) for batches of tensors, on any device.

It follows OpenCV's within DIS and has its settings: an energy of constant brightness, of constant
gradients and of smoothness, all with robust losses, minimised by fixed-point iterations. Their
linear equations are relaxed in the order of a chessboard.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.measurement.sampling import pixel_grid
from models.measurement.tensor_sampling import pad_border, sample_linearly

_SMOOTHNESS, _BRIGHTNESS, _GRADIENT = 20.0, 5.0, 10.0  # weights of the terms
_ITERATIONS, _SWEEPS = 5, 5  # of the fixed point, and over the equations in each
_OVERRELAXATION = 1.6
_ROBUST = 1e-3**2  # of the losses sqrt(x² + this)
_LEAST_SLOPE = 0.1**2  # added to squared gradients that normalise the terms


class _Data(NamedTuple):
    """Normal equations (B, 1, H, W) of the data terms for a change (u, v) of the flow."""

    of_x: Tensor
    mixed: Tensor
    of_y: Tensor
    right: Tensor  # (B, 2, H, W)


def refine_by_energy(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """Refine flow (B, 2, H, W) between images (B, 1, H, W) with levels in [0, 255]."""
    x, y = pixel_grid(first.shape[-2:], like=first)
    moved = sample_linearly(second[:, 0], x + flow[:, 0], y + flow[:, 1])[:, None]
    images = _Derivatives(first, moved)
    is_black = ((x + y) % 2 == 0)[:, None]
    change = torch.zeros_like(flow)
    for _ in range(_ITERATIONS):
        data = images.equations(change)
        links = _Links(flow + change)
        diagonal_x, diagonal_y = data.of_x + links.total, data.of_y + links.total
        right = data.right + links.neighbours(flow) - links.total * flow
        for sweep in range(2 * _SWEEPS):
            u, v = change.split(1, dim=1)
            given = links.neighbours(change) + right
            new_u = u + _OVERRELAXATION * ((given[:, :1] - data.mixed * v) / diagonal_x - u)
            new_v = v + _OVERRELAXATION * ((given[:, 1:] - data.mixed * new_u) / diagonal_y - v)
            of_colour = ~is_black if sweep % 2 else is_black
            change = torch.where(of_colour, torch.cat((new_u, new_v), 1), change)
    return flow + change


class _Derivatives:
    """Derivatives in space of the mean of both images, and those of their difference."""

    def __init__(self, first: Tensor, moved: Tensor) -> None:
        self.x, self.y = slopes_of((first + moved) / 2)
        self.xx, self.xy = slopes_of(self.x)
        _, self.yy = slopes_of(self.y)
        self.t = moved - first
        self.xt, self.yt = slopes_of(self.t)

    def equations(self, change: Tensor) -> _Data:
        """Normal equations of brightness and gradients, weighted as after this change."""
        u, v = change.split(1, dim=1)
        norm = self.x**2 + self.y**2 + _LEAST_SLOPE
        error = self.t + self.x * u + self.y * v
        weight = _BRIGHTNESS / 2 / (error**2 / norm + _ROBUST).sqrt() / norm
        norm_x = self.xx**2 + self.xy**2 + _LEAST_SLOPE
        norm_y = self.yy**2 + self.xy**2 + _LEAST_SLOPE
        error_x = self.xt + self.xx * u + self.xy * v
        error_y = self.yt + self.xy * u + self.yy * v
        shared = _GRADIENT / 2 / (error_x**2 / norm_x + error_y**2 / norm_y + _ROBUST).sqrt()
        weight_x, weight_y = shared / norm_x, shared / norm_y
        right_x = weight * self.x * self.t + weight_x * self.xx * self.xt
        right_y = weight * self.y * self.t + weight_x * self.xy * self.xt
        right_x = right_x + weight_y * self.xy * self.yt
        right_y = right_y + weight_y * self.yy * self.yt
        return _Data(
            weight * self.x**2 + weight_x * self.xx**2 + weight_y * self.xy**2 + _LEAST_SLOPE,
            weight * self.x * self.y + weight_x * self.xx * self.xy + weight_y * self.xy * self.yy,
            weight * self.y**2 + weight_x * self.xy**2 + weight_y * self.yy**2 + _LEAST_SLOPE,
            -torch.cat((right_x, right_y), 1),
        )


class _Links:
    """Weights (B, 1, H, W) of the steps from each pixel to its neighbours; zero at the border."""

    def __init__(self, flow: Tensor) -> None:
        along_x = F.pad(flow.diff(dim=-1), (0, 1))
        along_y = F.pad(flow.diff(dim=-2), (0, 0, 0, 1))
        squared = (along_x**2 + along_y**2).sum(1, keepdim=True)
        weight = _SMOOTHNESS / 2 / (squared + _ROBUST).sqrt()
        self.right = F.pad(weight[..., :-1], (0, 1))
        self.below = F.pad(weight[..., :-1, :], (0, 0, 0, 1))
        self.left = F.pad(self.right[..., :-1], (1, 0))
        self.above = F.pad(self.below[..., :-1, :], (0, 0, 1, 0))
        self.total = self.right + self.below + self.left + self.above

    def neighbours(self, values: Tensor) -> Tensor:
        """Weighted sums (B, 2, H, W) of the values of the neighbours."""
        around = F.pad(values, (1, 1, 1, 1))
        return (
            self.right * around[..., 1:-1, 2:]
            + self.left * around[..., 1:-1, :-2]
            + self.below * around[..., 2:, 1:-1]
            + self.above * around[..., :-2, 1:-1]
        )


def slopes_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y of images (B, 1, H, W), whose border is repeated."""
    around = pad_border(image, 1, mirrored=False)
    along_x = (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2
    return along_x, (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2
