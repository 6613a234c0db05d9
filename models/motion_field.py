"""How the scene moved during the readout, by classical means: optical flow and least squares.

Displacements of a point from instant a to instant b are modelled as

    velocity * (b - a) + swing * (h(b) - h(a)),    h odd about 1/2 and zero at 0, 1/2 and 1,

`swing` being what a shaking camera adds to uniform motion. Deviations that are even about 1/2 leave
no trace in a pair, since both exposures of a point lie almost symmetrically about 1/2.

Near mid-height both exposures coincide: there the gap, and with it all evidence of motion,
vanishes, and whatever displacement is left is parallax. Least squares on displacements weigh
evidence by the squared gap by themselves; what is missing comes from the motion of the camera and,
within surfaces of one colour, from above and below.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels per readout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera_motion import fit_camera_motion, swing_basis
from models.flow_measurement import Measurement, measure_motion, sample_image
from models.parallax import Parallax, estimate_parallax
from models.smoothing import affinity, diffuse, edge_weight

Array = npt.NDArray[np.float32]

CELL = 4
"""Side in pixels of the cells that velocities are estimated for."""

_OUTLIER = 1.0  # px of displacement beyond which a measurement counts less
_PULL = 1e-3  # towards the camera's motion
_LEAST_STEP = 1.0  # px per readout: deviations from the camera's motion below it are not favoured
_ROUNDS = 2
_COARSE = 8  # px between the measurements that the camera's motion is fitted to
_SLOWEST_CLOSING = 0.2  # of the scan's pace: points must not outrun the scan


@dataclass(frozen=True)
class MotionField:
    """Motion of everything in a capture.

    Attributes:
        velocity: (h, w, 2) of what each cell shows at t = 1/2.
        camera: (h, w, 2) velocity that the camera's motion alone would give.
        swing: (h, w, 2, N) coefficients of the deviations (`camera_motion.swing_basis`).
        parallax: displacement from t2b to b2t at equal instants.
        measurements: of t2b and of b2t.
        scan: exposure instant of the first t2b row, and the step to the next row.
    """

    velocity: Array
    camera: Array
    swing: Array
    parallax: Parallax
    measurements: tuple[Measurement, Measurement]
    scan: tuple[float, float]

    @property
    def reach(self) -> float:
        """Time from t = 1/2 to the first or last exposure, whichever is longer."""
        return _reach(self.scan, self.measurements[0].own.shape[0])


class Sampling(NamedTuple):
    """Where a frame's cells were exposed in one view.

    Attributes:
        x: (h, w) column in pixels.
        y: (h, w) row in pixels.
        instant: (h, w) of the exposure.
        mismatch: (h, w) px between the displacement that motion predicts there and the flow seen:
            large where something else covers the point.
    """

    x: Array
    y: Array
    instant: Array
    mismatch: Array


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
    motion = fit_camera_motion(
        [_thin_out(part) for part in measurements], (height, width), _reach(scan, height)
    )
    x, y = cell_centres(-(-height // CELL), -(-width // CELL))
    camera = motion.velocity(x, y)
    field = MotionField(camera, camera, motion.swing(x, y), parallax, measurements, scan)
    return _add_deviations(field, (_to_cells(t2b), _to_cells(b2t)))


def sample_frame(
    field: MotionField, t: float, velocity: Array, *, with_mismatch: bool = True
) -> tuple[Sampling, Sampling]:
    """Where each cell of the frame at instant `t` was exposed in t2b and in b2t.

    Args:
        field: motion of the capture.
        t: in [0, 1].
        velocity: (h, w, 2) `field.velocity` or `field.camera`, given at t = 1/2.
        with_mismatch: whether to compare with the measurements; zeros otherwise.
    """
    rows, columns = velocity.shape[:2]
    x, y = cell_centres(rows, columns)
    velocity, swing = _advance(field, t, velocity, (x, y))
    between = field.parallax.at(x)
    views = []
    for view, measurement in enumerate(field.measurements):
        side = np.float32(0.5 if view else -0.5)
        start = x + side * between[..., 0], y + side * between[..., 1]
        exposed = _meet_scan(field, start, (velocity, swing), t, bottom_up=bool(view))
        mismatch = np.zeros_like(x)
        if with_mismatch:
            mismatch = _mismatch(measurement, exposed, (velocity, swing), field.reach)
        views.append(Sampling(*exposed, mismatch))
    return views[0], views[1]


def cell_centres(rows: int, columns: int) -> tuple[Array, Array]:
    """Pixel coordinates (x, y) of the centres of cells, each (rows, columns)."""
    x = (np.arange(columns, dtype=np.float32) + 0.5) * CELL - 0.5
    y = (np.arange(rows, dtype=np.float32) + 0.5) * CELL - 0.5
    grid = np.meshgrid(x, y)
    return grid[0], grid[1]


def _thin_out(measurement: Measurement) -> tuple[Array, ...]:
    """One pixel of each 8x8 with its approximate place at t = 1/2, as `fit_camera_motion` asks."""
    height, width = measurement.own.shape
    step = min(_COARSE, height, width)
    flow, own, gap, confidence = (
        part[step // 2 :: step, step // 2 :: step] for part in measurement
    )
    columns = np.arange(step // 2, width, step, dtype=np.float32)
    rows = np.arange(step // 2, height, step, dtype=np.float32)
    x, y = np.meshgrid(columns, rows)
    share = np.clip((0.5 - own) * gap / (gap**2 + 1e-4), 0, 1)
    return x + flow[..., 0] * share, y + flow[..., 1] * share, own, gap, flow, confidence


def _add_deviations(field: MotionField, images: tuple[Array, Array]) -> MotionField:
    """Add to the camera's velocity what the measurements ask for, smooth within surfaces."""
    deviation = np.zeros_like(field.camera)
    for turn in range(_ROUNDS):
        velocity = field.camera + deviation
        weight, pull = _gather(field, velocity)
        along_x, along_y = affinity(_middle_image(field, velocity, images))
        prior = np.full_like(weight, _PULL)
        if turn:
            # Robust weights of the round before: sharp edges, and exactly the camera's motion
            # wherever nothing speaks against it.
            prior /= np.maximum(_length(deviation), _LEAST_STEP)
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
        uniform = thinned.flow - _swung(swing, elapsed)
        error = _length(uniform - here * thinned.gap[..., None])
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
        here, swing = _at(velocity, middle), _at_swing(field.swing, middle)
        move = here * (0.5 - own)[..., None] + _swung(swing, until_middle)
        middle = x + move[..., 0], y + move[..., 1]
    return middle, here, swing


def _middle_image(field: MotionField, velocity: Array, images: Sequence[Array]) -> Array:
    """Mean of both views, reduced to cells and brought to t = 1/2."""
    views = sample_frame(field, 0.5, velocity, with_mismatch=False)
    brought = [_at(image, (view.x, view.y)) for image, view in zip(images, views, strict=True)]
    mean: Array = 0.5 * (brought[0] + brought[1])
    return mean


def _advance(
    field: MotionField, t: float, velocity: Array, place: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Velocity and swing of what is at `place` at instant `t`, given the field at t = 1/2."""
    until_middle = -swing_basis(np.float32(t), field.reach)
    middle = place
    for _ in range(3):
        here, swing = _at(velocity, middle), _at_swing(field.swing, middle)
        move = here * np.float32(0.5 - t) + swing @ until_middle
        middle = place[0] + move[..., 0], place[1] + move[..., 1]
    return here, swing


def _meet_scan(
    field: MotionField,
    start: tuple[Array, Array],
    motion: tuple[Array, Array],
    t: float,
    *,
    bottom_up: bool,
) -> tuple[Array, Array, Array]:
    """Column, row and instant at which points, at `start` at instant t, are exposed."""
    velocity, swing = motion
    first, pace = (1 - field.scan[0], -field.scan[1]) if bottom_up else field.scan
    closing = np.maximum(1 - velocity[..., 1] * pace, _SLOWEST_CLOSING)
    until_start = swing_basis(np.float32(t), field.reach)
    move = np.zeros_like(velocity)
    for _ in range(3):
        row = (start[1] + move[..., 1] + velocity[..., 1] * (first - t)) / closing
        instant = first + pace * row
        move = _swung(swing, swing_basis(instant, field.reach) - until_start)
    column = start[0] + move[..., 0] + velocity[..., 0] * (instant - t)
    return column, row, instant


def _mismatch(
    measurement: Measurement,
    exposed: tuple[Array, Array, Array],
    motion: tuple[Array, Array],
    reach: float,
) -> Array:
    x, y, instant = exposed
    velocity, swing = motion
    flow, gap = sample_image(measurement.flow, x, y), sample_image(measurement.gap, x, y)
    elapsed = swing_basis(instant + gap, reach) - swing_basis(instant, reach)
    return _length(flow - (velocity * gap[..., None] + _swung(swing, elapsed)))


def _reach(scan: tuple[float, float], height: int) -> float:
    first, last = scan[0], scan[0] + scan[1] * (height - 1)
    return max(abs(first - 0.5), abs(last - 0.5))


def _swung(swing: Array, elapsed: Array) -> Array:
    """Displacement (..., 2) that a swing (..., 2, N) adds while its basis (..., N) changes so."""
    # Written out: NumPy sums short axes slowly.
    displacement: Array = swing[..., 0] * elapsed[..., :1] + swing[..., 1] * elapsed[..., 1:]
    return displacement


def _length(vectors: Array) -> Array:
    length: Array = np.hypot(vectors[..., 0], vectors[..., 1])
    return length


def _at(values: Array, place: tuple[Array, Array]) -> Array:
    """Sample an array of cells (h, w, C) at pixel coordinates."""
    x, y = (np.asarray((part + 0.5) / CELL - 0.5, np.float32) for part in place)
    return sample_image(values, x, y)


def _at_swing(swing: Array, place: tuple[Array, Array]) -> Array:
    flat = swing.reshape(*swing.shape[:2], -1)
    return _at(flat, place).reshape(*place[0].shape, *swing.shape[2:])


def _to_cells(image: Array) -> Array:
    height, width = image.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    padding = ((0, rows * CELL - height), (0, columns * CELL - width), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    return np.asarray(
        cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32
    )
