"""Parallax between the two cameras, measured by flow where both expose at the same time.

Ideal cameras agree at equal times. Real ones stand side by side, turned, or with different focal
lengths. Along the row of equal exposure that displacement is modelled as a line over x; away from
that row it cannot be told from motion.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.measurement.arrays import Array, to_array
from models.measurement.flow_measurement import Measurement

MIN_CERTAINTY = 3.0
"""Standard errors above which a result is significant."""

MIN_STRIPS, MIN_STRIPS_OF_LINE = 4, 12
"""Strips of both views together that a displacement needs, and one that changes over x."""

MIN_CHANGE = 0.4
"""Smallest change of the displacement over half the width, in px."""

MAX_GAP = 0.12  # readouts between the exposures that are compared
STRIP = 40  # px: width over which the parallax is taken to be constant
MIN_PIXELS, MIN_SHARE = 100, 0.25  # of a strip, and share of them with either sign of the gap
MIN_PARALLAX = 0.3  # px
MIN_SPREAD = 0.02  # px: strips never agree better
RMS_OVER_MEDIAN = 1.5  # of deviations, with some outliers
HUBER_SCALE = 0.3  # px: smaller residuals have equal weights
LINE_ITERATIONS = 10


class Parallax(NamedTuple):
    """Displacement from t2b to b2t at equal times, a line over x.

    Attributes:
        middle: (2,) px in the middle of the image.
        change: (2,) px from the middle to the right edge.
        width: of the image.
    """

    middle: Array
    change: Array
    width: int

    @classmethod
    def none(cls, width: int) -> "Parallax":
        """No parallax."""
        return cls(np.zeros(2, np.float32), np.zeros(2, np.float32), width)

    @property
    def on_host(self) -> "Parallax":
        """The only parallax of a batch of tensors, as arrays."""
        middle, change = (to_array(part).reshape(2) for part in (self.middle, self.change))
        return self._replace(middle=middle, change=change)

    def across(self, x: Array) -> Array:
        """Distances (...) of columns `x` from the middle, in half widths."""
        return (x - np.float32((self.width - 1) / 2)) / np.float32(self.width / 2)

    def at(self, x: Array) -> Array:
        """(..., 2) px at columns `x` (...)."""
        return self.middle + self.change * self.across(x)[..., None]


def estimate_parallax(t2b: Measurement, b2t: Measurement) -> Parallax:
    """Estimate the parallax: a line where it is significant, else a constant, else none.

    In each strip of columns, flow is fitted by a line over the gap; its value at gap 0 is the
    parallax. The strips' scatter gives the standard error.
    """
    none = Parallax.none(t2b.own.shape[1])
    found = [*strip_intercepts(t2b), *((column, -value) for column, value in strip_intercepts(b2t))]
    if len(found) < MIN_STRIPS:
        return none
    columns, values = zip(*found, strict=True)
    place, parallax = none.across(np.array(columns, np.float32)), np.stack(values)
    change = _fit_change(place, parallax)
    level = parallax - change * place[:, None]
    middle = np.median(level, axis=0).astype(np.float32)
    if change.any() or _is_significant(middle, level - middle, minimum=MIN_PARALLAX):
        return none._replace(middle=middle, change=change)
    return none


def strip_intercepts(measurement: Measurement) -> Sequence[tuple[float, Array]]:
    """Column, and flow (2,) at gap 0, of each strip that is well measured on both sides of it."""
    band = (np.abs(measurement.gap) < MAX_GAP) & measurement.trusted
    found = []
    for left in range(0, band.shape[1], STRIP):
        strip = (slice(None), slice(left, left + STRIP))
        chosen = band[strip]
        gap, flow = measurement.gap[strip][chosen], measurement.flow[strip][chosen]
        later = np.count_nonzero(gap > 0)
        if len(gap) >= MIN_PIXELS and min(later, len(gap) - later) >= MIN_SHARE * len(gap):
            column = (left + min(left + STRIP, band.shape[1]) - 1) / 2
            found.append((column, _fit_line(gap, flow, iterations=3)[0]))
    return found


def standard_error(deviations: npt.NDArray[np.floating[Any]]) -> float:
    """Standard error of the mean over N strips, from their deviations (N, 2) from it.

    Neighbouring strips are correlated: they count as N / 2 independent ones.
    """
    spread = max(RMS_OVER_MEDIAN * float(np.median(np.hypot(*deviations.T))), MIN_SPREAD)
    return spread / (len(deviations) / 2) ** 0.5


def _fit_change(place: Array, parallax: Array) -> Array:
    """Change (2,) over half the width of strips' parallax (N, 2); zero if not significant."""
    if len(place) >= MIN_STRIPS_OF_LINE:
        line = _fit_line(place, parallax, iterations=LINE_ITERATIONS)
        residual = parallax - line[0] - line[1] * place[:, None]
        spread = float(np.sqrt(np.mean((place - place.mean()) ** 2)))
        if _is_significant(line[1], residual / spread, minimum=MIN_CHANGE):
            return line[1]
    return np.zeros(2, np.float32)


def _is_significant(value: Array, deviations: Array, *, minimum: float) -> bool:
    """Whether a mean (2,) of strips is large enough, given their deviations (N, 2) from it."""
    return float(np.hypot(*value)) >= max(minimum, MIN_CERTAINTY * standard_error(deviations))


def _fit_line(place: Array, values: Array, *, iterations: int) -> Array:
    """Fit a line to `values` (N, 2) over `place` (N,) by IRLS with Huber weights.

    Returns:
        (2, 2): value at 0, and slope.
    """
    terms = np.stack((np.ones_like(place), place), axis=1)
    weight = np.ones_like(place)
    for _ in range(iterations):
        weighted = terms * weight[:, None]
        line = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(2), weighted.T @ values)
        residual = np.hypot(*(values - terms @ line).T)
        weight = 1 / np.maximum(residual, HUBER_SCALE)
    return np.asarray(line, np.float32)
