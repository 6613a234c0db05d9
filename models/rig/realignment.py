"""Whether the correction of a misalignment helps: measured again after it.

A turn or zoom is extrapolated from one row to the whole image, so an error of it bends the image;
and resampling blurs. The classical correction and the refiner model a displacement that changes
linearly over x by themselves. They gain from an alignment only if its turn or zoom is large and
certain: that part they take for motion away from the row of equal exposure.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from models.rig.alignment import Alignment, align, estimate_alignment

_MIN_TURN = 3.0  # px at the worst corner, of turn and zoom alone
_CERTAIN = 20.0  # times the strips' distance from the similarity
_MAX_REMAINDER = 0.5  # of the displacement at the worst corner
_MAX_SPREAD_RATIO, _SMALL_SPREAD = 1.5, 0.2  # px: spread below that is noise


class AlignmentTrial(NamedTuple):
    """Alignment before and after its correction.

    Attributes:
        before: as measured.
        after: measured again on corrected views; None if the method does without the correction.
        helps: whether the views are better corrected.
    """

    before: Alignment
    after: Alignment | None
    helps: bool

    @property
    def transposed(self) -> "AlignmentTrial":
        """The trial of the same views with rows and columns exchanged."""
        after = None if self.after is None else self.after.transposed
        return AlignmentTrial(self.before.transposed, after, self.helps)


def try_alignment(
    pairs: Sequence[Tensor],
    alignment: Alignment,
    scan_time: Tensor | None = None,
    *,
    compensates: bool,
) -> AlignmentTrial:
    """Undo a misalignment on trial.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1], t2b, b2t, from the rig of the alignment.
        alignment: as estimated from them.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
        compensates: whether the method of correction compensates what it can by itself.
    """
    size = (pairs[0].shape[-2], pairs[0].shape[-1])
    turned = alignment._replace(shift=(0.0, 0.0)).max_displacement(size)
    if compensates and turned < max(_MIN_TURN, _CERTAIN * alignment.spread):
        return AlignmentTrial(alignment, None, helps=False)
    after = estimate_alignment([align(pair, alignment) for pair in pairs], scan_time)
    remainder = after.max_displacement(size)
    helps = (
        after.strips > 0
        and remainder <= _MAX_REMAINDER * alignment.max_displacement(size)
        and after.spread <= max(_MAX_SPREAD_RATIO * alignment.spread, _SMALL_SPREAD)
    )
    return AlignmentTrial(alignment, after, helps)
