"""Camera motion from matches between the two views, by robust least squares with a prior.

Uniform motion and odd deviations show plainly in a pair. Even ones, such as a steady acceleration,
displace both exposures of a point alike, except where vertical motion shifts the rows, so that the
two exposure times are not symmetric about 1/2. That trace is a few per cent of the deviation, but
thousands of matches share it. Depth, lens distortion and errors of the flow leave traces of that
size, too: even deviations are believed only if the matches fit clearly better with them than
without. They resemble a shear of the image: another model has shear and no even deviations, and is
chosen only if it fits clearly better than the others.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from models.camera.path import (
    DEVIATION_TERMS,
    NOISE_FLOOR,
    RIGID,
    SHEARING,
    STEADY,
    CameraMotion,
    PathModel,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    sum_of_products,
    time_basis,
)
from models.measurement.arrays import Array, Doubles
from models.measurement.statistics import geman_mcclure_weight

MIN_CONFIDENCE = 0.1
MIN_MATCHES = 40  # of two equations each, for up to 18 coefficients
ITERATIONS = 11
FIRST_SCALE, LAST_SCALE, SCALE_DECAY = 8.0, 0.5, 0.7  # px
CORRELATED = 40  # neighbouring matches with equal errors: they count as one against the prior
EVEN_RATIO = 0.97  # of the misfit without even deviations: shaking cameras reach 0.9 and less
SHEAR_RATIO = 0.995  # of the rigid model's misfit: real shear improves it by 2 % and more


class Matches(NamedTuple):
    """N points seen in one view and found in the other."""

    place: Array  # (N, 2) pixels (x, y) in the one view
    instant: Array  # (N,) times of their exposure there
    other_place: Array  # (N, 2) pixels in the other view
    other_instant: Array  # (N,) times of their exposure there
    confidence: Array  # (N,) in [0, 1]


def fit_camera_motion(matches: Matches, size: tuple[int, int], reach: float) -> CameraMotion:
    """Fit the motion that most of the image shares, by IRLS with Geman-McClure weights.

    The loss's scale decreases from 8 to 0.5 px, so that moving objects lose their influence. With
    fewer than 40 matches the camera is taken to rest. Size (H, W) and reach are as in the result.
    """
    used = matches.confidence > MIN_CONFIDENCE
    at_rest = CameraMotion(np.zeros((8, 1 + DEVIATION_TERMS)), size, reach, RIGID)
    if np.count_nonzero(used) < MIN_MATCHES:
        return at_rest
    equations = _Equations(Matches(*(part[used] for part in matches)), size, reach)
    steady, rigid, shearing = (
        equations.solve(replace(at_rest, model=model)) for model in (STEADY, RIGID, SHEARING)
    )
    is_even = equations.misfit(rigid.path) < EVEN_RATIO * equations.misfit(steady.path)
    best = rigid if is_even else steady
    is_sheared = equations.misfit(shearing.path) < SHEAR_RATIO * equations.misfit(best.path)
    return shearing if is_sheared else best


class _Equations:
    """Both views must agree about each point's place at t = 1/2."""

    def __init__(self, matches: Matches, size: tuple[int, int], reach: float) -> None:
        self.diagonal = half_diagonal(size)
        self.confidence = matches.confidence.astype(np.float64)
        self.places = [normalise(place, size) for place in (matches.place, matches.other_place)]
        self.times = [
            np.ascontiguousarray(time_basis(instant, reach).T)
            for instant in (matches.instant, matches.other_instant)
        ]

    def solve(self, motion: CameraMotion) -> CameraMotion:
        """Fit a motion of the same model, starting from this one."""
        scale, weight = FIRST_SCALE, self.confidence
        slopes = self._slopes(motion.model)
        independent = max(len(weight) / CORRELATED, 1.0)
        for _ in range(ITERATIONS):
            residual = self._residual(motion.path)
            squared = (residual**2).sum(0)
            weight = self.confidence * geman_mcclure_weight(squared / scale**2)
            scale = max(scale * SCALE_DECAY, LAST_SCALE)
            noise = (weight * squared).sum() / weight.sum() / 2 + NOISE_FLOOR
            weighted = slopes * (weight / weight.sum() * independent / noise)
            along_x, along_y = map(sum_of_products, slopes, weighted)
            motion = motion.step(along_x + along_y, np.einsum("cn,ckn->k", residual, weighted))
        return motion

    def _slopes(self, model: PathModel) -> Doubles:
        """(2, K, N) derivative in px of the residual by each free coefficient, at rest."""
        component, term = np.nonzero(model.known)
        here, there = (
            place_basis(place)[:, component] * time[term]
            for place, time in zip(self.places, self.times, strict=True)
        )
        return self.diagonal * (here - there)

    def _residual(self, path: Doubles) -> Doubles:
        """(2, N) px between the places at t = 1/2 according to both views."""
        here, there = (
            map_points(np.einsum("ck,kn->cn", path, time), place)
            for place, time in zip(self.places, self.times, strict=True)
        )
        return self.diagonal * (here - there)

    def misfit(self, path: Doubles) -> float:
        """Geman-McClure loss with a scale of 0.5 px, in px², weighted by confidence."""
        squared = (self._residual(path) ** 2).sum(0)
        return float((self.confidence * squared / (1 + squared / LAST_SCALE**2)).sum())
