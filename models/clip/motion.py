"""Motion at the joint of two pairs: predicted from both, then corrected by the views next to it.

It is estimated with arrays by OpenCV, or with tensors of a batch of one on the device of the pairs,
which is waited for only by the estimate within each pair (`models.device_motion.feature_search`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.classical.estimation import to_cells
from models.classical.field import (
    Exposed,
    cell_centres,
    enlarge_strip,
    length_of,
    sample_cells,
    sample_frame,
)
from models.classical.smoothing import affinity, diffuse
from models.clip.joints import JointPart
from models.clip.pair_motion import PairMotion
from models.clip.path import JointMotion, JointTimes, Path, own_path, smooth_path
from models.device_motion.inverse_search import search_flows
from models.flow.dis import search_flow, single_threaded_opencv
from models.measurement.arrays import Array, library
from models.measurement.sampling import box_mean, pixel_grid, sample_image
from models.measurement.scan import Scan

_BENDS = (0.0, 0.5)  # of the pairs' own paths that are tried
_PREFERENCE = 0.8  # for the smooth path: share of its difference that others must undercut
_WINDOW = 11  # cells a side, over which the predictions are compared
_FINE_WINDOW = 5  # the same of the corrected path
_GAIN = 0.97  # of the difference that the prediction leaves, below which a correction is believed
_PRIOR_WEIGHT = 0.02  # of the predicted displacement
_ERROR_SCALE = 1.5  # px of forward-backward error
_MIN_GAP = 1e-3  # readouts


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
        return box_mean(abs(self.views[0] - self.views[1]).sum(-1), window)


@torch.no_grad()
def join_motion(before: PairMotion, after: PairMotion, parts: Sequence[JointPart]) -> Joined:
    """Find the motion across the joint of two pairs.

    Three predictions, `smooth_path` and `own_path` with and without a bend, are judged by how well
    the views agree that they bring together, in each cell and over the whole image. The flow that
    is left between these views then corrects the path, where it is consistent and the views agree
    better for it.
    """
    # Arrays say that their device is the CPU.
    device = torch.device(before.field.velocity.device)
    with single_threaded_opencv(), torch.autocast(device.type, enabled=False):
        joint = _Joint(before, after, parts)
        paths = [smooth_path(joint.times), *(own_path(joint.times, bend) for bend in _BENDS)]
        path = joint.choose(paths)
        return joint.correct(path)


class _Joint:
    """A joint while its motion is sought."""

    def __init__(self, before: PairMotion, after: PairMotion, parts: Sequence[JointPart]) -> None:
        self.sides = before, after
        self.parts = [part.like(before.field.velocity) for part in parts]
        self.times = JointTimes((before.field, after.field))

    def fields(self, path: Path, disagreement: Array | None = None) -> list[JointMotion]:
        """The motion of both parts along a path."""
        first, second = (side.field for side in self.sides)
        known: Array = library(path.velocity).zeros_like(path.velocity[..., 0])
        fields = []
        for part in self.parts:
            # Where b2t is the view before the joint, the cameras have swapped their places.
            half_sign = 0.5 if part.views[0] == 0 else -0.5
            parallax = first.parallax._replace(
                middle=half_sign * (first.parallax.middle + second.parallax.middle),
                change=half_sign * (first.parallax.change + second.parallax.change),
            )
            fields.append(
                JointMotion(
                    velocity=path.velocity,
                    camera=path.velocity,
                    deviation=path.deviation,
                    parallax=parallax,
                    measurements=first.measurements,
                    scan=part.scan.in_readouts(first.readout),
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
        costs = self._costs(paths)
        chosen, least = paths[0], _PREFERENCE * costs[0]
        for path, cost in zip(paths[1:], costs[1:], strict=True):
            chosen = path.where(cost < least, chosen)
            least = library(cost).minimum(cost, least)
        return chosen

    def _costs(self, paths: Sequence[Path]) -> Sequence[Array]:
        """(h, w) the cost of each path in each cell; tensors of all paths are one batch."""

        def cost_of(path: Path) -> Any:
            difference = self._bring(path).difference(_WINDOW)
            return difference * difference.mean((-2, -1), keepdims=True)

        if isinstance(paths[0].velocity, Tensor):
            tensors: Any = zip(*paths, strict=True)
            costs: Sequence[Array] = cost_of(Path(*map(torch.cat, tensors))).split(1)
            return costs
        return list(map(cost_of, paths))

    def correct(self, path: Path) -> Joined:
        """Correct a path by the flow that is left between the views."""
        brought = self._bring(path)
        residual, confidence = self._flow_left(path)
        xp, gap = library(residual), brought.gap.clip(_MIN_GAP, None)
        weight = confidence * gap**2
        step = diffuse(
            weight + _PRIOR_WEIGHT,
            (confidence * gap)[..., None] * residual,
            *affinity(0.5 * (brought.views[0] + brought.views[1])),
            xp.zeros_like(residual),
        )
        change = step * gap[..., None]
        better = path.corrected(step, gap, self.times.half)
        left = self._bring(better)
        old, new = brought.difference(_FINE_WINDOW), left.difference(_FINE_WINDOW)
        chosen = new < _GAIN * old
        disagreement = length_of(residual - change * chosen[..., None])
        return Joined(
            self.fields(better.where(chosen, path), disagreement),
            xp.where(chosen, new, old),
            confidence,
            brought.moved + residual,
            brought.gap,
        )

    def _bring(self, path: Path) -> _Brought:
        """Bring the cells of the views next to the joint to it along a path."""
        xp = library(path.velocity)
        gap, moved = xp.zeros_like(path.velocity[..., 0]), xp.zeros_like(path.velocity)
        views = [xp.stack((gap, gap, gap), axis=-1) for _ in self.sides]
        for part, places in zip(self.parts, self._places(path, of_part=True), strict=True):
            (rows, share), (early, late) = part.cells, places
            for view, side, number, place in zip(
                views, self.sides, part.views, places, strict=True
            ):
                found = sample_cells(side.cells[number], (place.x, place.y))
                view[..., rows, :, :] += share[..., None] * found
            gap[..., rows, :] += share * (late.offset - early.offset)
            step = xp.stack((late.x - early.x, late.y - early.y), axis=-1)
            moved[..., rows, :, :] += share[..., None] * step
        return _Brought((views[0], views[1]), gap, moved)

    def _places(self, path: Path, *, of_part: bool) -> Iterator[tuple[Exposed, Exposed]]:
        """Where each part's views expose the cells at the joint: all, or those of its rows."""
        x, y = cell_centres(*path.velocity.shape[-3:-1], like=path.velocity)
        fields = self.fields(path)
        if isinstance(path.velocity, Tensor):
            both = _together(fields)
            views = sample_frame(both, 0.5, both.velocity, with_mismatch=False)
            for number, part in enumerate(self.parts):
                rows = part.cells.rows if of_part else slice(None)
                early, late = (
                    Exposed(*(values.chunk(2)[number][:, rows] for values in view[:3]), view[3])
                    for view in views
                )
                yield early, late
            return
        for part, field in zip(self.parts, fields, strict=True):
            rows = part.cells.rows if of_part else slice(None)
            place = x[rows], y[rows]
            yield sample_frame(field, 0.5, path.velocity, with_mismatch=False, place=place)

    def _flow_left(self, path: Path) -> tuple[Array, Array]:
        """Flow (h, w, 2) in px between the views brought to the joint, and its confidence."""
        luma = self.sides[0].luma[0]
        xp, size = library(luma), luma.shape[-2:]
        views = [xp.zeros_like(luma, dtype=xp.float32) for _ in self.sides]
        x, y = cell_centres(*path.velocity.shape[-3:-1], like=luma)
        columns, lines = pixel_grid(size, like=luma)
        for part, places in zip(self.parts, self._places(path, of_part=False), strict=True):
            rows, share = part.pixels
            for view, side, number, place in zip(
                views, self.sides, part.views, places, strict=True
            ):
                offset = enlarge_strip(xp.stack((place.x - x, place.y - y), axis=-1), rows, size[1])
                view[..., rows, :] += share * sample_image(
                    xp.asarray(side.luma[number], dtype=xp.float32),
                    columns[..., rows, :] + offset[..., 0],
                    lines[..., rows, :] + offset[..., 1],
                )
        forth, back = _flow_both_ways(views[0], views[1])
        there = sample_image(back, columns + forth[..., 0], lines + forth[..., 1])
        error = ((forth + there) ** 2).sum(-1)
        confidence = xp.exp(-error / (2 * _ERROR_SCALE**2))
        # Half of both: to first order the flow at the places between both views.
        flow = (forth - back) / 2 * confidence[..., None]
        mean, share_sum = to_cells(flow), to_cells(confidence)
        return mean / share_sum.clip(1e-3, None)[..., None], share_sum


def _together(fields: Sequence[JointMotion]) -> JointMotion:
    """Fields of tensors, of several batches, as that of one batch."""

    def join(*parts: Any) -> Any:
        count = len(fields[0].velocity)
        return torch.cat([part.expand(count, *part.shape[1:]) for part in parts])

    velocity = join(*(field.velocity for field in fields))
    middle, change = map(join, *(field.parallax[:2] for field in fields))
    return replace(
        fields[0],
        velocity=velocity,
        camera=velocity,
        deviation=join(*(field.deviation for field in fields)),
        parallax=fields[0].parallax._replace(middle=middle, change=change),
        scan=Scan(*map(join, *(field.scan for field in fields))),
    )


def _flow_both_ways(early: Array, late: Array) -> tuple[Array, Array]:
    """Flow (H, W, 2) from one of two images (H, W) to the other and back, as 8-bit images."""
    if isinstance(early, Tensor):
        views = early.round(), late.round()
        flows: Any = search_flows(torch.cat(views), torch.cat(views[::-1])).chunk(2)
        return flows
    first, second = (np.round(view).astype(np.uint8) for view in (early, late))
    return search_flow(first, second), search_flow(second, first)
