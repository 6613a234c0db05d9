"""Correction of the pairs of a clip with their neighbours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.classical.field import MotionField, enlarge_cells
from models.clip.continuity import compare_pairs
from models.clip.joints import JointPart, joint_share, parts_of
from models.clip.motion import Joined, join_motion
from models.clip.pair_motion import PairMotion
from models.inference.correction import Correction, network_of
from models.measurement.arrays import to_array
from models.parts.settings import Blending, MotionEstimate

# Difference of the views at a joint, a sum over three colours in [0, 1], from which on they are
# doubted, and at which they are doubted most.
_DOUBT_START, _DOUBT_END, _MAX_DOUBT = 0.04, 0.2, 0.5
_MIN_DOUBT = 0.02  # in all of a row, below which it is not blended


class ClipPair(NamedTuple):
    """A pair of a clip.

    Attributes:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        times: instants in [0, 1] of the frames to make of it; none if it only helps its neighbours.
    """

    pair: Tensor
    times: Sequence[float]


class _Known(NamedTuple):
    """A pair on the device of the network, if the method has one, with its motion."""

    given: ClipPair
    motion: PairMotion
    home: torch.device  # of the pair as it was given, and of its frames


class _Shared(NamedTuple):
    """A frame made of the views on both sides of a joint."""

    frame: Tensor  # (3, H, W)
    share: Tensor  # (H, W) weight in the frame of a pair


_Frames = dict[float, _Shared]

Break = Callable[[int, str], object]
"""Told the number of a pair that does not follow the one before it, and what lies between."""


def correct_clip(
    method: Correction,
    pairs: Iterable[ClipPair],
    scan_time: Tensor,
    *,
    follows_motion: bool = True,
    blending: Blending = "choose",
    motion_estimate: MotionEstimate = "auto",
    on_break: Break = lambda _pair, _finding: None,
) -> Iterator[Tensor]:
    """Make the frames of consecutive pairs, each with the pairs before and after it.

    Between mid-time and the joint with a neighbour, each row of a frame is interpolated between
    the two exposures around its instant, whether both are the pair's or one is the neighbour's
    (`models.clip.joints`). The frames at t = 1 of a pair and at t = 0 of the next are one frame.
    Where a pair does not follow the one before it, the frames are those of single pairs. Memory
    holds two pairs and their frames.

    Args:
        method: makes the frames of pairs and of joints.
        pairs: in order of time, all of one size.
        scan_time: (H,) exposure times of the t2b rows, in frame intervals.
        follows_motion: whether the method starts from classical motion; it is given that of the
            clip then. Of other methods, such as a self-ensemble, only the frames at the joints
            themselves are made of both pairs.
        blending: "choose" makes these frames of the two exposures alone; "average" blends them with
            what the pairs alone give where the two do not agree: on average less wrong, but a fast
            object is seen two or three times, half transparent.
        motion_estimate: where motion is estimated, of pairs and between them: by OpenCV, or by
            PyTorch on the device of the method's network, if it has one, else of the pairs.
        on_break: called where pairs do not follow each other.

    Yields:
        Frames (T, 3, H, W) of each pair.

    Raises:
        ValueError: the pairs differ in size.
    """
    maker = _Maker(method, scan_time, follows_motion=follows_motion, blending=blending)
    network = network_of(method)
    waiting: _Known | None = None
    made: _Frames = {}  # of the waiting pair, by its instants
    for number, given in enumerate(pairs):
        if waiting is not None and given.pair.shape != waiting.given.pair.shape:
            sizes = [tuple(each.pair.shape) for each in (waiting.given, given)]
            raise ValueError(
                f"pair {number}: expected {sizes[0]} like the one before, got {sizes[1]}"
            )
        home = given.pair.device
        device = home if network is None else next(network.parameters()).device
        there = given._replace(pair=given.pair.to(device))
        arrived = _Known(there, PairMotion.of(there.pair, scan_time, motion_estimate), home)
        if waiting is not None:
            later: _Frames = {}
            joined = join_motion(waiting.motion, arrived.motion, maker.parts)
            finding = compare_pairs(waiting.motion, arrived.motion, joined).finding
            if finding is None:
                earlier, later = maker.join(waiting, arrived, joined)
                made |= earlier
            else:
                on_break(number, finding)
            yield maker.finish(waiting, made).to(waiting.home)
            made = later
        waiting = arrived
    if waiting is not None:
        yield maker.finish(waiting, made).to(waiting.home)


class _Maker:
    """Makes frames of pairs and of joints by one method."""

    def __init__(
        self, method: Correction, scan_time: Tensor, *, follows_motion: bool, blending: Blending
    ) -> None:
        self.method = method
        self.scan_time = scan_time
        self.follows_motion = follows_motion
        self.averages = blending == "average"
        self.parts: Sequence[JointPart] = parts_of(scan_time)

    def join(self, before: _Known, after: _Known, joined: Joined) -> tuple[_Frames, _Frames]:
        """The frames near a joint, by the instants of the pair before and of the pair after it."""
        nearest = 0.5 if self.follows_motion else 1.0
        wanted = [(t - 0.5, t) for t in before.given.times if t > 0.5 and t >= nearest]
        wanted += [(t + 0.5, t) for t in after.given.times if t < 0.5 and 1 - t >= nearest]
        instants = sorted({instant for instant, _ in wanted})
        if not instants:
            return {}, {}
        width = before.given.pair.shape[-1]
        shares = [
            joint_share(self.scan_time, (t + 0.5) % 1)[:, None].float().expand(-1, width)
            for t in instants
        ]
        frames = self._make_joint(before, after, joined, instants)
        if self.averages:
            belief = 1 - self._doubt(joined)
            shares = [share * belief for share in shares]
        if self.averages and 0.5 in instants:
            index = instants.index(0.5)
            frames[index] = self._blend_with_both(before, after, frames[index], shares[index])
            shares[index] = torch.ones_like(shares[index])
        found = dict(zip(instants, map(_Shared, frames, shares), strict=True))
        earlier, later = (
            {t: found[instant] for instant, t in wanted if (instant - t < 0) == is_before}
            for is_before in (True, False)
        )
        return earlier, later

    def finish(self, known: _Known, made: _Frames) -> Tensor:
        """The frames of a pair, blended with those that were made with its neighbours."""
        times = known.given.times
        shape = known.given.pair.shape
        frames = known.given.pair.new_zeros(len(times), *shape[1:])
        if not times:
            return frames
        shares = torch.stack(
            [made[t].share if t in made else torch.zeros(shape[2:]) for t in times]
        )
        own = self._make(known.given.pair, times, 1 - shares, known.motion.field)
        for index, t in enumerate(times):
            frames[index] = own[index]
            if t in made:
                frames[index] = torch.lerp(own[index], made[t].frame, shares[index].to(own))
        return frames

    def _make_joint(
        self, before: _Known, after: _Known, joined: Joined, instants: Sequence[float]
    ) -> Tensor:
        """Frames (T, 3, H, W) at instants of the joint, from both its parts."""
        total: Tensor | None = None
        near = torch.stack([joint_share(self.scan_time, (t + 0.5) % 1) for t in instants])
        for part, field in zip(self.parts, joined.fields, strict=True):
            pair = part.pair(before.given.pair, after.given.pair)
            needed = (near * part.share)[..., None]
            made = self._make(pair, instants, needed, field, part.scan_time)
            made = made * part.share.to(made)[:, None]
            total = made if total is None else total + made
        assert total is not None
        return total

    def _blend_with_both(
        self, before: _Known, after: _Known, frame: Tensor, share: Tensor
    ) -> Tensor:
        """Blend the joint's frame with the mean of those that both pairs alone give."""
        single = [
            self._make(known.given.pair, [t], 1 - share[None], known.motion.field)[0]
            for known, t in ((before, 1.0), (after, 0.0))
        ]
        return torch.lerp((single[0] + single[1]) / 2, frame, share.to(frame))

    def _make(
        self,
        pair: Tensor,
        times: Sequence[float],
        weights: Tensor,
        field: MotionField,
        scan_time: Tensor | None = None,
    ) -> Tensor:
        """Frames (T, 3, H, W), right where weights (T, H, W) or (T, H, 1) are not negligible."""
        scan = self.scan_time if scan_time is None else scan_time
        rows = weights.amax(-1) > 0
        chosen = [index for index, needed in enumerate(rows) if needed.any()]
        frames = pair.new_zeros(len(times), *pair.shape[1:])
        if chosen:
            found = self.method(
                pair,
                [times[index] for index in chosen],
                scan_time=scan,
                rows=rows[chosen],
                motion=field if self.follows_motion else None,
            )
            for index, frame in zip(chosen, found.frames, strict=True):
                frames[index] = frame
        return frames

    def _doubt(self, joined: Joined) -> Tensor:
        """Share (H, W) of the pairs' own frames where the views at the joint do not agree."""
        height = len(self.scan_time)
        width = joined.fields[0].measurements[0].own.shape[-1]
        excess = (to_array(joined.doubt) - _DOUBT_START) / (_DOUBT_END - _DOUBT_START)
        cells = _MAX_DOUBT * np.clip(excess, 0, 1).astype(np.float32)
        doubt = torch.from_numpy(enlarge_cells(cells, (height, width)))
        doubt[doubt.amax(-1) < _MIN_DOUBT] = 0
        return doubt
