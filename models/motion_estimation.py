"""Motion of a scene from a capture, by classical means: optical flow and least squares.

Near mid-height both exposures coincide: there the gap, and with it all evidence of motion,
vanishes, and whatever displacement is left is parallax. Least squares on displacements weigh
evidence by the squared gap by themselves; what is missing comes from the motion of the camera and,
within surfaces of one colour, from above and below.

"""

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from models.camera_motion import Matches, fit_camera_motion
from models.camera_path import swing_basis
from models.camera_refinement import refine_camera_motion
from models.flow_dis import to_luma
from models.flow_measurement import Measurement, measure_motion
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
from models.object_motion import find_lost_objects
from models.parallax import estimate_parallax
from models.smoothing import affinity, diffuse, edge_weight

Array = npt.NDArray[np.float32]

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
    height, width = t2b.shape[:2]
    first, second = measure_motion(t2b, b2t, scan)
    parallax = estimate_parallax(first, second)
    between = parallax.at(np.arange(width, dtype=np.float32))
    measurements = (
        first._replace(flow=first.flow - between),
        second._replace(flow=second.flow + between),
    )
    matches = Matches(*map(np.concatenate, zip(*map(_thin_out, measurements), strict=True)))
    motion = fit_camera_motion(matches, (height, width), reach_of(scan, height))
    views = to_luma(t2b), to_luma(b2t)
    motion = refine_camera_motion(motion, views, scan, parallax)
    x, y = cell_centres(-(-height // CELL), -(-width // CELL))
    camera = motion.velocity(x, y)
    field = MotionField(camera, camera, motion.swing(x, y), parallax, measurements, scan)
    cells = _to_cells(t2b), _to_cells(b2t)
    field = _add_deviations(field, cells)
    velocity, found = find_lost_objects(views, cells, field)
    return _add_deviations(field, cells, (velocity, found)) if found.any() else field


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


def _add_deviations(
    field: MotionField,
    images: tuple[Array, Array],
    objects: tuple[Array, npt.NDArray[np.bool_]] | None = None,
) -> MotionField:
    """Add to the camera's velocity what the measurements ask for, smooth within surfaces.

    In the cells of `objects` (velocities, which cells) these count in place of measurements.
    """
    deviation = np.zeros_like(field.camera)
    for turn in range(_ROUNDS):
        velocity = field.camera + deviation
        weight, pull = _gather(field, velocity)
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


def _gather(field: MotionField, velocity: Array) -> tuple[Array, Array]:
    """Normal equations of each cell at t = 1/2: weight (h, w) and weighted velocity (h, w, 2)."""
    rows, columns = velocity.shape[:2]
    sums = np.zeros((3, rows * columns))
    for measurement in field.measurements:
        thinned = Measurement(*(part[::2, ::2] for part in measurement))
        (x, y), here, swing = _meet_middle(field, thinned, velocity)
        elapsed = swing_basis(thinned.own + thinned.gap, field.reach)
        elapsed -= swing_basis(thinned.own, field.reach)
        uniform = thinned.flow - swung(swing, elapsed)
        error = length_of(uniform - here * thinned.gap[..., None])
        trust = thinned.confidence * _OUTLIER / np.maximum(error, _OUTLIER)
        column, row = (np.floor((place + 0.5) / CELL).astype(np.int64) for place in (x, y))
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cell = (row * columns + column)[inside]
        values = (thinned.gap, uniform[..., 0], uniform[..., 1])
        for total, value in zip(sums, values, strict=True):
            total += np.bincount(cell, (trust * thinned.gap * value)[inside], rows * columns)
    means = (sums / (2 * (CELL / 2) ** 2)).reshape(3, rows, columns).astype(np.float32)
    return means[0], np.moveaxis(means[1:], 0, -1)


def _meet_middle(
    field: MotionField, measurement: Measurement, velocity: Array
) -> tuple[tuple[Array, Array], Array, Array]:
    """Places at t = 1/2 of every second pixel of a view, and velocity and swing there."""
    flow, own = measurement.flow, measurement.own
    y, x = np.mgrid[0 : 2 * own.shape[0] : 2, 0 : 2 * own.shape[1] : 2].astype(np.float32)
    until_middle = -swing_basis(own, field.reach)
    middle = x + 0.5 * flow[..., 0], y + 0.5 * flow[..., 1]
    for _ in range(2):
        here, swing = sample_cells(velocity, middle), sample_swing(field.swing, middle)
        move = here * (0.5 - own)[..., None] + swung(swing, until_middle)
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
