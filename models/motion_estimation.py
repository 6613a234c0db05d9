"""Motion of a scene from a capture, by classical means: optical flow and least squares.

Near mid-height both exposures coincide: there the gap, and with it all evidence of motion,
vanishes, and whatever displacement is left is parallax. Least squares on displacements weigh
evidence by the squared gap by themselves; what is missing comes from the motion of the camera and,
within surfaces of one colour, from above and below.

"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera_motion import Matches, fit_camera_motion
from models.camera_path import swing_basis
from models.camera_refinement import refine_camera_motion
from models.flow_dis import to_luma
from models.flow_measurement import (
    Measurement,
    compare_along_flow,
    measure_motion,
    measure_noise,
)
from models.motion_field import (
    CELL,
    MotionField,
    cell_centres,
    length_of,
    reach_of,
    sample_cells,
    sample_frame,
    sample_swing,
    swung,
)
from models.object_motion import find_lost_objects, match_features
from models.parallax import estimate_parallax
from models.smoothing import affinity, diffuse, edge_weight

Array = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]

_OUTLIER = 1.0  # px of displacement beyond which a measurement counts less
_PULL = 1e-3  # towards the camera's motion
_LEAST_STEP = 1.0  # px per readout: deviations from the camera's motion below it are not favoured
_ROUNDS = 2
_BLOCK, _MOST_BLOCKS = 8, 8200  # px a side, over which flow is averaged for the camera's motion


def estimate_motion(t2b: Array, b2t: Array, scan: tuple[float, float]) -> MotionField:
    """Estimate the motion in a capture.

    Args:
        t2b: (H, W, 3) RGB float32 in [0, 1], at least 2 rows.
        b2t: (H, W, 3).
        scan: exposure instant of the first t2b row, and the step to the next row.
    """
    views = to_luma(t2b), to_luma(b2t)
    found = measure_motion(views, scan, refined=True)
    with ThreadPoolExecutor(2) as pool:
        brighter = list(pool.map(compare_along_flow, views, views[::-1], found))
        # Meanwhile: what it takes does not wait for the camera's motion.
        matching = pool.submit(match_features, views, found, brighter)
        still = _find_camera_motion(views, found, scan)
        still = replace(still, noise=measure_noise(brighter[0], found[0]))
        evidence = [_Evidence.of(measurement, still.reach) for measurement in still.measurements]
        cells = _to_cells(t2b), _to_cells(b2t)
        field = _add_deviations(still, cells, evidence)
        objects = find_lost_objects(matching.result(), cells, field)
    return _add_deviations(still, cells, evidence, objects) if objects[1].any() else field


def _find_camera_motion(
    views: tuple[Luma, Luma],
    measurements: tuple[Measurement, Measurement],
    scan: tuple[float, float],
) -> MotionField:
    """The field of a capture in which nothing moves by itself.

    Args:
        views: t2b and b2t.
        measurements: of both, parallax included.
        scan: as `estimate_motion` takes it.
    """
    height, width = measurements[0].own.shape
    columns = np.arange(width, dtype=np.float32)
    parallax = estimate_parallax(*measurements)
    thinned = map(_thin_out, _without(parallax.at(columns), measurements))
    matches = Matches(*map(np.concatenate, zip(*thinned, strict=True)))
    motion = fit_camera_motion(matches, (height, width), reach_of(scan, height))
    motion, parallax = refine_camera_motion(motion, views, scan, parallax)
    by_motion = _without(parallax.at(columns), measurements)
    x, y = cell_centres(-(-height // CELL), -(-width // CELL))
    camera = motion.velocity(x, y)
    return MotionField(camera, camera, motion.swing(x, y), parallax, by_motion, scan)


def _without(
    between: Array, measurements: tuple[Measurement, Measurement]
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and b2t less the parallax (W, 2) of each column."""
    first, second = measurements
    return first._replace(flow=first.flow - between), second._replace(flow=second.flow + between)


def _thin_out(measurement: Measurement) -> Matches:
    """Means over blocks of pixels, 8x8 of a 960x540 image and more of larger ones.

    The search errs by the places of its patches: a block covers all of them.
    """
    height, width = measurement.own.shape
    enlarged = math.ceil(math.sqrt(height * width / _MOST_BLOCKS) / _BLOCK)
    side = min(_BLOCK * enlarged, height, width)
    rows, columns = height // side, width // side
    flow, own, gap, confidence = (
        _mean_of_blocks(part[: rows * side, : columns * side], (columns, rows))
        for part in measurement
    )
    x, y = (side * np.arange(count) + (side - 1) / 2 for count in (columns, rows))
    place = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return Matches(
        place, own.ravel(), place + flow.reshape(-1, 2), (own + gap).ravel(), confidence.ravel()
    )


def _mean_of_blocks(values: Array, size: tuple[int, int]) -> Array:
    """Means of values (H, W) or (H, W, C) over so many (columns, rows) of equal blocks."""
    means = cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_AREA)
    return np.asarray(means, dtype=np.float32)


class _Evidence(NamedTuple):
    """What every second pixel of a view says about motion, but for what that takes to know.

    Attributes:
        place: (x, y) (h, w) pixels of the view.
        measured: at these pixels.
        until_middle: (h, w, N) change of `swing_basis` from the pixel's exposure to t = 1/2.
        elapsed: (h, w, N) change from the pixel's exposure to its match's.
    """

    place: tuple[Array, Array]
    measured: Measurement
    until_middle: Array
    elapsed: Array

    @classmethod
    def of(cls, measurement: Measurement, reach: float) -> "_Evidence":
        """The evidence of a measurement, for exposures within a reach of t = 1/2."""
        height, width = measurement.own.shape
        y, x = np.mgrid[0:height:2, 0:width:2].astype(np.float32)
        measured = Measurement(*(part[::2, ::2] for part in measurement))
        until_middle = -swing_basis(measured.own, reach)
        matched = swing_basis(measured.own + measured.gap, reach)
        return cls((x, y), measured, until_middle, matched + until_middle)


def _add_deviations(
    field: MotionField,
    images: tuple[Array, Array],
    evidence: Sequence[_Evidence],
    objects: tuple[Array, npt.NDArray[np.bool_]] | None = None,
) -> MotionField:
    """Add to the camera's velocity what the evidence asks for, smooth within surfaces.

    In the cells of `objects` (velocities, which cells) these count in place of measurements.
    """
    deviation = np.zeros_like(field.camera)
    for turn in range(_ROUNDS):
        velocity = field.camera + deviation
        weight, pull = _gather(field, velocity, evidence)
        if objects is not None:
            weight[objects[1]], pull[objects[1]] = 1, objects[0][objects[1]]
        along_x, along_y = affinity(_middle_image(field, velocity, images))
        prior = np.full_like(weight, _PULL)
        if turn:
            # Robust weights of the round before: sharp edges, and exactly the camera's motion
            # wherever nothing speaks against it.
            prior /= np.maximum(length_of(deviation), _LEAST_STEP)
            along_x *= edge_weight(deviation, axis=1)
            along_y *= edge_weight(deviation, axis=0)
        target = pull - weight[..., None] * field.camera
        deviation = diffuse(weight + prior, target, along_x, along_y, deviation)
    return replace(field, velocity=field.camera + deviation)


def _gather(
    field: MotionField, velocity: Array, evidence: Sequence[_Evidence]
) -> tuple[Array, Array]:
    """Normal equations of each cell at t = 1/2: weight (h, w) and weighted velocity (h, w, 2)."""
    with ThreadPoolExecutor(len(evidence)) as pool:
        first, second = pool.map(lambda view: _sum_in_cells(field, velocity, view), evidence)
    means = ((first + second) / (2 * (CELL / 2) ** 2)).astype(np.float32)
    return means[0], np.moveaxis(means[1:], 0, -1)


def _sum_in_cells(
    field: MotionField, velocity: Array, evidence: _Evidence
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
    field: MotionField, evidence: _Evidence, velocity: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """Places at t = 1/2 of a view's pixels, and velocity and swing there."""
    (x, y), (flow, own, _, _) = evidence.place, evidence.measured
    middle = x + 0.5 * flow[..., 0], y + 0.5 * flow[..., 1]
    for _ in range(2):
        here, swing = sample_cells(velocity, middle), sample_swing(field.swing, middle)
        move = here * (0.5 - own)[..., None] + swung(swing, evidence.until_middle)
        middle = x + move[..., 0], y + move[..., 1]
    return middle, here, swing


def _middle_image(field: MotionField, velocity: Array, images: Sequence[Array]) -> Array:
    """Mean of both views, reduced to cells and brought to t = 1/2."""
    views = sample_frame(field, 0.5, velocity, with_mismatch=False)
    brought = [
        sample_cells(image, (view.x, view.y)) for image, view in zip(images, views, strict=True)
    ]
    mean: Array = 0.5 * (brought[0] + brought[1])
    return mean


def _to_cells(image: Array) -> Array:
    height, width = image.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    padding = ((0, rows * CELL - height), (0, columns * CELL - width), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    return np.asarray(
        cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32
    )
