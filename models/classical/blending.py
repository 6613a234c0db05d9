"""Blend both views of a frame: choose one where they disagree, average where they agree.

After warping, the views differ by noise where the motion is right, and by more where it is not or
where one of them does not show the point. An average of such views shows both, half transparent:
ghosts. The functions take NumPy arrays of any layout as well as tensors, so that the classical
correction and the networks choose by one rule.
"""

import math
from typing import Any, TypeVar

Values = TypeVar("Values", bound=Any)
"""A NumPy array or a tensor."""

SEAM = 2
"""Largest width in pixels of the transition from one view to the other."""

_AGREE, _DISAGREE = 2.5, 5.0  # differences in standard deviations of their noise
_LEAST_NOISE = 1.5 / 255  # of a difference: that of interpolation and 8 bits
_TIE = 0.1  # logit below which both views are equally good
_LEAD = 0.05  # of a frame interval, by which an exposure counts as earlier
_ROUNDING = 1e-3  # logit


def better_view(preference: Values, lead: Values) -> Values:
    """Where the first view is the better one.

    Of equally good views the one exposed earlier is taken, so that neighbouring points of a frame
    at t = 1/2, to which both exposures are equally near, come from one view.

    Args:
        preference: logit of the first view's weight.
        lead: time from the first view's exposure to the second's.
    """
    return preference + _TIE * (lead / _LEAD).clip(-1, 1) > -_ROUNDING


def narrow_seams(shares: Values, cell: int) -> Values:
    """Shares in [0, 1], 1 where the first view is better, with seams of at most `SEAM` pixels.

    Args:
        shares: of cells that take one view (0 or 1), enlarged bilinearly to pixels.
        cell: pixels along a cell's side, over which they change from 0 to 1.
    """
    return ((shares - 0.5) * (cell / SEAM) + 0.5).clip(0, 1)


def disagreement(squared: Values, noise: float) -> Values:
    """How far views disagree: 0 where noise explains their difference, 1 where it cannot.

    Args:
        squared: sum over the three channels of squared differences of image values in [0, 1].
        noise: standard deviation of a view's noise.
    """
    variance = 3 * max(math.sqrt(2) * noise, _LEAST_NOISE) ** 2
    low, high = _AGREE**2 * variance, _DISAGREE**2 * variance
    beyond = ((squared - low) / (high - low)).clip(0, 1)
    return beyond * beyond * (3 - 2 * beyond)


def choose(share: Values, better: Values, squared: Values, noise: float) -> Values:
    """Weight of the first view in a frame: `share` where the views agree, else `better`.

    Args:
        share: weight in an average.
        better: 1 where the first view is to be taken, 0 where the second is, as `narrow_seams`.
        squared: as in `disagreement`.
        noise: as in `disagreement`.
    """
    return share + disagreement(squared, noise) * (better - share)
