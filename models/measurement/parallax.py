"""Displacement between the two cameras, from flow where both are exposed at once.

At equal instants the views of ideal cameras agree. Of real ones one stands a little beside the
other, turned or with another focal length: what that does along the row of equal exposure is
modelled as a line over x. Away from that row it cannot be told from motion.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.measurement.flow_measurement import Measurement

Array = npt.NDArray[np.float32]

_GAP = 0.12  # readouts between the exposures compared
_STRIP = 40  # px wide, in which the parallax is taken to be one
_LEAST_PIXELS, _LEAST_SHARE = 100, 0.25  # of a strip, and of those to either side of no gap
_LEAST_PARALLAX, _LEAST_CHANGE = 0.3, 0.4  # px, and px over half the width
_LEAST_SPREAD = 0.02  # px: strips never agree better
_SPREAD_OF_MEDIAN = 1.5  # root mean square of deviations over their median, with some outliers
_LEAST_RESIDUAL = 0.3  # px: strips nearer to the line have all the same weight
_LEAST_STRIPS, _LEAST_STRIPS_OF_LINE = 4, 12  # in both views together
_LINE_STEPS = 10

LEAST_CERTAINTY = 3.0
"""Standard errors from which on what strips say is no accident."""


class Parallax(NamedTuple):
    """Displacement from t2b to b2t at equal instants, a line over x.

    Attributes:
        middle: (2,) px in the middle of the image.
        change: (2,) px that it is more at the right edge.
        width: of the image.
    """

    middle: Array
    change: Array
    width: int

    @classmethod
    def none(cls, width: int) -> "Parallax":
        """That of views that agree."""
        return cls(np.zeros(2, np.float32), np.zeros(2, np.float32), width)

    def across(self, x: Array) -> Array:
        """How far columns (...) are from the middle, in half widths."""
        return (x - np.float32((self.width - 1) / 2)) / np.float32(self.width / 2)

    def at(self, x: Array) -> Array:
        """(..., 2) px at columns `x` (...)."""
        return self.middle + self.change * self.across(x)[..., None]


class _Strips(NamedTuple):
    """Place of each strip from the centre, in half widths (N,), and parallax there (N, 2)."""

    place: Array
    parallax: Array


def estimate_parallax(t2b: Measurement, b2t: Measurement) -> Parallax:
    """Parallax between the views; none, or the same everywhere, where more is in doubt.

    In strips of columns flow is a line over the gap; its value at no gap is the parallax, and the
    strips' disagreement tells how certain the whole is.
    """
    nothing = Parallax.none(t2b.own.shape[1])
    found = [*strip_intercepts(t2b), *((column, -value) for column, value in strip_intercepts(b2t))]
    if len(found) < _LEAST_STRIPS:
        return nothing
    columns, values = zip(*found, strict=True)
    strips = _Strips(nothing.across(np.array(columns, np.float32)), np.stack(values))
    change = _change(strips)
    level = strips.parallax - change * strips.place[:, None]
    middle = np.median(level, axis=0).astype(np.float32)
    if change.any() or _is_certain(middle, level - middle, least=_LEAST_PARALLAX):
        return nothing._replace(middle=middle, change=change)
    return nothing


def strip_intercepts(measurement: Measurement) -> Sequence[tuple[float, Array]]:
    """Column and flow at no gap of each strip that is well measured to both sides of it."""
    band = (np.abs(measurement.gap) < _GAP) & (measurement.confidence > 0.5)
    found = []
    for left in range(0, band.shape[1], _STRIP):
        strip = (slice(None), slice(left, left + _STRIP))
        chosen = band[strip]
        gap, flow = measurement.gap[strip][chosen], measurement.flow[strip][chosen]
        later = np.count_nonzero(gap > 0)
        fewer = min(later, len(gap) - later)
        if len(gap) >= _LEAST_PIXELS and fewer >= _LEAST_SHARE * len(gap):
            column = (left + min(left + _STRIP, band.shape[1]) - 1) / 2
            found.append((column, _fit_line(gap, flow, steps=3)[0]))
    return found


def standard_error(deviations: npt.NDArray[np.floating[Any]]) -> float:
    """Standard error of the mean over N strips, from their deviations (N, 2) from it.

    Neighbours overlap: N / 2 count as independent.
    """
    spread = max(_SPREAD_OF_MEDIAN * float(np.median(np.hypot(*deviations.T))), _LEAST_SPREAD)
    return spread / (len(deviations) / 2) ** 0.5


def _change(strips: _Strips) -> Array:
    """Change (2,) of the parallax over half the width; zero where that is in doubt."""
    nothing = np.zeros(2, np.float32)
    if len(strips.place) < _LEAST_STRIPS_OF_LINE:
        return nothing
    line = _fit_line(strips.place, strips.parallax, steps=_LINE_STEPS)
    residual = strips.parallax - line[0] - line[1] * strips.place[:, None]
    spread = float(np.sqrt(np.mean((strips.place - strips.place.mean()) ** 2)))
    certain = _is_certain(line[1], residual / spread, least=_LEAST_CHANGE)
    return line[1] if certain else nothing


def _is_certain(value: Array, deviations: Array, *, least: float) -> bool:
    """Whether a mean (2,) of strips that deviate so (N, 2) is large enough, and no accident."""
    return float(np.hypot(*value)) >= max(least, LEAST_CERTAINTY * standard_error(deviations))


def _fit_line(place: Array, values: Array, *, steps: int) -> Array:
    """Robust line through `values` (N, 2) over `place` (N,): value at 0, and slope; (2, 2)."""
    terms = np.stack((np.ones_like(place), place), axis=1)
    weight = np.ones_like(place)
    for _ in range(steps):
        weighted = terms * weight[:, None]
        line = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(2), weighted.T @ values)
        residual = np.hypot(*(values - terms @ line).T)
        weight = 1 / np.maximum(residual, _LEAST_RESIDUAL)
    return np.asarray(line, np.float32)
