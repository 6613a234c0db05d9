"""Whether a pair follows the one before it, or a cut, a missing or a repeated frame lies between.

Close to the joint, rows are exposed almost together: what moved between them beyond the short gap
moved over frame intervals that the clip does not have.
"""

from typing import NamedTuple

import numpy as np

from models.clip.motion import Joined, PairMotion

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
    """Compare the motion across a joint with that within both pairs."""
    sides = before.field, after.field
    own = np.mean([part.trusted.mean() for side in sides for part in side.measurements])
    trusted = joined.confidence > _MIN_CONFIDENCE
    matched = float(trusted.mean()) / max(float(own), 1e-3)
    close = (joined.gap < joined.gap.min() + _MAX_GAP) & trusted
    mean = ((sides[0].velocity + sides[1].velocity) / 2)[close]
    beyond = joined.moved[close] - mean * joined.gap[close][:, None]
    energy = float((mean**2).sum())
    can_tell = len(mean) >= _MIN_CELLS and energy > len(mean) * _MIN_SPEED**2
    missing = float((beyond * mean).sum()) / energy * sides[0].readout if can_tell else 0.0
    return Continuity(matched, missing)
