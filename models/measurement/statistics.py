"""Statistics that outliers hardly move."""

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

_DEVIATION = 1.4826  # medians of normally distributed magnitudes in a standard deviation

Floats = TypeVar("Floats", bound=npt.NDArray[np.floating[Any]])


def geman_mcclure_weight(squared: Floats) -> Floats:
    """Weight in least squares of residuals by Geman and McClure's loss, r² / (1 + r²).

    Args:
        squared: squared residuals r² in units of the scale at which they begin to be doubted.

    Returns:
        1 / (1 + r²)², of the same shape.
    """
    return cast(Floats, 1 / (1 + squared) ** 2)


def robust_deviation(errors: npt.NDArray[np.floating[Any]]) -> float:
    """Standard deviation of normally distributed errors, some of which may be far larger.

    By the median of their absolute values.
    """
    return _DEVIATION * float(np.median(np.abs(errors)))


Array = npt.NDArray[np.float32]

_LEAST_POINTS = 100
_LEAST_CONTRAST = 0.02  # standard deviation below which a gain cannot be told from an offset
_BLACK = 0.01  # mean below which a ratio of brightnesses says nothing
_STEPS = 10
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 0.1, 0.01, 0.7
_WHITE = np.float32(255)


def fit_line(first: Array, second: Array) -> tuple[float, float]:
    """Gain and offset, robustly and alike in both directions: either view may be noisy.

    Args:
        first: (N,) values of [0, 1] of one view.
        second: (N,) of the same points in the other.

    Returns:
        Gain and offset such that gain * first + offset is second. Of values without contrast the
        gain is the ratio of their means, or 1 where either view is black; of too few points the
        line is 1 and 0.
    """
    if len(first) < _LEAST_POINTS:
        return 1.0, 0.0
    gain, offset, scale = 1.0, float(np.median(second - first)), _FIRST_SCALE
    for _ in range(_STEPS):
        residual = second - gain * first - offset
        weight = geman_mcclure_weight((residual / scale) ** 2)
        means = [float(np.average(values, weights=weight)) for values in (first, second)]
        spreads = [
            float(np.average((values - mean) ** 2, weights=weight)) ** 0.5
            for values, mean in zip((first, second), means, strict=True)
        ]
        if min(spreads) >= _LEAST_CONTRAST:
            gain = spreads[1] / spreads[0]
        elif min(means) >= _BLACK:
            gain = means[1] / means[0]
        else:
            gain = 1.0
        offset = means[1] - gain * means[0]
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
    return gain, offset


def fit_levels(first: Array, second: Array) -> tuple[np.float32, np.float32]:
    """`fit_line` of grey levels (N,) of [0, 255]; the offset, too, is in grey levels."""
    gain, offset = fit_line(first / _WHITE, second / _WHITE)
    return np.float32(gain), np.float32(offset) * _WHITE
