"""Whether a pair follows the one before it, or a cut, a missing or a repeated frame lies between.

Close to the joint, rows are exposed almost together: what moved between them beyond the short gap
moved over frame intervals that the clip does not have.
"""

import math
from typing import NamedTuple

from models.clip.motion import Joined
from models.clip.pair_motion import PairMotion
from models.measurement.arrays import library, read_numbers

_MAX_GAP = 0.35  # readouts above the shortest at the joint, over which intervals are sought
_MIN_SPEED = 1.0  # px per readout, root mean square, below which nothing can be told
_MIN_CELLS = 50
_MAX_INTERVALS = 0.5  # missing (or, if negative, repeated) frame intervals
_MAX_LOSS = 0.4  # share of the pairs' own matches below which the scene has changed
_MIN_CONFIDENCE = 0.5


class Continuity(NamedTuple):
    """How two consecutive pairs fit together.

    Attributes:
        matched: share of the image next to the joint that is found in the other pair, relative to
            the share that is found within the pairs.
        missing: frame intervals that are missing between the pairs, 0 if none or if nothing moves;
            -1 if the second pair repeats the first.
    """

    matched: float
    missing: float

    @property
    def finding(self) -> str | None:
        """What lies between the pairs; None if the second follows the first."""
        if self.matched < _MAX_LOSS:
            return f"the scene changes ({self.matched:.0%} of its details are found again)"
        if self.missing > _MAX_INTERVALS:
            return f"about {max(round(self.missing), 1)} pair(s) are missing (by the motion)"
        if self.missing < -_MAX_INTERVALS:
            return "the pair is a repetition, or earlier than the one before it (by the motion)"
        return None


def compare_pairs(before: PairMotion, after: PairMotion, joined: Joined) -> Continuity:
    """Compare the motion across a joint with that within both pairs; one read from a device."""
    sides = before.field, after.field
    xp = library(joined.gap)
    trusted = joined.confidence > _MIN_CONFIDENCE
    close = (joined.gap < joined.gap.min() + _MAX_GAP) & trusted
    mean = (sides[0].velocity + sides[1].velocity) / 2 * close[..., None]
    beyond = joined.moved - mean * joined.gap[..., None]
    masks = [part.trusted for side in sides for part in side.measurements]
    *counts, cells, energy, along, readout = read_numbers(
        *(xp.count_nonzero(mask) for mask in (*masks, trusted, close)),
        *((mean**2).sum(), (beyond * mean).sum(), sides[0].readout),
    )
    *own, found = (
        count / math.prod(mask.shape) for count, mask in zip(counts, (*masks, trusted), strict=True)
    )
    matched = found / max(sum(own) / len(own), 1e-3)
    can_tell = cells >= _MIN_CELLS and energy > cells * _MIN_SPEED**2
    return Continuity(matched, along / energy * readout if can_tell else 0.0)
