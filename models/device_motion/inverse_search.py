"""Dense inverse search (Kroeger et al., ECCV 2016) for batches of tensors, on any device.

It follows OpenCV's with the settings of `models.flow.dis`: patches of 8 pixels every 3 pixels, at
half size and above, variational refinement at every level. What is sequential there is parallel
here: patches take over the flow of their neighbours from the last round.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.device_motion.variational import refine_by_energy, slopes_of
from models.measurement.tensor_sampling import pad_border

_PATCH, _STRIDE = 8, 3  # px
_FINEST = 1  # level of the pyramid on which the search ends
_ROUNDS, _STEPS = 4, 6  # of taking over flow, and of gradient descent after each
_MIN_DETERMINANT = 1e-3  # of a patch's normal equations; below it the patch stays where it is


def search_flows(first: Tensor, second: Tensor) -> Tensor:
    """Flow (B, H, W, 2) between grey images (B, H, W) with levels in [0, 255]."""
    height, width = first.shape[-2:]
    least = _PATCH << _FINEST
    padding = (0, max(least - width, 0), 0, max(least - height, 0))
    images = F.pad(torch.stack((first, second), 1), padding, mode="replicate")
    size = images.shape[-2:]
    coarsest = min(
        int(math.log2(max(size) / (4 * _PATCH)) + 0.5), int(math.log2(min(size) / _PATCH))
    )
    levels = [images]
    for _ in range(max(coarsest, _FINEST)):
        rows, columns = (side // 2 for side in levels[-1].shape[-2:])
        levels.append(F.interpolate(levels[-1], (rows, columns), mode="area"))
    flow = images.new_zeros(len(images), 2, *levels[-1].shape[-2:])
    for level in reversed(levels[_FINEST:]):
        flow = _enlarge(flow, level.shape)
        views = level[:, :1], level[:, 1:]
        flow = refine_by_energy(*views, _Patches(views[0]).search(views[1], flow))
    return _enlarge(flow, size)[..., :height, :width].movedim(1, -1)


def _enlarge(flow: Tensor, shape: torch.Size) -> Tensor:
    """Flow (B, 2, h, w) at the size of the next level, (..., H, W), of about twice as many px."""
    if flow.shape[-2:] == shape[-2:]:
        return flow
    return 2 * F.interpolate(flow, shape[-2:], mode="bilinear")


class _Patches:
    """P patches of images (B, 1, H, W), whose levels are compared but for their means."""

    def __init__(self, images: Tensor) -> None:
        self.size = images.shape[-2:]
        self.rows, self.columns = ((side - _PATCH) // _STRIDE + 1 for side in self.size)
        self.levels = _cut(images)
        slopes = torch.stack([_cut(slope) for slope in slopes_of(images)], dim=-1)
        self.steps = _gauss_newton_steps(slopes - slopes.mean(-2, keepdim=True))
        # Coordinates of the patches' pixels as `grid_sample` takes them, and of one pixel.
        sides = [images.new_full((1,), side) for side in reversed(self.size)]
        self.unit = 2 / torch.cat(sides)
        y, x = (torch.arange(side, device=images.device).float() for side in self.size)
        places = (x.expand(1, 1, *self.size), y[:, None].expand(1, 1, *self.size))
        self.grid = torch.stack([_cut(place) for place in places], dim=-1)
        self.grid = (self.grid + 0.5) * self.unit - 1

    def search(self, others: Tensor, flow: Tensor) -> Tensor:
        """Flow (B, 2, H, W) into other images (B, 1, H, W), given one of the level above."""
        start = flow[:, :, _PATCH // 2 :: _STRIDE, _PATCH // 2 :: _STRIDE]
        shift = start[:, :, : self.rows, : self.columns].flatten(2).transpose(1, 2)
        for _ in range(_ROUNDS):
            shift = self._descend(others, *self._take_over(others, shift))
        return self._spread(others, shift)

    def _sample(self, others: Tensor, shift: Tensor) -> Tensor:
        """Levels (B, ..., P, 64) of patches that are moved by (B, ..., P, 2)."""
        grid = torch.addcmul(self.grid, shift[..., None, :], self.unit)
        sampled = F.grid_sample(
            others, grid.flatten(1, -3), padding_mode="border", align_corners=False
        )
        return sampled.view(grid.shape[:-1])

    def _take_over(self, others: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """The best (B, P, 2) of each patch's shift and its neighbours', and its cost (B, P)."""
        grid = shift.transpose(1, 2).unflatten(2, (self.rows, self.columns))
        around = pad_border(grid, 1, mirrored=False)
        candidates = torch.stack(
            [
                around[..., top : top + self.rows, left : left + self.columns]
                for top, left in ((1, 1), (1, 2), (1, 0), (2, 1), (0, 1))
            ],
            dim=1,
        )
        candidates = candidates.flatten(3).transpose(2, 3)  # (B, 5, P, 2)
        residual = self._sample(others, candidates) - self.levels[:, None]
        cost, best = _cost(residual).min(1, keepdim=True)
        chosen = candidates.gather(1, best[..., None].expand(-1, -1, -1, 2))
        return chosen[:, 0], cost[:, 0]

    def _descend(self, others: Tensor, shift: Tensor, cost: Tensor) -> Tensor:
        """Gauss-Newton steps while a patch's cost decreases; farther than a patch is wrong."""
        moved = best = shift
        for step in range(_STEPS + 1):
            residual = self._sample(others, moved) - self.levels
            now = _cost(residual)
            better = (now <= cost)[..., None]
            best = torch.where(better, moved, best)
            if step == _STEPS:
                break
            cost = torch.minimum(now, cost)
            change = (residual[..., None, :] @ self.steps)[..., 0, :]
            moved = torch.where(better, moved - change, moved)
        is_far = (best - shift).square().sum(-1, keepdim=True) > _PATCH**2
        return torch.where(is_far, shift, best)

    def _spread(self, others: Tensor, shift: Tensor) -> Tensor:
        """Flow (B, 2, H, W): means over patches, weighted by how well each explains the pixel."""
        weight = 1 / (self._sample(others, shift) - self.levels).abs().clamp(min=1)
        parts = [weight * shift[..., :1], weight * shift[..., 1:], weight]
        covered = ((self.rows - 1) * _STRIDE + _PATCH, (self.columns - 1) * _STRIDE + _PATCH)
        sums = F.fold(torch.cat(parts, dim=-1).transpose(1, 2), covered, _PATCH, stride=_STRIDE)
        missing = [side - part for side, part in zip(self.size, covered, strict=True)]
        flow = sums[:, :2] / sums[:, 2:]
        return F.pad(flow, (0, missing[1], 0, missing[0]), mode="replicate")


def _cost(residual: Tensor) -> Tensor:
    """Costs (...) of residuals (..., 64): their variance, as means are not compared."""
    return residual.var(-1, correction=0)


def _gauss_newton_steps(slopes: Tensor) -> Tensor:
    """(B, P, 64, 2): the product of a residual with these is its Gauss-Newton step.

    The slopes (B, P, 64, 2) have no mean, so that the residual may have one.
    """
    of_x, mixed, _, of_y = (slopes.mT @ slopes).flatten(2).unbind(-1)
    determinant = of_x * of_y - mixed**2
    determinant = determinant.masked_fill(determinant < _MIN_DETERMINANT, math.inf)
    inverse = torch.stack((of_y, -mixed, -mixed, of_x), dim=-1) / determinant[..., None]
    return slopes @ inverse.unflatten(-1, (2, 2))


def _cut(images: Tensor) -> Tensor:
    """Patches (B, P, 64) of images (B, 1, H, W)."""
    return F.unfold(images, _PATCH, stride=_STRIDE).transpose(1, 2)
