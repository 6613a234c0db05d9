"""Motion of a scene during the readout, and where its points are exposed in both views.

The displacement of a point from time a to time b is modelled as

    velocity * (b - a) + deviation * (h(b) - h(a)),    h = deviation_basis, zero at 1/2

where `deviation` is what a shaking camera adds to uniform motion (`models.camera.path`). Its even
term leaves only a faint trace in a pair, because both exposures of a point lie almost symmetrically
about 1/2: it is known for the camera, not for objects.

Times a and b count readouts: the weights of evidence, and limits on the motion of objects, must not
depend on the share of a frame interval that the readout takes.

Velocities and deviations are in pixels per readout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from models.camera.path import deviation_basis
from models.measurement.arrays import Array, library, read_numbers, single, to_array
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax
from models.measurement.sampling import coordinate_grid, sample_image
from models.measurement.scan import Scan
from models.measurement.tensor_sampling import enlarge_linearly

CELL = 4
"""Side in pixels of the cells for which velocities are estimated."""

_STEPS = 3  # fixed-point iterations


@dataclass(frozen=True)
class MotionField:
    """Motion of everything in a capture, or in a batch of captures.

    The fields of a batch are tensors with a leading B, its times and noise of (B, 1, 1).

    Attributes:
        velocity: (h, w, 2) at the places of t = 1/2.
        camera: (h, w, 2) velocity due to the camera's motion alone.
        deviation: (h, w, 2, N) coefficients of `deviation_basis`.
        parallax: displacement from t2b to b2t at equal times.
        measurements: of t2b and of b2t, in readouts.
        scan: of t2b, in readouts.
        readout: duration of a readout in frame intervals.
        noise: standard deviation of the noise of either view, in image values of [0, 1].
    """

    velocity: Array
    camera: Array
    deviation: Array
    parallax: Parallax
    measurements: tuple[Measurement, Measurement]
    scan: Scan
    readout: float = 1.0
    noise: float = 0.0

    @cached_property
    def reach(self) -> float:
        """Readouts from t = 1/2 to the farthest exposure."""
        return self.scan.reach(self.measurements[0].own.shape[-2])

    @property
    def on_host(self) -> "MotionField":
        """The field as arrays, brought from a device once; of a batch its only field."""
        return self._as_arrays if isinstance(self.velocity, Tensor) else self

    @cached_property
    def _as_arrays(self) -> "MotionField":
        first, row_time, readout, noise = read_numbers(*self.scan, self.readout, self.noise)
        velocity = to_array(self.velocity)
        return replace(
            self,
            velocity=velocity,
            camera=velocity if self.camera is self.velocity else to_array(self.camera),
            deviation=to_array(self.deviation),
            parallax=self.parallax.on_host,
            measurements=(self.measurements[0].on_host, self.measurements[1].on_host),
            scan=Scan(first, row_time),
            readout=readout,
            noise=noise,
        )

    def basis(self, instant: Array | np.float32) -> Array:
        """(..., N) functions of time that the deviations are coefficients of, 0 at t = 1/2."""
        return deviation_basis(instant, self.reach)

    def mismatch(self, view: int, exposed: "Moving") -> Array:
        """Distances (h, w) in px between the flow measured in a view and that predicted."""
        measurement, instant = self.measurements[view], exposed.instant
        flow, gap = (
            sample_image(part, exposed.x, exposed.y) for part in (measurement.flow, measurement.gap)
        )
        elapsed = self.basis(instant + gap) - self.basis(instant)
        predicted = exposed.velocity * gap[..., None]
        return length_of(flow - (predicted + displacement_of(exposed.deviation, elapsed)))


class Exposed(NamedTuple):
    """Where a frame's cells are exposed in one view.

    Attributes:
        x: (h, w) column in pixels.
        y: (h, w) row in pixels.
        offset: (h, w) readouts from the frame to the exposure.
        mismatch: (h, w) px between predicted displacement and measured flow there: large where the
            point is occluded.
    """

    x: Array
    y: Array
    offset: Array
    mismatch: Array


class Moving(NamedTuple):
    """Points where a view exposes them, and how they move."""

    x: Array  # (h, w) column in px
    y: Array  # (h, w) row in px
    instant: Array  # (h, w) time of the exposure
    velocity: Array  # (h, w, 2)
    deviation: Array  # (h, w, 2, N)
    middle: tuple[Array, Array]  # (x, y) px at t = 1/2


def sample_frame(
    field: MotionField,
    t: float,
    velocity: Array,
    *,
    with_mismatch: bool = True,
    place: tuple[Array, Array] | None = None,
) -> tuple[Exposed, Exposed]:
    """Find where each cell of the frame at time `t` is exposed in t2b and in b2t.

    Args:
        field: motion of the capture.
        t: in [0, 1], frame intervals; of a batch (B, 1, 1), or (B, n, 1) for each row of `place`.
        velocity: (h, w, 2) `field.velocity` or `field.camera`, given at t = 1/2.
        with_mismatch: whether to compare with the measurements; else `mismatch` is zero.
        place: points (x, y) in px; default: the centres of all cells.
    """
    instant = 0.5 + (t - 0.5) / field.readout
    x, y = place or cell_centres(*velocity.shape[-3:-1], like=velocity)
    steps = 1 if isinstance(t, float) and t == 0.5 else _STEPS
    middle, here, deviation = follow_to_middle(field, instant, velocity, (x, y), steps=steps)
    between = field.parallax.at(x)
    views = []
    for number, scan in enumerate((field.scan, field.scan.reversed)):
        side = number - 0.5
        start = x + side * between[..., 0], y + side * between[..., 1]
        met, exposure = _meet_scan(field, scan, start, (here, deviation), instant)
        mismatch: Array = library(x).zeros_like(x)
        if with_mismatch:
            moving = Moving(*met, exposure, here, deviation, middle)
            mismatch = field.mismatch(number, moving)
        views.append(Exposed(*met, exposure - single(instant), mismatch))
    return views[0], views[1]


def cell_centres(rows: int, columns: int, *, like: Any = None) -> tuple[Any, Any]:
    """Pixel coordinates (x, y) of the centres of cells, each (rows, columns).

    `like` is that of `pixel_grid`.
    """
    x, y = coordinate_grid((0, columns, 1), (0, rows, 1), like=like)
    return (x + 0.5) * CELL - 0.5, (y + 0.5) * CELL - 0.5


def follow_to_middle(
    field: MotionField,
    t: float,
    velocity: Array,
    place: tuple[Array, Array],
    *,
    steps: int = _STEPS,
) -> tuple[tuple[Array, Array], Array, Array]:
    """Follow what is at `place` at time `t` to t = 1/2, by fixed-point iterations.

    A single step is enough where t is 1/2: nothing moves.

    Returns:
        Its place there, its velocity and its deviation.
    """
    until_middle = -field.basis(single(t))
    middle = place
    for _ in range(steps):
        here, deviation = sample_motion(velocity, field.deviation, middle)
        move = here * per_vector(0.5 - t) + displacement_of(deviation, until_middle)
        middle = place[0] + move[..., 0], place[1] + move[..., 1]
    return middle, here, deviation


def per_vector(time: Any) -> Any:
    """A time that multiplies vectors (..., 2)."""
    return time[..., None] if isinstance(time, Tensor) else np.float32(time)


def _meet_scan(
    field: MotionField,
    scan: Scan,
    start: tuple[Array, Array],
    motion: tuple[Array, Array],
    t: float,
) -> tuple[tuple[Array, Array], Array]:
    """Place (x, y) and time of exposure of points that are at `start` at time t."""
    velocity, deviation = motion
    xp = library(velocity)
    closing = scan.closing_speed(velocity[..., 1])
    until_start = field.basis(single(t))
    move: Array = xp.zeros_like(velocity)
    for _ in range(_STEPS):
        moved = start[1] + move[..., 1] + velocity[..., 1] * (scan.first - t)
        row = xp.asarray(moved / closing, dtype=xp.float32)
        instant = scan.at(row)
        move = displacement_of(deviation, field.basis(instant) - until_start)
    return (start[0] + move[..., 0] + velocity[..., 0] * (instant - t), row), instant


def enlarge_cells(cells: Array, size: Sequence[int]) -> Array:
    """Interpolate values of cells (h, w) or (h, w, C) bilinearly to the pixels of (H, W)."""
    if isinstance(cells, Tensor):
        return enlarge_linearly(cells, CELL)[:, : size[0], : size[1]]
    rows, columns = cells.shape[:2]
    full = cv2.resize(cells, (columns * CELL, rows * CELL), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: size[0], : size[1]], np.float32)


def enlarge_strip(cells: Array, rows: slice, width: int) -> Array:
    """The same as these rows of `enlarge_cells`, without computing the others."""
    if isinstance(cells, Tensor):
        return enlarge_cells(cells, (rows.stop, width))[:, rows]
    first, last = rows.start // CELL, -(-rows.stop // CELL)
    above, below = max(first - 1, 0), min(last + 1, len(cells))
    full = enlarge_cells(cells[above:below], (rows.stop - above * CELL, width))
    return full[rows.start - above * CELL :]


def displacement_of(deviation: Array, elapsed: Array) -> Array:
    """Displacement (..., 2) by deviations (..., 2, N) while a basis changes by (..., N) or (N,)."""
    if isinstance(deviation, Tensor):
        of_tensors: Array = (deviation * elapsed[..., None, :]).sum(-1)
        return of_tensors
    if elapsed.ndim == 1:
        of_all: Array = deviation @ elapsed
        return of_all
    # Written out: NumPy is slow along short axes.
    displacement = np.empty(deviation.shape[:-1], np.float32)
    for component in range(deviation.shape[-2]):
        total = displacement[..., component]
        total[...] = deviation[..., component, 0] * elapsed[..., 0]
        for term in range(1, deviation.shape[-1]):
            total += deviation[..., component, term] * elapsed[..., term]
    return displacement


def length_of(vectors: Array) -> Array:
    """Lengths (...) of vectors (..., 2)."""
    length: Array = library(vectors).hypot(vectors[..., 0], vectors[..., 1])
    return length


def sample_cells(values: Array, place: tuple[Array, Array]) -> Array:
    """Sample values of cells (h, w, ...) bilinearly at pixel coordinates (x, y)."""
    xp, lead = library(values), place[0].ndim
    x, y = (xp.asarray((part + 0.5) / CELL - 0.5, dtype=xp.float32) for part in place)
    sampled = sample_image(values.reshape(*values.shape[:lead], -1), x, y)
    # OpenCV drops a last axis of one.
    return sampled.reshape(*sampled.shape[:lead], *values.shape[lead:])


def sample_motion(
    velocity: Array, deviation: Array, place: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Sample velocity (h, w, 2) and deviation (h, w, 2, N) of cells at pixel coordinates (x, y)."""
    if isinstance(velocity, Tensor):  # at once: fewer operations
        both = sample_cells(torch.cat((velocity[..., None], deviation), dim=-1), place)
        return both[..., 0], both[..., 1:]
    return sample_cells(velocity, place), sample_cells(deviation, place)


def warp_to_middle(
    field: MotionField, velocity: Array, images: Sequence[Array]
) -> tuple[list[Array], tuple[Exposed, Exposed]]:
    """Warp both views, as cells (h, w, 3), to t = 1/2; also return where they are sampled."""
    views = sample_frame(field, 0.5, velocity, with_mismatch=False)
    warped = [
        sample_cells(image, (view.x, view.y)) for image, view in zip(images, views, strict=True)
    ]
    return warped, views
