"""How a scene moves during the readout, and where its points are exposed in both views.

Displacements of a point from instant a to instant b are modelled as

    velocity * (b - a) + swing * (h(b) - h(a)),    h zero at 1/2

(`camera_path.swing_basis`), `swing` being what a shaking camera adds to uniform motion. What
is even about 1/2 leaves a faint trace in a pair, since both exposures of a point lie almost
symmetrically about 1/2: it is known of the camera alone, not of objects.

Instants a and b are by a clock that counts readouts: how evidence is weighed, and how much objects
may move, must not depend on how much of a frame interval the readout takes.

Arrays are NumPy float32, vectors (dx, dy) last, in pixels per readout.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.camera.path import SWING_TERMS, swing_basis
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax
from models.measurement.sampling import sample_image
from models.measurement.scan import Scan

Array = npt.NDArray[np.float32]

CELL = 4
"""Side in pixels of the cells that velocities are estimated for."""

SLOWEST_CLOSING = 0.2
"""Share of the scan's pace at which points at least meet it: they must not outrun it."""


@dataclass(frozen=True)
class MotionField:
    """Motion of everything in a capture.

    Attributes:
        velocity: (h, w, 2) of what each cell shows at t = 1/2.
        camera: (h, w, 2) velocity that the camera's motion alone would give.
        swing: (h, w, 2, N) coefficients of the deviations (`camera_path.swing_basis`).
        parallax: displacement from t2b to b2t at equal instants.
        measurements: of t2b and of b2t, in readouts.
        scan: of t2b, in readouts.
        readout: what a readout takes of a frame interval.
        noise: standard deviation of the noise of either view, of [0, 1].
    """

    velocity: Array
    camera: Array
    swing: Array
    parallax: Parallax
    measurements: tuple[Measurement, Measurement]
    scan: Scan
    readout: float = 1.0
    noise: float = 0.0

    @property
    def reach(self) -> float:
        """Readouts from t = 1/2 to the first or last exposure, whichever is longer."""
        return self.scan.reach(self.measurements[0].own.shape[0])


class Exposed(NamedTuple):
    """Where a frame's cells were exposed in one view.

    Attributes:
        x: (h, w) column in pixels.
        y: (h, w) row in pixels.
        offset: (h, w) readouts from the frame to the exposure.
        mismatch: (h, w) px between the displacement that motion predicts there and the flow seen:
            large where something else covers the point.
    """

    x: Array
    y: Array
    offset: Array
    mismatch: Array


def sample_frame(
    field: MotionField, t: float, velocity: Array, *, with_mismatch: bool = True
) -> tuple[Exposed, Exposed]:
    """Where each cell of the frame at instant `t` was exposed in t2b and in b2t.

    Args:
        field: motion of the capture.
        t: in [0, 1], frame intervals.
        velocity: (h, w, 2) `field.velocity` or `field.camera`, given at t = 1/2.
        with_mismatch: whether to compare with the measurements; zeros otherwise.
    """
    instant = 0.5 + (t - 0.5) / field.readout
    rows, columns = velocity.shape[:2]
    x, y = cell_centres(rows, columns)
    velocity, swing = _advance(field, instant, velocity, (x, y))
    between = field.parallax.at(x)
    views = []
    for scan, measurement, side in zip(
        (field.scan, field.scan.reversed), field.measurements, (-0.5, 0.5), strict=True
    ):
        start = x + side * between[..., 0], y + side * between[..., 1]
        exposed = _meet_scan(scan, start, (velocity, swing), instant, field.reach)
        mismatch = np.zeros_like(x)
        if with_mismatch:
            mismatch = _mismatch(measurement, exposed, (velocity, swing), field.reach)
        column, row, exposure = exposed
        views.append(Exposed(column, row, exposure - np.float32(instant), mismatch))
    return views[0], views[1]


def cell_centres(rows: int, columns: int) -> tuple[Array, Array]:
    """Pixel coordinates (x, y) of the centres of cells, each (rows, columns)."""
    x = (np.arange(columns, dtype=np.float32) + 0.5) * CELL - 0.5
    y = (np.arange(rows, dtype=np.float32) + 0.5) * CELL - 0.5
    grid = np.meshgrid(x, y)
    return grid[0], grid[1]


def _advance(
    field: MotionField, t: float, velocity: Array, place: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Velocity and swing of what is at `place` at instant `t`, given the field at t = 1/2."""
    until_middle = -swing_basis(np.float32(t), field.reach)
    middle = place
    for _ in range(3):
        here, swing = sample_cells(velocity, middle), sample_swing(field.swing, middle)
        move = here * np.float32(0.5 - t) + swing @ until_middle
        middle = place[0] + move[..., 0], place[1] + move[..., 1]
    return here, swing


def _meet_scan(
    scan: Scan,
    start: tuple[Array, Array],
    motion: tuple[Array, Array],
    t: float,
    reach: float,
) -> tuple[Array, Array, Array]:
    """Column, row and instant at which points, at `start` at instant t, are exposed."""
    velocity, swing = motion
    closing = np.maximum(1 - velocity[..., 1] * scan.pace, SLOWEST_CLOSING)
    until_start = swing_basis(np.float32(t), reach)
    move = np.zeros_like(velocity)
    for _ in range(3):
        row = (start[1] + move[..., 1] + velocity[..., 1] * (scan.first - t)) / closing
        instant = scan.at(row)
        move = swung(swing, swing_basis(instant, reach) - until_start)
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
    return length_of(flow - (velocity * gap[..., None] + swung(swing, elapsed)))


def enlarge_cells(cells: Array, size: Sequence[int]) -> Array:
    """Values of cells (h, w) or (h, w, C) interpolated to the pixels of an image (H, W)."""
    rows, columns = cells.shape[:2]
    full = cv2.resize(cells, (columns * CELL, rows * CELL), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: size[0], : size[1]], dtype=np.float32)


def enlarge_strip(cells: Array, rows: slice, width: int) -> Array:
    """These rows of `enlarge_cells`, without making the others."""
    first, last = rows.start // CELL, -(-rows.stop // CELL)
    above, below = max(first - 1, 0), min(last + 1, len(cells))
    full = enlarge_cells(cells[above:below], (rows.stop - above * CELL, width))
    return full[rows.start - above * CELL :]


def swung(swing: Array, elapsed: Array) -> Array:
    """Displacement (..., 2) that a swing (..., 2, N) adds while its basis (..., N) changes so."""
    # Written out: NumPy is slow along short axes.
    displacement = np.empty(swing.shape[:-1], np.float32)
    for component in range(swing.shape[-2]):
        total = displacement[..., component]
        total[...] = swing[..., component, 0] * elapsed[..., 0]
        for term in range(1, SWING_TERMS):
            total += swing[..., component, term] * elapsed[..., term]
    return displacement


def length_of(vectors: Array) -> Array:
    """Lengths (...) of vectors (..., 2)."""
    length: Array = np.hypot(vectors[..., 0], vectors[..., 1])
    return length


def sample_cells(values: Array, place: tuple[Array, Array]) -> Array:
    """Sample an array of cells (h, w, C) at pixel coordinates."""
    x, y = (np.asarray((part + 0.5) / CELL - 0.5, np.float32) for part in place)
    return sample_image(values, x, y)


def sample_swing(swing: Array, place: tuple[Array, Array]) -> Array:
    """Sample swings of cells (h, w, 2, N) at pixel coordinates."""
    flat = swing.reshape(*swing.shape[:2], -1)
    return sample_cells(flat, place).reshape(*place[0].shape, *swing.shape[2:])
