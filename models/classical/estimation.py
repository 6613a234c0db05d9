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

import cv2
import numpy as np
import numpy.typing as npt

from models.camera.motion import Matches, fit_camera_motion
from models.camera.refinement import refine_camera_motion
from models.classical.evidence import Evidence, collect_evidence, gather
from models.classical.field import (
    CELL,
    MotionField,
    cell_centres,
    length_of,
    sample_cells,
    sample_frame,
)
from models.classical.lost_objects import find_lost_objects, match_features
from models.classical.smoothing import affinity, diffuse, edge_weight
from models.flow.dis import FlowSearch, search_both_ways, to_luma
from models.measurement.flow_measurement import (
    Measurement,
    compare_along_flow,
    measure_motion,
    measure_noise,
)
from models.measurement.parallax import estimate_parallax
from models.measurement.scan import Scan

Array = npt.NDArray[np.float32]
Luma = npt.NDArray[np.uint8]

_PULL = 1e-3  # towards the camera's motion
_LEAST_STEP = 1.0  # px per readout: deviations from the camera's motion below it are not favoured
_ROUNDS = 2
_BLOCK, _MOST_BLOCKS = 8, 8200  # px a side, over which flow is averaged for the camera's motion


def estimate_motion(
    t2b: Array, b2t: Array, scan: Scan, *, search: FlowSearch = search_both_ways
) -> MotionField:
    """Estimate the motion in a capture.

    Args:
        t2b: (H, W, 3) RGB float32 in [0, 1], at least 2 rows.
        b2t: (H, W, 3).
        scan: of t2b.
        search: finds the flows between the views.
    """
    views = to_luma(t2b), to_luma(b2t)
    readout = scan.readout(len(t2b))
    scan = scan.in_readouts(readout)
    found = measure_motion(views, scan, refined=True, search=search)
    with ThreadPoolExecutor(2) as pool:
        brighter = list(pool.map(compare_along_flow, views, views[::-1], found))
        # Beside the rest: it does not need the camera's motion.
        matching = pool.submit(match_features, views, found, brighter)
        still = _find_camera_motion(views, found, scan)
        still = replace(still, readout=readout, noise=measure_noise(brighter[0], found[0]))
        evidence = collect_evidence(still, views)
        cells = _to_cells(t2b), _to_cells(b2t)
        field = _add_deviations(still, cells, evidence)
        objects = find_lost_objects(matching.result(), cells, field)
    return _add_deviations(still, cells, evidence, objects) if objects[1].any() else field


def _find_camera_motion(
    views: tuple[Luma, Luma],
    measurements: tuple[Measurement, Measurement],
    scan: Scan,
) -> MotionField:
    """The field of a capture in which nothing moves by itself.

    Args:
        views: t2b and b2t.
        measurements: of both, parallax included.
        scan: of t2b, in readouts.
    """
    height, width = measurements[0].own.shape
    columns = np.arange(width, dtype=np.float32)
    parallax = estimate_parallax(*measurements)
    thinned = map(_thin_out, _without(parallax.at(columns), measurements))
    matches = Matches(*map(np.concatenate, zip(*thinned, strict=True)))
    motion = fit_camera_motion(matches, (height, width), scan.reach(height))
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


def _add_deviations(
    field: MotionField,
    images: tuple[Array, Array],
    evidence: Sequence[Evidence],
    objects: tuple[Array, npt.NDArray[np.bool_]] | None = None,
) -> MotionField:
    """Add to the camera's velocity what the evidence asks for, smooth within surfaces.

    In the cells of `objects` (velocities, which cells) these count in place of measurements.
    """
    deviation = np.zeros_like(field.camera)
    for turn in range(_ROUNDS):
        velocity = field.camera + deviation
        weight, pull = gather(field, velocity, evidence)
        if objects is not None:
            weight[objects[1]], pull[objects[1]] = 1, objects[0][objects[1]]
        along_x, along_y = affinity(_middle_image(field, velocity, images))
        prior = np.full_like(weight, _PULL)
        if turn:
            # Robust weights of the round before: sharp edges, and large deviations are pulled
            # less towards the camera's motion.
            prior /= np.maximum(length_of(deviation), _LEAST_STEP)
            along_x *= edge_weight(deviation, axis=1)
            along_y *= edge_weight(deviation, axis=0)
        target = pull - weight[..., None] * field.camera
        deviation = diffuse(weight + prior, target, along_x, along_y, deviation)
    return replace(field, velocity=field.camera + deviation)


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
