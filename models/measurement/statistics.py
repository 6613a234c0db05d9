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
