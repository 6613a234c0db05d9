"""Camera paths of a batch, as `models.camera.path` models them.

Every path has all 32 coefficients; those that are not free in a model stay zero. `...` below is the
batch, B or (B, M) for M models of each capture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.camera import path
from models.camera.path import (
    DEVIATION_TERMS,
    MIN_SPEED,
    SPEED_POINTS,
    PathModel,
    deviation_basis,
    half_diagonal,
    homography_entries,
    place_basis,
)
from models.device_motion.robust import solve_positive

COEFFICIENTS = 8 * (1 + DEVIATION_TERMS)
"""Coefficients of a path: of each component its uniform motion, then its deviations."""


@dataclass(frozen=True)
class CameraPaths:
    """Image motion of everything at rest, of a batch of captures.

    Attributes:
        path: (..., 8, 4) float64, as in `models.camera.path.CameraMotion`.
        sizes: (..., 8, 4) float64 prior standard deviations, as in `PathModel`.
        size: (H, W) of the images.
        reach: (...) float64 time from t = 1/2 to the farthest exposure.
        energy: (8, 8) float64, by which components of uniform motion give the mean squared speed of
            the image, in half diagonals.
    """

    path: Tensor
    sizes: Tensor
    size: tuple[int, int]
    reach: Tensor
    energy: Tensor

    @property
    def known(self) -> Tensor:
        """(..., 32) 1 where a coefficient is free, else 0."""
        return (self.sizes > 0).flatten(-2).to(self.path)

    def precision(self) -> Tensor:
        """(..., 32) the prior's inverse variances; 1 for coefficients that are not free."""
        uniform = self.path[..., 0]
        squared = (uniform @ self.energy * uniform).sum(-1)
        speed = squared.sqrt() + MIN_SPEED / half_diagonal(self.size)
        even = self.sizes[..., DEVIATION_TERMS:] * speed[..., None, None]
        expected = torch.cat((self.sizes[..., :DEVIATION_TERMS], even), dim=-1)
        return torch.where(expected > 0, expected, 1).flatten(-2) ** -2

    def step(self, normal: Tensor, right: Tensor) -> "CameraPaths":
        """The paths after a Gauss-Newton step with the prior.

        Normal equations (..., 32, 32) and (..., 32) of residuals of unit variance; zero where
        coefficients are not free.
        """
        precision, path = self.precision(), self.path.flatten(-2)
        right = right + precision * path
        change = solve_positive(normal + torch.diag_embed(precision), right[..., None])[..., 0]
        return replace(self, path=(path - self.known * change).unflatten(-1, self.path.shape[-2:]))

    def chosen(self, mask: Tensor, other: "CameraPaths") -> "CameraPaths":
        """These paths where the mask (...) is set, else the others."""
        return replace(
            self,
            path=torch.where(mask[..., None, None], self.path, other.path),
            sizes=torch.where(mask[..., None, None], self.sizes, other.sizes),
        )

    def motion(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity (B, h, w, 2) in px per readout and deviation (B, h, w, 2, 3), of B paths.

        Coefficients of `deviation_basis`, at pixels (x, y), (1, h, w) each, of t = 1/2.
        """
        place = normalise(torch.stack((x, y), dim=-1).double(), self.size)
        ends = [self._displacement(place, -1), self._displacement(place, 1)]
        velocity = (ends[1] - ends[0]) / (2 * self.reach[:, None, None, None])
        # To first order. Negative: the path leads to t = 1/2, points move away from there.
        basis = place_basis(place)[:, :, 0]
        odd = -half_diagonal(self.size) * torch.einsum(
            "ckyx,bkn->byxcn", basis, self.path[..., 1:DEVIATION_TERMS]
        )
        even = -(ends[0] + ends[1])[..., None] / 2
        return velocity.float(), torch.cat((odd, even), dim=-1).float()

    def _displacement(self, place: Tensor, side: int) -> Tensor:
        """(B, h, w, 2) px from t = 1/2 to an end of the reach, of normalised points."""
        time = time_basis(0.5 + side * self.reach, self.reach)
        components = torch.einsum("bkn,bn->kb", self.path, time)
        rows = torch.stack(homography_entries(components), -1)
        first, second, third = rows.unflatten(-1, (3, 3)).unbind(1)
        # The adjugate: an inverse, but for a factor, which does not matter.
        back = torch.stack(
            [
                torch.linalg.cross(*parts)
                for parts in ((second, third), (third, first), (first, second))
            ],
            dim=-1,
        )
        there = torch.einsum("oyxc,brc->byxr", place, back[..., :2]) + back[:, None, None, :, 2]
        return half_diagonal(self.size) * (there[..., :2] / there[..., 2:] - place)


def at_rest(models: Sequence[PathModel], size: tuple[int, int], reach: Tensor) -> CameraPaths:
    """Resting cameras (B, M) of M models, given reaches (B,)."""
    y, x = (np.linspace(0, side - 1, SPEED_POINTS) for side in size)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    basis = place_basis(path.normalise(grid, size)).reshape(2, 8, -1)
    energy = np.einsum("ckn,cln->kl", basis, basis) / basis.shape[-1]
    of_models = np.stack([model.sizes for model in models])
    sizes, energy = (
        torch.from_numpy(part).to(reach.device, non_blocking=True) for part in (of_models, energy)
    )
    sizes = sizes.expand(*reach.shape, *sizes.shape)
    return CameraPaths(torch.zeros_like(sizes), sizes, size, reach.double()[..., None], energy)


def time_basis(instant: Tensor, reach: Tensor) -> Tensor:
    """(..., 4) float64 uniform motion since t = 1/2, then `deviation_basis`."""
    deviations: Tensor = deviation_basis(instant, reach)
    return torch.cat(((instant.double() - 0.5)[..., None], deviations.double()), dim=-1)


def normalise(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Points (..., 2) relative to the centre of the image, in half diagonals."""
    x, y = ((pixels[..., axis] - (size[1 - axis] - 1) / 2) for axis in (0, 1))
    return torch.stack((x, y), dim=-1) / half_diagonal(size)
