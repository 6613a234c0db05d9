"""Camera paths of a batch from matches, as `models.camera.motion` fits one.

The three models are fitted together, and the best one of each capture is chosen on the device.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from models.camera import motion as single_capture
from models.camera.path import (
    NOISE_FLOOR,
    RIGID,
    SHEARING,
    STEADY,
    half_diagonal,
    map_points,
    place_basis,
)
from models.device_motion.camera_path import CameraPaths, at_rest, normalise, time_basis
from models.measurement.statistics import geman_mcclure_weight


class Matches(NamedTuple):
    """N points of each of B captures, seen in one view and found in the other."""

    place: Tensor  # (B, N, 2) pixels (x, y) in the one view
    instant: Tensor  # (B, N) times of their exposure there
    other_place: Tensor  # (B, N, 2) pixels in the other view
    other_instant: Tensor  # (B, N) times of their exposure there
    confidence: Tensor  # (B, N) in [0, 1]


def fit_camera_paths(matches: Matches, size: tuple[int, int], reach: Tensor) -> CameraPaths:
    """Fit the motions that most of each image shares, given reaches (B,)."""
    used = matches.confidence > single_capture.MIN_CONFIDENCE
    confidence = (matches.confidence * used).double()
    equations = _Equations(matches._replace(confidence=confidence), used.sum(1), size, reach)
    models = equations.solve(at_rest((STEADY, RIGID, SHEARING), size, reach))
    misfit = equations.misfit(models.path)
    steady, rigid, shearing = (
        replace(models, path=path, sizes=sizes, reach=reach.double())
        for path, sizes in zip(models.path.unbind(1), models.sizes.unbind(1), strict=True)
    )
    is_even = misfit[:, 1] < single_capture.EVEN_RATIO * misfit[:, 0]
    best, least = rigid.chosen(is_even, steady), torch.where(is_even, misfit[:, 1], misfit[:, 0])
    best = shearing.chosen(misfit[:, 2] < single_capture.SHEAR_RATIO * least, best)
    still = replace(rigid, path=torch.zeros_like(rigid.path))
    return best.chosen(used.sum(1) >= single_capture.MIN_MATCHES, still)


class _Equations:
    """Both views must agree about each point's place at t = 1/2."""

    def __init__(
        self, matches: Matches, count: Tensor, size: tuple[int, int], reach: Tensor
    ) -> None:
        self.diagonal = half_diagonal(size)
        self.confidence = matches.confidence[:, None]
        self.independent = (count.double() / single_capture.CORRELATED).clamp(min=1)[:, None]
        # Of all points in the one view, then in the other: (B, 2 N, ...)
        places = torch.cat((matches.place, matches.other_place), dim=1)
        self.places = normalise(places.double(), size)
        instants = torch.cat((matches.instant, matches.other_instant), dim=1)
        self.times = time_basis(instants, reach[:, None])
        moved = torch.einsum("ckbn,bnt->bcktn", place_basis(self.places), self.times)
        here, there = moved.chunk(2, -1)
        # (B, 1, 2, 32, N) derivative in px of the residual by each coefficient, at rest
        self.slopes = self.diagonal * (here - there).flatten(2, 3)[:, None]

    def solve(self, motion: CameraPaths) -> CameraPaths:
        """Fit M motions of each capture, starting from these, by IRLS."""
        scale = single_capture.FIRST_SCALE
        slopes = self.slopes * motion.known[:, :, None, :, None]
        for _ in range(single_capture.ITERATIONS):
            residual = self._residual(motion.path)
            squared = residual.square().sum(2)
            weight = self.confidence * geman_mcclure_weight(squared / scale**2)
            scale = max(scale * single_capture.SCALE_DECAY, single_capture.LAST_SCALE)
            total = weight.sum(-1).clamp(min=1e-12)
            noise = (weight * squared).sum(-1) / total / 2 + NOISE_FLOOR
            factor = (self.independent / total / noise)[..., None] * weight
            weighted = slopes * factor[:, :, None, None]
            normal = torch.einsum("bmckn,bmcln->bmkl", slopes, weighted)
            right = torch.einsum("bmcn,bmckn->bmk", residual, weighted)
            motion = motion.step(normal, right)
        return motion

    def _residual(self, path: Tensor) -> Tensor:
        """(B, M, 2, N) px between the places at t = 1/2 according to both views."""
        components = torch.einsum("bmkt,bnt->kbmn", path, self.times)
        here, there = map_points(components, self.places[:, None]).chunk(2, -1)
        return self.diagonal * (here - there).movedim(0, 2)

    def misfit(self, path: Tensor) -> Tensor:
        """(B, M) Geman-McClure losses with a scale of 0.5 px, in px², weighted by confidence."""
        squared = self._residual(path).square().sum(2)
        limited = squared / (1 + squared / single_capture.LAST_SCALE**2)
        return (self.confidence * limited).sum(-1)
