"""Blend both views of a frame: choose one where they disagree, average where they agree.

After warping, the views differ by noise where the motion is right, and by more where it is not or
where one of them does not show the point. An average of such views shows both, half transparent:
ghosts. One view is chosen only where it is known to be the better one: that exposed clearly nearer
in time. In the middle of the interval both are equally near, and any choice would be a guess. The
functions take NumPy arrays of any layout as well as tensors, so that the classical correction and
the networks choose by one rule.
"""

import math
from typing import Any, TypeVar

from torch import Tensor

Values = TypeVar("Values", bound=Any)
"""A NumPy array or a tensor."""

_AGREE, _DISAGREE = 2.5, 5.0  # differences in standard deviations of their noise
_LEAST_NOISE = 1.5 / 255  # of a difference: that of interpolation and 8 bits
_LEAST_TIME = 1e-2  # from a frame to an exposure
_GUESS, _INFORMED = 0.1, 0.25  # distances of the share from 1/2


def informed(first: Values, second: Values) -> Values:
    """How far a choice is informed: 0 where both views are equally near, 1 where one clearly is.

    It is a smooth step of the distance from 1/2 of the share that the first view has in an average
    with weights inverse to the squared times. Noise and the views' borders, which count in the
    average that frames are made of, tell nothing about which view is right.

    Args:
        first: signed time from a frame to a point's exposure in the first view.
        second: likewise, in the second view.
    """
    squares = [time * time + _LEAST_TIME**2 for time in (first, second)]
    share = squares[1] / (squares[0] + squares[1])
    return _smooth_step(abs(share - 0.5), _GUESS, _INFORMED)


def disagreement(squared: Values, noise: Any) -> Values:
    """How far views disagree: 0 where noise explains their difference, 1 where it cannot.

    Args:
        squared: sum over the three channels of squared differences of image values in [0, 1].
        noise: standard deviation of a view's noise; a tensor is not waited for.
    """
    expected = math.sqrt(2) * noise
    if isinstance(expected, Tensor):
        least: Any = expected.clamp(min=_LEAST_NOISE)
    else:
        least = max(expected, _LEAST_NOISE)
    variance = 3 * least**2
    return _smooth_step(squared, _AGREE**2 * variance, _DISAGREE**2 * variance)


def choose(share: Values, strength: Values, squared: Values, noise: Any) -> Values:
    """Weight of the first view in a frame: 0 or 1 where views disagree and one of them is nearer.

    Elsewhere it is `share`.

    Args:
        share: weight in an average.
        strength: of the choice, as `informed`.
        squared: as in `disagreement`.
        noise: as in `disagreement`.
    """
    return share + strength * disagreement(squared, noise) * (1.0 * (share > 0.5) - share)


def _smooth_step(values: Values, low: Any, high: Any) -> Values:
    """0 up to `low`, 1 from `high` on, a cubic between them."""
    part = ((values - low) / (high - low)).clip(0, 1)
    return part * part * (3 - 2 * part)
