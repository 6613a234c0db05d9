"""How the scene moved between the two exposures, by classical means: optical flow and least squares.

A point is exposed at one instant in t2b and at another in b2t; the flow between the images is its
displacement over that gap. Displacements from instant a to instant b are modelled as

    velocity * (b - a) + swing * (h(b) - h(a)),    h odd about 1/2 and zero at 0, 1/2 and 1,

`swing` being what a shaking camera adds to uniform motion. Deviations that are even about 1/2 leave
no trace in a pair, since both exposures of a point lie almost symmetrically about 1/2.

Near mid-height both exposures coincide: there the gap, and with it all evidence of motion,
vanishes, and whatever displacement is left is parallax. Least squares on displacements weigh
evidence by the squared gap by themselves; what is missing comes from the motion of the camera and,
within surfaces of one colour, from above and below.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels per readout.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera_motion import CameraMotion, fit_camera_motion, swing_basis
from models.flow_dis import search_flow, to_luma

Array = npt.NDArray[np.float32]

CELL = 4
"""Side in pixels of the cells that velocities are estimated for."""

_TRUSTED_ERROR = 1.5  # px by which the flows there and back may miss each other
_OUTLIER = 1.0  # px of displacement beyond which a measurement counts less
_SMOOTHNESS, _LEAST_AFFINITY, _COLOUR_RANGE = 0.02, 0.02, 0.06
_EDGE_STEP = 1.0  # px per readout: larger steps between cells count linearly
_PULL = 1e-3  # towards the camera's motion
_ROUNDS, _ITERATIONS = 2, 40
_LEAST_PARALLAX = 1.0  # px
_PARALLAX_GAP, _PARALLAX_STRIP, _PARALLAX_PIXELS = 0.12, 40, 100


class Measurement(NamedTuple):
    """What the flow from one view to the other says about motion, at each pixel of the view.

    Attributes:
        flow: (H, W, 2) displacement to the other view, less the parallax.
        own: (H, W) instant at which the pixel was exposed.
        gap: (H, W) instant at which its match was exposed, less `own`.
        confidence: (H, W) in [0, 1].
    """

    flow: Array
    own: Array
    gap: Array
    confidence: Array


@dataclass(frozen=True)
class MotionField:
    """Motion of everything in a capture.

    Attributes:
        velocity: (h, w, 2) of what each cell shows at t = 1/2.
        camera: (h, w, 2) velocity that the camera's motion alone would give.
        swing: (h, w, 2, N) coefficients of the deviations (`camera_motion.swing_basis`).
        parallax: (2,) constant displacement from t2b to b2t at equal instants, px.
        measurements: of t2b and of b2t.
        scan: exposure instant of the first t2b row, and the step to the next row.
    """

    velocity: Array
    camera: Array
    swing: Array
    parallax: Array
    measurements: tuple[Measurement, Measurement]
    scan: tuple[float, float]


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
    flows = _flows(t2b, b2t)
    raw = tuple(_measure(flows[view], flows[1 - view], scan, bool(view)) for view in (0, 1))
    parallax = _estimate_parallax(raw[0])
    measurements = (
        raw[0]._replace(flow=raw[0].flow - parallax),
        raw[1]._replace(flow=raw[1].flow + parallax),
    )
    size = t2b.shape[:2]
    model = fit_camera_motion([_coarse(measurement, size) for measurement in measurements], size)
    rows, columns = -(-size[0] // CELL), -(-size[1] // CELL)
    x, y = cell_centres(rows, columns)
    camera, swing = model.velocity(x, y), model.swing(x, y)
    field = MotionField(camera, camera, swing, parallax, measurements, scan)
    images = (_to_cells(t2b), _to_cells(b2t))
    return _solve(field, images)


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
    velocity, swing = _advance(field, t, velocity, x, y)
    views = []
    for view, measurement in enumerate(field.measurements):
        side = 0.5 if view else -0.5
        start = x + side * field.parallax[0], y + side * field.parallax[1]
        exposed = _meet_scan(start, velocity, swing, t, field.scan, bottom_up=bool(view))
        mismatch = np.zeros_like(x)
        if with_mismatch:
            mismatch = _mismatch(measurement, exposed, velocity, swing)
        views.append(Sampling(*exposed, mismatch))
    return views[0], views[1]


def cell_centres(rows: int, columns: int) -> tuple[Array, Array]:
    """Pixel coordinates (x, y) of the centres of cells, each (rows, columns)."""
    x = (np.arange(columns, dtype=np.float32) + 0.5) * CELL - 0.5
    y = (np.arange(rows, dtype=np.float32) + 0.5) * CELL - 0.5
    grid = np.meshgrid(x, y)
    return grid[0], grid[1]


def _flows(t2b: Array, b2t: Array) -> tuple[Array, Array]:
    """DIS flow from t2b to b2t and back."""
    first, second = to_luma(t2b), to_luma(b2t)
    with ThreadPoolExecutor(2) as pool:
        there, back = pool.map(search_flow, (first, second), (second, first))
    return there, back


def _measure(flow: Array, back: Array, scan: tuple[float, float], bottom_up: bool) -> Measurement:
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    error = ((flow + _sample(back, x, y)) ** 2).sum(-1)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    own, match = scan[0] + scan[1] * rows, 1 - scan[0] - scan[1] * y
    if bottom_up:
        own, match = 1 - own, 1 - match
    confidence = np.exp(-error / (2 * _TRUSTED_ERROR**2)) * inside
    return Measurement(flow, own, match - own, confidence.astype(np.float32))


def _estimate_parallax(measurement: Measurement) -> Array:
    """Constant displacement where both views are exposed at once; zero if there is hardly any.

    In strips of columns flow is a line over the gap; its value at no gap is the parallax.
    """
    band = (np.abs(measurement.gap) < _PARALLAX_GAP) & (measurement.confidence > 0.5)
    width = band.shape[1]
    found = []
    for left in range(0, width, _PARALLAX_STRIP):
        strip = (slice(None), slice(left, left + _PARALLAX_STRIP))
        chosen = band[strip]
        if np.count_nonzero(chosen) >= _PARALLAX_PIXELS:
            found.append(
                _intercept(measurement.gap[strip][chosen], measurement.flow[strip][chosen])
            )
    parallax = np.median(found, axis=0).astype(np.float32) if found else np.zeros(2, np.float32)
    return parallax if np.hypot(*parallax) >= _LEAST_PARALLAX else np.zeros_like(parallax)


def _intercept(gap: Array, flow: Array) -> Array:
    """Robust value at no gap of lines through the components of `flow`."""
    terms = np.stack((gap, np.ones_like(gap)), axis=1)
    weight = np.ones_like(gap)
    for _ in range(3):
        weighted = terms * weight[:, None]
        line = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(2), weighted.T @ flow)
        residual = np.hypot(*(flow - terms @ line).T)
        weight = 1 / np.maximum(residual, 0.3)
    intercept: Array = line[1]
    return intercept


def _coarse(measurement: Measurement, size: tuple[int, int]) -> tuple[Array, ...]:
    """One pixel of each 8x8 with its approximate place at t = 1/2, for fitting the camera."""
    step = min(8, *size)
    flow, own, gap, confidence = (
        part[step // 2 :: step, step // 2 :: step] for part in measurement
    )
    columns = np.arange(step // 2, size[1], step, dtype=np.float32)
    rows = np.arange(step // 2, size[0], step, dtype=np.float32)
    x, y = np.meshgrid(columns, rows)
    share = np.clip((0.5 - own) * gap / (gap**2 + 1e-4), 0, 1)
    return x + flow[..., 0] * share, y + flow[..., 1] * share, own, gap, flow, confidence


def _solve(field: MotionField, images: tuple[Array, Array]) -> MotionField:
    """Add to the camera's velocity what the measurements ask for, smooth within surfaces."""
    deviation = np.zeros_like(field.camera)
    velocity = field.camera
    for turn in range(_ROUNDS):
        weight, pull = _gather(field, velocity)
        along_x, along_y = _affinity(_middle_image(field, velocity, images))
        prior = np.full_like(weight, _PULL)
        if turn:
            # Robust weights of the round before: sharp edges, and exactly the camera's motion
            # wherever nothing speaks against it.
            prior /= np.maximum(np.hypot(deviation[..., 0], deviation[..., 1]), _EDGE_STEP)
            along_x *= _robust(np.diff(deviation, axis=1))
            along_y *= _robust(np.diff(deviation, axis=0))
        target = pull - weight[..., None] * field.camera
        deviation = _diffuse(weight + prior, target, along_x, along_y, deviation)
        velocity = field.camera + deviation
    return MotionField(
        velocity, field.camera, field.swing, field.parallax, field.measurements, field.scan
    )


def _gather(field: MotionField, velocity: Array) -> tuple[Array, Array]:
    """Normal equations of each cell at t = 1/2: weight (h, w) and weighted velocity (h, w, 2)."""
    rows, columns = velocity.shape[:2]
    sums = np.zeros((3, rows * columns))
    for flow, own, gap, confidence in field.measurements:
        flow, own, gap, confidence = (
            part[::2, ::2] for part in (flow, own, gap, confidence)
        )
        y, x = np.mgrid[0 : 2 * own.shape[0] : 2, 0 : 2 * own.shape[1] : 2].astype(np.float32)
        middle = x + 0.5 * flow[..., 0], y + 0.5 * flow[..., 1]
        until_middle = swing_basis(np.float32(0.5)) - swing_basis(own)
        for _ in range(2):
            here, swing = _at(velocity, middle), _at_swing(field.swing, middle)
            move = here * (0.5 - own)[..., None] + (swing * until_middle[..., None, :]).sum(-1)
            middle = x + move[..., 0], y + move[..., 1]
        uniform = flow - (swing * (swing_basis(own + gap) - swing_basis(own))[..., None, :]).sum(-1)
        residual = uniform - here * gap[..., None]
        trust = confidence * _OUTLIER / np.maximum(np.hypot(*np.moveaxis(residual, -1, 0)), _OUTLIER)
        column, row = (np.floor((place + 0.5) / CELL).astype(np.int64) for place in middle)
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cell = (row * columns + column)[inside]
        for total, value in zip(sums, (gap, uniform[..., 0], uniform[..., 1]), strict=True):
            total += np.bincount(cell, (trust * gap * value)[inside], rows * columns)
    sums = (sums / (2 * (CELL / 2) ** 2)).reshape(3, rows, columns).astype(np.float32)
    return sums[0], np.moveaxis(sums[1:], 0, -1)


def _diffuse(
    weight: Array, target: Array, along_x: Array, along_y: Array, start: Array
) -> Array:
    """Minimise sum weight u^2 - 2 target u + affinity |difference of u|^2 by conjugate gradients."""
    diagonal = weight.copy()
    diagonal[:, :-1] += along_x
    diagonal[:, 1:] += along_x
    diagonal[:-1] += along_y
    diagonal[1:] += along_y
    scale = 1 / np.maximum(diagonal, 1e-12)[..., None]

    def apply(u: Array) -> Array:
        result = u * weight[..., None]
        across, down = np.diff(u, axis=1) * along_x[..., None], np.diff(u, axis=0) * along_y[..., None]
        result[:, 1:] += across
        result[:, :-1] -= across
        result[1:] += down
        result[:-1] -= down
        return result

    solution = start.copy()
    residual = target - apply(solution)
    direction = preconditioned = scale * residual
    energy = (residual * preconditioned).sum((0, 1))
    for _ in range(_ITERATIONS):
        image = apply(direction)
        step = energy / np.maximum((direction * image).sum((0, 1)), 1e-20)
        solution += step * direction
        residual -= step * image
        preconditioned = scale * residual
        previous, energy = energy, (residual * preconditioned).sum((0, 1))
        direction = preconditioned + energy / np.maximum(previous, 1e-20) * direction
    return solution


def _affinity(image: Array) -> tuple[Array, Array]:
    """How likely neighbouring cells belong to one surface: along x (h, w - 1), along y (h - 1, w)."""
    across, down = (
        _SMOOTHNESS
        * (np.exp(-(np.diff(image, axis=axis) ** 2).sum(-1) / (2 * _COLOUR_RANGE**2)) + _LEAST_AFFINITY)
        for axis in (1, 0)
    )
    return across, down


def _robust(step: Array) -> Array:
    weight: Array = _EDGE_STEP / np.maximum(np.hypot(step[..., 0], step[..., 1]), _EDGE_STEP)
    return weight


def _middle_image(field: MotionField, velocity: Array, images: tuple[Array, Array]) -> Array:
    """Mean of both views, reduced to cells and brought to t = 1/2."""
    views = sample_frame(field, 0.5, velocity, with_mismatch=False)
    brought = [_at(image, (view.x, view.y)) for image, view in zip(images, views, strict=True)]
    mean: Array = 0.5 * (brought[0] + brought[1])
    return mean


def _advance(
    field: MotionField, t: float, velocity: Array, x: Array, y: Array
) -> tuple[Array, Array]:
    """Velocity and swing of what is at (x, y) at instant `t`, given the field at t = 1/2."""
    until_middle = swing_basis(np.float32(0.5)) - swing_basis(np.float32(t))
    place = x, y
    for _ in range(3):
        here, swing = _at(velocity, place), _at_swing(field.swing, place)
        move = here * np.float32(0.5 - t) + swing @ until_middle
        place = x + move[..., 0], y + move[..., 1]
    return here, swing


def _meet_scan(
    start: tuple[Array, Array],
    velocity: Array,
    swing: Array,
    t: float,
    scan: tuple[float, float],
    *,
    bottom_up: bool,
) -> tuple[Array, Array, Array]:
    """Column, row and instant at which points, at `start` at instant t, are exposed."""
    first, pace = (1 - scan[0], -scan[1]) if bottom_up else scan
    closing = np.maximum(1 - velocity[..., 1] * pace, 0.2)  # a point must not outrun the scan
    move = np.zeros_like(velocity)
    for _ in range(3):
        row = (start[1] + move[..., 1] + velocity[..., 1] * (first - t)) / closing
        instant = first + pace * row
        elapsed = swing_basis(instant) - swing_basis(np.float32(t))
        move = (swing * elapsed[..., None, :]).sum(-1)
    column = start[0] + move[..., 0] + velocity[..., 0] * (instant - t)
    return column, row, instant


def _mismatch(
    measurement: Measurement, exposed: tuple[Array, Array, Array], velocity: Array, swing: Array
) -> Array:
    x, y, instant = exposed
    flow, gap = _sample(measurement.flow, x, y), _sample(measurement.gap, x, y)
    elapsed = swing_basis(instant + gap) - swing_basis(instant)
    predicted = velocity * gap[..., None] + (swing * elapsed[..., None, :]).sum(-1)
    mismatch: Array = np.hypot(*np.moveaxis(flow - predicted, -1, 0))
    return mismatch


def _at(values: Array, place: tuple[Array, Array]) -> Array:
    """Sample an array of cells (h, w, C) at pixel coordinates."""
    return _sample(values, (place[0] + 0.5) / CELL - 0.5, (place[1] + 0.5) / CELL - 0.5)


def _at_swing(swing: Array, place: tuple[Array, Array]) -> Array:
    flat = swing.reshape(*swing.shape[:2], -1)
    return _at(flat, place).reshape(*place[0].shape, *swing.shape[2:])


def _sample(values: Array, x: Array, y: Array) -> Array:
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)


def _to_cells(image: Array) -> Array:
    height, width = image.shape[:2]
    rows, columns = -(-height // CELL), -(-width // CELL)
    padding = ((0, rows * CELL - height), (0, columns * CELL - width), (0, 0))
    padded = np.pad(image, padding, mode="edge")
    return np.asarray(
        cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32
    )


__all__ = ["CELL", "CameraMotion", "MotionField", "Sampling", "estimate_motion", "sample_frame"]
