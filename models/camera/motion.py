"""Motion of the camera from matches between the two views of a capture, by robust least squares.

Uniform motion and what is odd about mid-readout show plainly in a pair. What is even about it, such
as a steady acceleration, moves both exposures of a point alike, up to what vertical motion leaves:
that shifts the rows, so that the two instants no longer lie symmetrically about 1/2. The trace is
a few per cent of the deviation, but thousands of matches share it. It looks much like a picture
that shears, so one model knows even deviations and no shear, another shear alone, which is taken
where it clearly explains the matches better.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.camera.path import (
    RIGID,
    SHEARING,
    SWING_TERMS,
    CameraMotion,
    PathModel,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    sum_of_products,
    time_basis,
)
from models.measurement.statistics import geman_mcclure_weight

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_LEAST_MATCHES = 40  # of two equations each, for up to 18 coefficients
_STEPS = 11
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 8.0, 0.5, 0.7  # px
_ALIKE = 40  # neighbouring matches that err alike, and count as one against expectations
_LEAST_NOISE = 1e-6  # px squared; what a perfect fit leaves open is then not left to chance
_CLEARLY = 0.995  # of the other model's misfit: real shear brings 2 % and more


class Matches(NamedTuple):
    """Points seen in one view and found in the other.

    Attributes:
        place: (N, 2) pixels (x, y) in the one view.
        instant: (N,) of their exposure there.
        other_place: (N, 2) pixels in the other view.
        other_instant: (N,) of their exposure there.
        confidence: (N,) in [0, 1].
    """

    place: Array
    instant: Array
    other_place: Array
    other_instant: Array
    confidence: Array


def fit_camera_motion(matches: Matches, size: tuple[int, int], reach: float) -> CameraMotion:
    """Fit the motion that most of the image shares.

    Residuals count by 1 / (1 + r^2 / scale^2)^2, the scale shrinking step by step to 0.5 px: what
    moves by itself loses its influence. From too few matches the camera is taken to rest.

    Args:
        matches: from either view or both.
        size: (H, W) of the image.
        reach: of the exposures, as `swing_basis` takes it.
    """
    used = matches.confidence > 0.1
    at_rest = CameraMotion(np.zeros((8, 1 + SWING_TERMS)), size, reach, RIGID)
    if np.count_nonzero(used) < _LEAST_MATCHES:
        return at_rest
    equations = _Equations(Matches(*(part[used] for part in matches)), size, reach)
    rigid = equations.solve(at_rest)
    shearing = equations.solve(replace(at_rest, model=SHEARING))
    clearly = equations.misfit(shearing.path) < _CLEARLY * equations.misfit(rigid.path)
    return shearing if clearly else rigid


class _Equations:
    """Points are in the same place at t = 1/2, whichever view says so."""

    def __init__(self, matches: Matches, size: tuple[int, int], reach: float) -> None:
        self.diagonal = half_diagonal(size)
        self.confidence = matches.confidence.astype(np.float64)
        self.places = [normalise(place, size) for place in (matches.place, matches.other_place)]
        self.times = [
            np.ascontiguousarray(time_basis(instant, reach).T)
            for instant in (matches.instant, matches.other_instant)
        ]
        self.basis = [place_basis(place) for place in self.places]

    def solve(self, motion: CameraMotion) -> CameraMotion:
        """The motion of the same model that fits best, searched from this one."""
        scale, weight = _FIRST_SCALE, self.confidence
        slopes = self._slopes(motion.model)
        independent = max(len(weight) / _ALIKE, 1.0)
        for _ in range(_STEPS):
            residual = self.residual(motion.path)
            squared = (residual**2).sum(0)
            weight = self.confidence * geman_mcclure_weight(squared / scale**2)
            scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
            noise = (weight * squared).sum() / weight.sum() / 2 + _LEAST_NOISE
            share = weight / weight.sum() * independent / noise
            weighted = slopes * share
            along_x, along_y = map(sum_of_products, slopes, weighted)
            right = np.einsum("cn,ckn->k", residual, weighted)
            motion = motion.step(along_x + along_y, right)
        return motion

    def _slopes(self, model: PathModel) -> Doubles:
        """(2, K, N) change of the residual in px with each known coefficient, near no motion."""
        component, term = np.nonzero(model.known)
        here, there = (
            basis[:, component] * time[term]
            for basis, time in zip(self.basis, self.times, strict=True)
        )
        change: Doubles = self.diagonal * (here - there)
        return change

    def residual(self, path: Doubles) -> Doubles:
        """(2, N) px by which the views disagree about the place at t = 1/2."""
        here, there = (
            map_points(np.einsum("ck,kn->cn", path, time), place)
            for place, time in zip(self.places, self.times, strict=True)
        )
        return self.diagonal * (here - there)

    def misfit(self, path: Doubles) -> float:
        """Sum of the residuals' squares in px by confidence, none counting more than 0.5 px."""
        squared = (self.residual(path) ** 2).sum(0)
        return float((self.confidence * squared / (1 + squared / _LAST_SCALE**2)).sum())
