"""Motion across the joint of two consecutive pairs: for each point a path from one to the other.

A pair's views agree on the mean velocity of a point between its exposures. What they leave open
shows in the neighbour: `smooth_path` is the cubic Hermite path through both mid-times with the
velocities that the views show there; `own_path` follows the motion within each pair up to the
joint, whose deviations from uniform motion may be faster than a cubic is. Both may be corrected by
a cubic that leaves the velocities at both mid-times as they are.

Times count readouts, with 1/2 at the joint (`models.clip.joints`); tau is the time from there. All
is done with arrays, or with tensors of a batch (`models.measurement.arrays`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from models.classical.field import (
    MotionField,
    Moving,
    cell_centres,
    displacement_of,
    follow_to_middle,
    per_vector,
    sample_cells,
    sample_motion,
)
from models.measurement.arrays import Array, Bools, library, single, to_array

_ITERATIONS = 3
_STEP = 1e-2  # readouts, of derivatives by time
_CUBIC = 2  # position in the basis
_OWN = 6  # functions in the basis that are a pair's own


class Path(NamedTuple):
    """Motion of the cells at a joint.

    Attributes:
        velocity: (h, w, 2) px per readout at the joint, the mean of both sides.
        deviation: (h, w, 2, 9) coefficients of `JointTimes.basis`.
    """

    velocity: Array
    deviation: Array

    def where(self, chosen: Bools, other: "Path") -> "Path":
        """This path in the chosen cells (h, w), the other one elsewhere."""
        where = library(chosen).where
        return Path(
            where(chosen[..., None], self.velocity, other.velocity),
            where(chosen[..., None, None], self.deviation, other.deviation),
        )

    def corrected(self, change: Array, gap: Array, half: float) -> "Path":
        """The path with its mean velocity over a gap (h, w) about the joint changed by (h, w, 2).

        The velocities at both mid-times, `half` readouts from the joint, stay.
        """
        deviation = self.deviation + 0
        deviation[..., _CUBIC] += change / (gap**2 / 4 - 3 * single(half) ** 2)[..., None]
        return self._replace(deviation=deviation)


@dataclass(frozen=True)
class JointTimes:
    """Functions of time around the joint of two pairs.

    Attributes:
        pairs: the fields before and after.
    """

    pairs: tuple[MotionField, MotionField]

    @cached_property
    def half(self) -> float:
        """Readouts from a mid-time to the joint."""
        return 0.5 / self.pairs[0].readout

    @cached_property
    def at_joint(self) -> list[tuple[Any, Any]]:
        """The joint in the time of each pair, and the pair's basis there."""
        half: Any = single(self.half)
        times = 0.5 + half, 0.5 - half
        return [(t, pair.basis(t)) for t, pair in zip(times, self.pairs, strict=True)]

    @cached_property
    def speeds(self) -> list[Array]:
        """(h, w, 2) velocities of the points that each pair sees at the joint."""
        return [_speed_at_end(pair, end) for pair, end in zip(self.pairs, (1, 0), strict=True)]

    def basis(self, instant: Array | np.float32) -> Array:
        """(..., 9) deviations, 0 at the joint.

        |tau|; tau² - 2 h |tau|; tau³ - 3 h² tau, where h is `half`: the latter two have no velocity
        at the mid-times. Then three of each pair's own, on its side of the joint.
        """
        xp = library(instant)
        tau, half = xp.asarray(instant, dtype=xp.float32) - 0.5, single(self.half)
        squared, distance = tau * tau, abs(tau)
        common = (
            distance,
            squared - 2 * half * distance,
            squared * tau - 3 * half**2 * tau,
        )
        before, after = (
            pair.basis(on_its_side + joint) - there
            for pair, on_its_side, (joint, there) in zip(
                self.pairs, (tau.clip(None, 0), tau.clip(0, None)), self.at_joint, strict=True
            )
        )
        basis: Array = xp.concatenate((xp.stack(common, axis=-1), before, after), axis=-1)
        return basis


@dataclass(frozen=True, kw_only=True)
class JointMotion(MotionField):
    """Motion in two views on either side of a joint; the measurements are not of these views.

    Attributes:
        times: of the joint, the basis of the deviations.
        disagreement: (h, w) px between the places of a cell in both views, where it is at the
            joint.
    """

    times: JointTimes
    disagreement: Array

    @cached_property
    def _as_arrays(self) -> MotionField:
        base: Any = super()._as_arrays
        before, after = (pair.on_host for pair in self.times.pairs)
        times, disagreement = JointTimes((before, after)), to_array(self.disagreement)
        found: MotionField = replace(base, times=times, disagreement=disagreement)
        return found

    def basis(self, instant: Array | np.float32) -> Array:
        """(..., 9), see `JointTimes.basis`."""
        return self.times.basis(instant)

    def mismatch(self, view: int, exposed: Moving) -> Array:
        """(h, w) px between the views' places; the same for both views."""
        return sample_cells(self.disagreement, exposed.middle)


def smooth_path(times: JointTimes) -> Path:
    """The cubic Hermite path between the mid-times of two pairs, at constant acceleration.

    With velocities v0, v1 of a point at the mid-times, h readouts before and after the joint, it is
    at (v0 + v1) / 2 tau + (v1 - v0) / (4 h) tau².
    """
    speeds = list(map(shown_speed, times.pairs))
    half = per_vector(times.half)
    x, y = cell_centres(*speeds[0].shape[-3:-1], like=speeds[0])
    before, after = times.speeds
    for _ in range(_ITERATIONS):
        even, odd = (after - before) * (half / 4), (after + before) * (half / 2)
        before, after = (
            sample_cells(speed, (x + move[..., 0], y + move[..., 1]))
            for speed, move in zip(speeds, (even - odd, even + odd), strict=True)
        )
    bend = (after - before) / (4 * half)
    xp = library(bend)
    # tau² is a bend that begins with the step of velocity that it takes back.
    common = (2 * half * bend, bend)
    deviation = xp.stack((*common, *[xp.zeros_like(bend)] * (1 + _OWN)), axis=-1)
    return Path(0.5 * (before + after), deviation)


def own_path(times: JointTimes, bend: float) -> Path:
    """The motion of each pair on its side of the joint.

    The step of the velocity there is taken back by a share `bend` in [0, 1], by an acceleration
    that is the same in both.
    """
    speeds = times.speeds
    xp = library(speeds[0])
    x, y = cell_centres(*speeds[0].shape[-3:-1], like=speeds[0])
    half: Any = single(times.half)
    slopes = []
    for pair, (joint, there), step in zip(
        times.pairs, times.at_joint, (_STEP, -_STEP), strict=True
    ):
        slopes.append((there - pair.basis(joint - step)) / step)
    mid_times = [(tau, times.basis(0.5 + tau)) for tau in (-half, half)]
    readouts = per_vector(half)
    moves = [-readouts * speeds[0], readouts * speeds[1]]
    for _ in range(_ITERATIONS):
        places = [(x + move[..., 0], y + move[..., 1]) for move in moves]
        (before, own_before), (after, own_after) = (
            sample_motion(pair.velocity, pair.deviation, place)
            for pair, place in zip(times.pairs, places, strict=True)
        )
        jump = after + displacement_of(own_after, slopes[1])
        jump = jump - (before + displacement_of(own_before, slopes[0]))
        common = (0.5 * (after - before), bend / (4 * readouts) * jump, xp.zeros_like(jump))
        path = Path(
            0.5 * (before + after),
            xp.concatenate((xp.stack(common, axis=-1), own_before, own_after), axis=-1),
        )
        moves = [
            path.velocity * per_vector(tau) + displacement_of(path.deviation, basis)
            for tau, basis in mid_times
        ]
    return path


def shown_speed(pair: MotionField) -> Array:
    """(h, w, 2) mean velocity over the time between the two exposures of each cell.

    It is what the views show; deviations tell apart times that no view shows there.
    """
    y = cell_centres(*pair.velocity.shape[-3:-1], like=pair.velocity)[1]
    until = abs(pair.scan.at(y) - 0.5).clip(_STEP, None)
    change = (pair.basis(0.5 + until) - pair.basis(0.5 - until)) / (2 * until)[..., None]
    moved = displacement_of(pair.deviation, change)
    xp = library(moved)
    speed: Array = xp.asarray(pair.velocity + moved, dtype=xp.float32)
    return speed


def _speed_at_end(pair: MotionField, t: float) -> Array:
    """(h, w, 2) velocity of the points that a pair sees at t, frame intervals."""
    centres = cell_centres(*pair.velocity.shape[-3:-1], like=pair.velocity)
    return follow_to_middle(pair, 0.5 + (t - 0.5) / pair.readout, pair.velocity, centres)[1]
