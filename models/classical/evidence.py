"""Evidence of local motion: flow that the camera's motion does not explain.

Where exposures nearly coincide, a tenth of a pixel of flow is a pixel per readout and more. Flow
errs by as much at edges, in weak texture and in noise, but there the views match along the camera's
motion, too. Flow therefore counts only as far as the views match worse along the camera's motion.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.camera.path import deviation_basis
from models.classical.field import CELL, MotionField, displacement_of, length_of, sample_motion
from models.measurement.arrays import Array, Luma, every_nth, library, map_views
from models.measurement.flow_measurement import Measurement
from models.measurement.sampling import SmoothedView, box_mean, pixel_grid, sample_image
from models.measurement.statistics import match_levels

_STRIDE = 2  # px between the pixels that are used
_HUBER_SCALE = 1.0  # px of displacement
_WINDOW = 21  # such pixels a side, over which views are compared
_MAX_DIFFERENCE = 30.0  # grey levels
_MIN_NOISE = 1.0  # grey levels by which any two images differ
# Mean squared difference along the camera's motion over that along flow: up to the first value,
# flow is ignored; from the second one on, it is believed.
_BELIEF_START, _BELIEF_END = 1.05, 2.0
_BRIGHTNESS_STRIDE = 16  # one of so many pixels is used to fit gain and offset


class Evidence(NamedTuple):
    """Measured motion at every second pixel of a view."""

    place: tuple[Array, Array]  # (x, y) px at which a camera between both sees what they show
    measured: Measurement  # flow that the images do not support is the camera's
    until_middle: Array  # (h, w, N) change of `deviation_basis` from the exposure to t = 1/2
    elapsed: Array  # (h, w, N) change from the exposure to that of the match


def collect_evidence(still: MotionField, views: tuple[Luma, Luma]) -> tuple[Evidence, Evidence]:
    """Evidence of t2b and of b2t; flow is drawn to the camera's where that explains as much.

    The field is that of a capture in which only the camera moves.
    """
    smoothed = [SmoothedView.of(view).level for view in views]
    x, y = pixel_grid(views[0].shape[-2:], _STRIDE, like=views[0])

    def collect(level: Array, view: int) -> Evidence:
        measured = Measurement(*(every_nth(part, _STRIDE) for part in still.measurements[view]))
        until_middle = -deviation_basis(measured.own, still.reach)
        matched = deviation_basis(measured.own + measured.gap, still.reach)
        between = (-1 if view else 1) * still.parallax.at(x)
        half = between / 2
        place = x + half[..., 0], y + half[..., 1]
        evidence = Evidence(place, measured, until_middle, matched + until_middle)
        _, velocity, deviation = _motion_at_middle(still, evidence, still.camera)
        by_camera = velocity * measured.gap[..., None]
        by_camera = by_camera + displacement_of(deviation, evidence.elapsed)
        along_camera, along_flow = (
            sample_image(smoothed[1 - view], x + shift[..., 0], y + shift[..., 1])
            for shift in (by_camera + between, measured.flow + between)
        )
        belief = _flow_belief(every_nth(level, _STRIDE), along_camera, along_flow, measured)
        flow = by_camera + belief[..., None] * (measured.flow - by_camera)
        return evidence._replace(measured=measured._replace(flow=flow))

    return map_views(collect, smoothed, (0, 1))


def _flow_belief(
    seen: Array, along_camera: Array, along_flow: Array, measured: Measurement
) -> Array:
    """Belief (h, w) in flow instead of the camera's motion, in [0, 1].

    From the grey levels (h, w) of a view, and of the other one displaced by either.
    """
    gain, offset = match_levels(seen, along_flow, measured.trusted, _BRIGHTNESS_STRIDE)
    predicted = gain * seen + offset
    by_camera, by_flow = (
        box_mean(((predicted - other) ** 2).clip(None, _MAX_DIFFERENCE**2), _WINDOW) + _MIN_NOISE**2
        for other in (along_camera, along_flow)
    )
    belief = (by_camera / by_flow - _BELIEF_START) / (_BELIEF_END - _BELIEF_START)
    xp = library(seen)
    limited: Array = xp.asarray(belief.clip(0, 1), dtype=xp.float32)
    return limited


def gather(
    field: MotionField, velocity: Array, evidence: Sequence[Evidence]
) -> tuple[Array, Array]:
    """Normal equations of each cell at t = 1/2: weight (h, w) and weighted velocity (h, w, 2).

    Measurements have Huber weights (IRLS) by their distance from the current velocity (h, w, 2).
    """
    xp = library(velocity)
    first, second = map_views(
        lambda velocity, view: _sum_in_cells(field, velocity, view), (velocity, velocity), evidence
    )
    means = (first + second) / (2 * (CELL / _STRIDE) ** 2)
    means = xp.asarray(means, dtype=xp.float32)
    return means[0], xp.moveaxis(means[1:], 0, -1)


def _sum_in_cells(field: MotionField, velocity: Array, evidence: Evidence) -> Any:
    """Sums (3, h, w) over the pixels that are in a cell: weights, and weighted velocities."""
    xp = library(velocity)
    rows, columns = velocity.shape[-3:-1]
    (x, y), here, deviation = _motion_at_middle(field, evidence, velocity)
    measured = evidence.measured
    uniform = measured.flow - displacement_of(deviation, evidence.elapsed)
    error = length_of(uniform - here * measured.gap[..., None])
    trust = measured.confidence * _HUBER_SCALE / error.clip(_HUBER_SCALE, None)
    column, row = (xp.asarray(xp.floor((place + 0.5) / CELL), dtype=xp.int64) for place in (x, y))
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    cell = row * columns + column
    weight = trust * measured.gap
    values = (measured.gap, uniform[..., 0], uniform[..., 1])
    if isinstance(weight, Tensor):
        return _sum_tensors(cell, [inside * weight * value for value in values], (rows, columns))
    cell = cell[inside]
    sums = [np.bincount(cell, (weight * value)[inside], rows * columns) for value in values]
    return np.array(sums, np.float64).reshape(3, rows, columns)


def _sum_tensors(cell: Tensor, values: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Sums (K, B, h, w) of K tensors (B, H, W) over the pixels of each cell; others must be 0."""
    count = size[0] * size[1]
    flat = torch.stack(tuple(values)).flatten(2)
    index = cell.flatten(1).clamp(0, count - 1).expand_as(flat)
    return flat.new_zeros(*flat.shape[:2], count).scatter_add(2, index, flat).unflatten(2, size)


def _motion_at_middle(
    field: MotionField, evidence: Evidence, velocity: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """Places of a view's pixels at t = 1/2, by fixed-point iterations; velocity and deviation."""
    (x, y), (flow, own, _, _) = evidence.place, evidence.measured
    middle = x + 0.5 * flow[..., 0], y + 0.5 * flow[..., 1]
    for _ in range(2):
        here, deviation = sample_motion(velocity, field.deviation, middle)
        move = here * (0.5 - own)[..., None] + displacement_of(deviation, evidence.until_middle)
        middle = x + move[..., 0], y + move[..., 1]
    return middle, here, deviation
