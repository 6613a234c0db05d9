"""Robust statistics: estimates that outliers hardly change."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.measurement.arrays import Array, Floats

_MAD_TO_STD = 1.4826  # standard deviation over median absolute value of a normal distribution
_MIN_POINTS = 100
_MIN_CONTRAST = 0.02  # standard deviation below which gain and offset cannot be told apart
_MIN_MEAN = 0.01  # below it a view is black, and a ratio of means says nothing
_ITERATIONS = 10
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 0.1, 0.01, 0.7
_WHITE = np.float32(255)


def geman_mcclure_weight(squared: Floats) -> Floats:
    """IRLS weights 1 / (1 + r²)² of the Geman-McClure loss r² / (1 + r²), given r² of any shape."""
    return np.reciprocal((1 + squared) ** 2)


def robust_std(errors: npt.NDArray[np.floating[Any]]) -> float:
    """Standard deviation of normally distributed errors with outliers, from the median |error|."""
    return _MAD_TO_STD * float(np.median(np.abs(errors)))


def fit_line(first: Array, second: Array) -> tuple[float, float]:
    """Gain and offset in second = gain * first + offset, given values (N,) in [0, 1].

    Robust reduced major axis regression: the gain is the ratio of the standard deviations, which
    noise in either view does not bias. Points have Geman-McClure weights (IRLS), the scale of which
    decreases from 0.1 to 0.01. Without contrast the gain is the ratio of the means, or 1 where a
    view is black; for fewer than 100 points the result is (1, 0).
    """
    if len(first) < _MIN_POINTS:
        return 1.0, 0.0
    gain, offset, scale = 1.0, float(np.median(second - first)), _FIRST_SCALE
    for _ in range(_ITERATIONS):
        residual = second - gain * first - offset
        weight = geman_mcclure_weight((residual / scale) ** 2)
        means = [float(np.average(values, weights=weight)) for values in (first, second)]
        spreads = [
            float(np.average((values - mean) ** 2, weights=weight)) ** 0.5
            for values, mean in zip((first, second), means, strict=True)
        ]
        if min(spreads) >= _MIN_CONTRAST:
            gain = spreads[1] / spreads[0]
        else:
            gain = means[1] / means[0] if min(means) >= _MIN_MEAN else 1.0
        offset = means[1] - gain * means[0]
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
    return gain, offset


def fit_levels(first: Array, second: Array) -> tuple[np.float32, np.float32]:
    """`fit_line` for grey levels (N,) in [0, 255]; the offset is in grey levels, too."""
    gain, offset = fit_line(first / _WHITE, second / _WHITE)
    return np.float32(gain), np.float32(offset) * _WHITE
