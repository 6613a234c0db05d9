"""Motion at the joint of two pairs: predicted from both, then corrected by the views next to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from models.classical.estimation import estimate_motion, to_cells
from models.classical.field import (
    CELL,
    MotionField,
    cell_centres,
    enlarge_strip,
    length_of,
    sample_cells,
    sample_frame,
)
from models.classical.smoothing import affinity, diffuse
from models.clip.joints import JointPart
from models.clip.path import JointMotion, JointTimes, Path, own_path, smooth_path
from models.flow.dis import search_flow, single_threaded_opencv, to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import to_pixels
from models.measurement.sampling import area_resize, box_mean, pixel_grid, sample_image
from models.measurement.scan import Scan

_BENDS = (0.0, 0.5)  # of the pairs' own paths that are tried
_PREFERENCE = 0.8  # for the smooth path: share of its difference that others must undercut
_WINDOW = 11  # cells a side, over which the predictions are compared
_FINE_WINDOW = 5  # the same of the corrected path
_GAIN = 0.97  # of the difference that the prediction leaves, below which a correction is believed
_PRIOR_WEIGHT = 0.02  # of the predicted displacement
_ERROR_SCALE = 1.5  # px of forward-backward error
_MIN_GAP = 1e-3  # readouts


@dataclass(frozen=True)
class PairMotion:
    """A pair of a clip with what is estimated once.

    Attributes:
        field: its motion.
        cells: (2, h, w, 3) means over the cells of both views.
        luma: of both views, (H, W) each.
    """

    field: MotionField
    cells: Sequence[Array]
    luma: tuple[Luma, Luma]

    @classmethod
    def of(cls, pair: Tensor, scan_time: Tensor) -> "PairMotion":
        """Estimate the motion of a pair (2, 3, H, W) whose t2b rows are exposed at (H,)."""
        t2b, b2t = to_pixels(pair)
        with single_threaded_opencv():
            field = estimate_motion(t2b, b2t, Scan.of(scan_time, len(t2b)))
            cells = [to_cells(view) for view in (t2b, b2t)]
        return cls(field, cells, (to_luma(t2b), to_luma(b2t)))


class Joined(NamedTuple):
    """Motion at a joint.

    Attributes:
        fields: for both parts of the joint.
        doubt: (h, w) mean difference of the views that are brought together there, in [0, 3].
        confidence: (h, w) in [0, 1], of the flow between the views.
        moved: (h, w, 2) px from the view before to the view after the joint, measured.
        gap: (h, w) readouts between these views.
    """

    fields: Sequence[JointMotion]
    doubt: Array
    confidence: Array
    moved: Array
    gap: Array


class _Brought(NamedTuple):
    """The views before and after a joint, sampled where the cells are at the joint."""

    views: tuple[Array, Array]  # (h, w, 3) each
    gap: Array  # (h, w) readouts between their exposures
    moved: Array  # (h, w, 2) px from the one to the other

    def difference(self, window: int) -> Array:
        """(h, w) sum over the colours of the absolute difference, mean over a window."""
        return box_mean(np.abs(self.views[0] - self.views[1]).sum(-1), window)


def join_motion(before: PairMotion, after: PairMotion, parts: Sequence[JointPart]) -> Joined:
    """Find the motion across the joint of two pairs.

    Three predictions, `smooth_path` and `own_path` with and without a bend, are judged by how well
    the views agree that they bring together, in each cell and over the whole image. The flow that
    is left between these views then corrects the path, where it is consistent and the views agree
    better for it.
    """
    with single_threaded_opencv():
        joint = _Joint(before, after, parts)
        paths = [smooth_path((before.field, after.field))]
        paths += [own_path(joint.times, bend) for bend in _BENDS]
        path = joint.choose(paths)
        return joint.correct(path)


class _Joint:
    """A joint while its motion is sought."""

    def __init__(self, before: PairMotion, after: PairMotion, parts: Sequence[JointPart]) -> None:
        self.sides = before, after
        self.parts = parts
        self.times = JointTimes((before.field, after.field))
        rows = np.arange(before.cells[0].shape[0]) * CELL + (CELL - 1) / 2
        pixels = np.arange(len(parts[0].share))
        self.shares = [
            np.interp(rows, pixels, part.share.numpy()).astype(np.float32)[:, None]
            for part in parts
        ]

    def fields(self, path: Path, disagreement: Array | None = None) -> list[JointMotion]:
        """The motion of both parts along a path."""
        first, second = (side.field for side in self.sides)
        known = np.zeros(path.velocity.shape[:2], np.float32)
        fields = []
        for part in self.parts:
            # Where b2t is the view before the joint, the cameras have swapped their places.
            half_sign = np.float32(0.5 if part.views[0] == 0 else -0.5)
            parallax = first.parallax._replace(
                middle=half_sign * (first.parallax.middle + second.parallax.middle),
                change=half_sign * (first.parallax.change + second.parallax.change),
            )
            scan = Scan.of(part.scan_time, len(part.scan_time)).in_readouts(first.readout)
            fields.append(
                JointMotion(
                    velocity=path.velocity,
                    camera=path.velocity,
                    deviation=path.deviation,
                    parallax=parallax,
                    measurements=first.measurements,
                    scan=scan,
                    readout=first.readout,
                    noise=(first.noise + second.noise) / 2,
                    times=self.times,
                    disagreement=known if disagreement is None else disagreement,
                )
            )
        return fields

    def choose(self, paths: Sequence[Path]) -> Path:
        """Take in each cell the path by which the views agree best, there and everywhere.

        The first one is preferred: how a velocity changes across the joint, the views do not show.
        """
        chosen, least = paths[0], np.float32(0)
        for path in paths:
            difference = self._bring(path).difference(_WINDOW)
            cost = difference * difference.mean()
            if path is paths[0]:
                least = _PREFERENCE * cost
                continue
            chosen = path.where(cost < least, chosen)
            least = np.minimum(cost, least)
        return chosen

    def correct(self, path: Path) -> Joined:
        """Correct a path by the flow that is left between the views."""
        brought = self._bring(path)
        residual, confidence = self._flow_left(path)
        gap = np.maximum(brought.gap, np.float32(_MIN_GAP))
        weight = confidence * gap**2
        step = diffuse(
            weight + np.float32(_PRIOR_WEIGHT),
            (confidence * gap)[..., None] * residual,
            *affinity(np.float32(0.5) * (brought.views[0] + brought.views[1])),
            np.zeros_like(residual),
        )
        change = step * gap[..., None]
        better = path.corrected(step, gap, self.times.half)
        left = self._bring(better)
        old, new = brought.difference(_FINE_WINDOW), left.difference(_FINE_WINDOW)
        chosen = new < _GAIN * old
        disagreement = length_of(residual - change * chosen[..., None])
        return Joined(
            self.fields(better.where(chosen, path), disagreement),
            np.where(chosen, new, old),
            confidence,
            brought.moved + residual,
            brought.gap,
        )

    def _bring(self, path: Path) -> _Brought:
        """Bring the cells of the views next to the joint to it along a path."""
        views = [np.zeros_like(self.sides[0].cells[0]) for _ in self.sides]
        gap, moved = np.zeros(path.velocity.shape[:2], np.float32), np.zeros_like(path.velocity)
        x, y = cell_centres(*gap.shape)
        for part, shares, field in zip(self.parts, self.shares, self.fields(path), strict=True):
            rows = np.flatnonzero(shares)
            share, centres = shares[rows], (x[rows], y[rows])
            early, late = sample_frame(
                field, 0.5, path.velocity, with_mismatch=False, place=centres
            )
            for view, side, number, place in zip(
                views, self.sides, part.views, (early, late), strict=True
            ):
                found = sample_cells(side.cells[number], (place.x, place.y))
                view[rows] += share[..., None] * found
            gap[rows] += share * (late.offset - early.offset)
            step = np.stack((late.x - early.x, late.y - early.y), axis=-1)
            moved[rows] += share[..., None] * step
        return _Brought((views[0], views[1]), gap, moved)

    def _flow_left(self, path: Path) -> tuple[Array, Array]:
        """Flow (h, w, 2) in px between the views brought to the joint, and its confidence."""
        size = self.sides[0].luma[0].shape
        views = [np.zeros(size, np.float32) for _ in self.sides]
        x, y = cell_centres(*path.velocity.shape[:2])
        columns, lines = pixel_grid(size)
        for part, field in zip(self.parts, self.fields(path), strict=True):
            share = part.share.numpy().astype(np.float32)[:, None]
            used = np.flatnonzero(share)
            rows = slice(int(used[0]), int(used[-1]) + 1)
            places = sample_frame(field, 0.5, path.velocity, with_mismatch=False)
            for view, side, number, place in zip(
                views, self.sides, part.views, places, strict=True
            ):
                offset = enlarge_strip(np.stack((place.x - x, place.y - y), axis=-1), rows, size[1])
                view[rows] += share[rows] * sample_image(
                    side.luma[number].astype(np.float32),
                    columns[rows] + offset[..., 0],
                    lines[rows] + offset[..., 1],
                )
        early, late = (np.round(view).astype(np.uint8) for view in views)
        forth, back = search_flow(early, late), search_flow(late, early)
        there = sample_image(back, columns + forth[..., 0], lines + forth[..., 1])
        error = ((forth + there) ** 2).sum(-1)
        confidence = np.exp(-error / (2 * _ERROR_SCALE**2)).astype(np.float32)
        # Half of both: to first order the flow at the places between both views.
        flow = (forth - back) / 2 * confidence[..., None]
        mean, share_sum = _mean_of_cells(flow), _mean_of_cells(confidence)
        return mean / np.maximum(share_sum, np.float32(1e-3))[..., None], share_sum


def _mean_of_cells(values: Array) -> Array:
    """Means over the cells of (H, W) or (H, W, 2), the border repeated to whole cells."""
    rows, columns = (-(-side // CELL) for side in values.shape[:2])
    missing = rows * CELL - values.shape[0], columns * CELL - values.shape[1]
    padding = ((0, missing[0]), (0, missing[1]), (0, 0))[: values.ndim]
    return area_resize(np.pad(values, padding, mode="edge"), (columns, rows))
