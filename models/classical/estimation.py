"""Estimation of a scene's motion from a capture, by optical flow and robust least squares.

Near mid-height both exposures coincide: the gap vanishes there, and with it all evidence of motion;
the displacement that is left is parallax. Least squares on displacements weights evidence by the
squared gap. What is missing comes from the camera's motion and, within surfaces of one colour, from
neighbouring cells.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from torch import Tensor

from models.camera.motion import Matches, fit_camera_motion
from models.camera.refinement import refine_camera_motion
from models.classical.evidence import Evidence, collect_evidence, gather
from models.classical.field import CELL, MotionField, cell_centres, length_of, warp_to_middle
from models.classical.lost_objects import find_lost_objects, match_features
from models.classical.smoothing import affinity, diffuse, edge_weight
from models.flow.dis import to_luma
from models.measurement.arrays import Array, Bools, Luma, library
from models.measurement.flow_measurement import (
    Measurement,
    compare_along_flow,
    measure_motion,
    measure_noise,
)
from models.measurement.parallax import estimate_parallax
from models.measurement.sampling import area_resize
from models.measurement.scan import Scan
from models.measurement.tensor_sampling import mean_in_cells

_PRIOR_WEIGHT = 1e-3  # of the camera's motion
_HUBER_SCALE = 1.0  # px per readout, of the loss of local motion
_ROUNDS = 2
BLOCK, MAX_BLOCKS = 8, 8200  # px a side, over which flow is averaged for the camera's motion


def estimate_motion(t2b: Array, b2t: Array, scan: Scan) -> MotionField:
    """Estimate the motion in a capture.

    Args:
        t2b: (H, W, 3) RGB float32 in [0, 1], at least 2 rows.
        b2t: (H, W, 3).
        scan: of t2b.
    """
    views = to_luma(t2b), to_luma(b2t)
    readout = scan.readout(len(t2b))
    scan = scan.in_readouts(readout)
    measured = measure_motion(views, scan, refined=True)
    with ThreadPoolExecutor(2) as pool:
        differences = list(pool.map(compare_along_flow, views, views[::-1], measured))
        # In parallel to the rest: it does not need the camera's motion.
        matching = pool.submit(match_features, views, measured, differences)
        still = _fit_camera(views, measured, scan)
        still = replace(still, readout=readout, noise=measure_noise(differences[0], measured[0]))
        evidence = collect_evidence(still, views)
        cells = to_cells(t2b), to_cells(b2t)
        field = add_local_motion(still, cells, evidence)
        objects = find_lost_objects(matching.result(), cells, field)
    return add_local_motion(still, cells, evidence, objects) if objects[1].any() else field


def _fit_camera(
    views: tuple[Luma, Luma], measurements: tuple[Measurement, Measurement], scan: Scan
) -> MotionField:
    """The field of a capture in which only the camera moves; the scan counts readouts."""
    height, width = measurements[0].own.shape
    columns = np.arange(width, dtype=np.float32)
    parallax = estimate_parallax(*measurements)
    matches = map(_block_matches, subtract_parallax(parallax.at(columns), measurements))
    motion = fit_camera_motion(
        Matches(*map(np.concatenate, zip(*matches, strict=True))),
        (height, width),
        scan.reach(height),
    )
    motion, parallax = refine_camera_motion(motion, views, scan, parallax)
    by_motion = subtract_parallax(parallax.at(columns), measurements)
    x, y = cell_centres(-(-height // CELL), -(-width // CELL))
    velocity = motion.velocity(x, y)
    return MotionField(velocity, velocity, motion.deviation(x, y), parallax, by_motion, scan)


def subtract_parallax(
    parallax: Array, measurements: tuple[Measurement, Measurement]
) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and b2t without the parallax (W, 2) of each column.

    Of a batch they and the parallax (B, 1, W, 2) are tensors.
    """
    t2b, b2t = measurements
    return t2b._replace(flow=t2b.flow - parallax), b2t._replace(flow=b2t.flow + parallax)


def _block_matches(measurement: Measurement) -> Matches:
    """Means over blocks of pixels, 8x8 of a 960x540 image and more of larger ones.

    The flow's errors are constant over search patches; a block covers all positions within one.
    """
    height, width = measurement.own.shape
    enlarged = math.ceil(math.sqrt(height * width / MAX_BLOCKS) / BLOCK)
    side = min(BLOCK * enlarged, height, width)
    rows, columns = height // side, width // side
    flow, own, gap, confidence = (
        area_resize(np.ascontiguousarray(part[: rows * side, : columns * side]), (columns, rows))
        for part in measurement
    )
    x, y = (side * np.arange(count) + (side - 1) / 2 for count in (columns, rows))
    place = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return Matches(
        place, own.ravel(), place + flow.reshape(-1, 2), (own + gap).ravel(), confidence.ravel()
    )


def add_local_motion(
    field: MotionField,
    images: tuple[Array, Array],
    evidence: Sequence[Evidence],
    objects: tuple[Array, Bools] | None = None,
) -> MotionField:
    """Add local motion, smooth within surfaces, to the camera's velocity by IRLS.

    In the cells of `objects` (velocities, which cells) these replace the measurements.
    """
    xp = library(field.camera)
    local: Array = xp.zeros_like(field.camera)
    for iteration in range(_ROUNDS):
        velocity = field.camera + local
        weight, pull = gather(field, velocity, evidence)
        if objects is not None:
            weight = xp.where(objects[1], 1.0, weight)
            pull = xp.where(objects[1][..., None], objects[0], pull)
        (first, second), _ = warp_to_middle(field, velocity, images)
        along_x, along_y = affinity(0.5 * (first + second))
        prior = xp.full_like(weight, _PRIOR_WEIGHT)
        if iteration:
            # Robust weights of the last iteration: they keep motion edges sharp, and weaken the
            # prior where the local motion is large.
            prior /= length_of(local).clip(_HUBER_SCALE, None)
            along_x *= edge_weight(local, axis=-2)
            along_y *= edge_weight(local, axis=-3)
        target = pull - weight[..., None] * field.camera
        local = diffuse(weight + prior, target, along_x, along_y, local)
    return replace(field, velocity=field.camera + local)


def to_cells(values: Array) -> Array:
    """Means over the cells of (H, W) or (H, W, C), whose border is repeated to whole cells."""
    if isinstance(values, Tensor):
        of_tensors: Array = mean_in_cells(values, CELL)
        return of_tensors
    rows, columns = (-(-side // CELL) for side in values.shape[:2])
    missing = rows * CELL - values.shape[0], columns * CELL - values.shape[1]
    padding = ((0, missing[0]), (0, missing[1]), (0, 0))[: values.ndim]
    return area_resize(np.pad(values, padding, mode="edge"), (columns, rows))
