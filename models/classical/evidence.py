"""What the two views of a capture say about motion that their camera's does not explain.

Where exposures nearly coincide, a tenth of a pixel of flow is a pixel per readout and more. Flow
errs by as much along edges, in weak texture and in noise, and there the views agree along the
camera's motion, too: what counts is how much worse they do.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera.path import swing_basis
from models.classical.field import CELL, MotionField, length_of, sample_cells, sample_swing, swung
from models.measurement.flow_measurement import Measurement
from models.measurement.sampling import SmoothedView, sample_image
from models.measurement.statistics import fit_levels

Array = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]

_STRIDE = 2  # px between the pixels that are asked
_OUTLIER = 1.0  # px of displacement beyond which a measurement counts less
_WINDOW = 21  # of these pixels a side, over which views are compared
_WORST = 30.0  # grey levels of difference; any larger one counts as much
_LEAST_NOISE = 1.0  # grey levels that any two images differ by
# Squared differences along the camera's motion, against those along flow: up to the first, flow
# says nothing that the camera does not; from the second on, it is believed.
_AS_GOOD, _WORSE = 1.05, 2.0
_CERTAIN, _THINNED = 0.5, 16  # confidence; one of so many pixels tells how bright the views are


class Evidence(NamedTuple):
    """What every second pixel of a view says about motion.

    Attributes:
        place: (x, y) (h, w) where a camera between both sees what the pixels show, in px.
        measured: at these pixels; flow that the images do not ask for is the camera's.
        until_middle: (h, w, N) change of `swing_basis` from the pixel's exposure to t = 1/2.
        elapsed: (h, w, N) change from the pixel's exposure to its match's.
    """

    place: tuple[Array, Array]
    measured: Measurement
    until_middle: Array
    elapsed: Array


def collect_evidence(still: MotionField, views: tuple[Luma, Luma]) -> tuple[Evidence, Evidence]:
    """The evidence of t2b and of b2t, drawn to the camera's motion where that explains as much.

    Args:
        still: the field of a capture in which nothing moves by itself.
        views: t2b and b2t, luma (H, W) each.
    """
    smoothed = [SmoothedView.of(view).level for view in views]
    every = (slice(None, None, _STRIDE),) * 2

    def of_view(view: int) -> Evidence:
        measured = Measurement(*(part[every] for part in still.measurements[view]))
        y, x = _STRIDE * np.indices(measured.own.shape, np.float32)
        until_middle = -swing_basis(measured.own, still.reach)
        matched = swing_basis(measured.own + measured.gap, still.reach)
        between = (-1 if view else 1) * still.parallax.at(x)
        place = x + between[..., 0] / 2, y + between[..., 1] / 2
        evidence = Evidence(place, measured, until_middle, matched + until_middle)
        _, velocity, swing = _meet_middle(still, evidence, still.camera)
        expected = velocity * measured.gap[..., None] + swung(swing, evidence.elapsed)
        others = [
            sample_image(smoothed[1 - view], x + shift[..., 0], y + shift[..., 1])
            for shift in (expected + between, measured.flow + between)
        ]
        seen = smoothed[view][every]
        departing = _departure(seen, others[0], others[1], measured.confidence)
        flow = expected + departing[..., None] * (measured.flow - expected)
        return evidence._replace(measured=measured._replace(flow=flow))

    with ThreadPoolExecutor(2) as pool:
        t2b, b2t = pool.map(of_view, (0, 1))
    return t2b, b2t


def _departure(seen: Array, expected: Array, matched: Array, confidence: Array) -> Array:
    """How far (h, w) a view's pixels speak for their flow, and against the camera's; 0 to 1.

    Args:
        seen: (h, w) grey levels of the view.
        expected: (h, w) of the other, where the camera's motion leads.
        matched: (h, w) of the other, where flow leads.
        confidence: (h, w) in flow.
    """
    certain = confidence > _CERTAIN
    gain, offset = fit_levels(*(part[certain][::_THINNED] for part in (seen, matched)))
    as_bright = gain * seen + offset
    worst = np.float32(_WORST**2)
    along_camera, along_flow = (
        cv2.boxFilter(
            np.minimum((as_bright - other) ** 2, worst),
            -1,
            (_WINDOW, _WINDOW),
            borderType=cv2.BORDER_REPLICATE,
        )
        for other in (expected, matched)
    )
    ratio = (along_camera + _LEAST_NOISE**2) / (along_flow + _LEAST_NOISE**2)
    return np.asarray(((ratio - _AS_GOOD) / (_WORSE - _AS_GOOD)).clip(0, 1), np.float32)


def gather(
    field: MotionField, velocity: Array, evidence: Sequence[Evidence]
) -> tuple[Array, Array]:
    """Normal equations of each cell at t = 1/2: weight (h, w) and weighted velocity (h, w, 2).

    Args:
        field: its swing is that of the capture.
        velocity: (h, w, 2) as far as it is known; measurements that differ count less.
        evidence: of t2b and of b2t.
    """
    with ThreadPoolExecutor(len(evidence)) as pool:
        first, second = pool.map(lambda view: _sum_in_cells(field, velocity, view), evidence)
    means = ((first + second) / (2 * (CELL / _STRIDE) ** 2)).astype(np.float32)
    return means[0], np.moveaxis(means[1:], 0, -1)


def _sum_in_cells(
    field: MotionField, velocity: Array, evidence: Evidence
) -> npt.NDArray[np.float64]:
    """(3, h, w) sums over what of a view meets a cell: weights, and weighted velocities."""
    rows, columns = velocity.shape[:2]
    (x, y), here, swing = _meet_middle(field, evidence, velocity)
    measured = evidence.measured
    uniform = measured.flow - swung(swing, evidence.elapsed)
    error = length_of(uniform - here * measured.gap[..., None])
    trust = measured.confidence * _OUTLIER / np.maximum(error, _OUTLIER)
    column, row = (np.floor((place + 0.5) / CELL).astype(np.int64) for place in (x, y))
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    cell = (row * columns + column)[inside]
    weight = trust * measured.gap
    sums = np.empty((3, rows * columns))
    for total, value in zip(sums, (measured.gap, *np.moveaxis(uniform, -1, 0)), strict=True):
        total[:] = np.bincount(cell, (weight * value)[inside], rows * columns)
    return sums.reshape(3, rows, columns)


def _meet_middle(
    field: MotionField, evidence: Evidence, velocity: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """Places at t = 1/2 of a view's pixels, and velocity and swing there."""
    (x, y), (flow, own, _, _) = evidence.place, evidence.measured
    middle = x + 0.5 * flow[..., 0], y + 0.5 * flow[..., 1]
    for _ in range(2):
        here, swing = sample_cells(velocity, middle), sample_swing(field.swing, middle)
        move = here * (0.5 - own)[..., None] + swung(swing, evidence.until_middle)
        middle = x + move[..., 0], y + move[..., 1]
    return middle, here, swing
