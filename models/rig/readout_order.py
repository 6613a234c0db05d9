"""Whether the views are read out in the stated directions, from two successive captures.

One capture alone cannot tell: exchanged views are exactly what the scene shows when time runs
backwards, s becoming 1 - s in both. From one capture to the next, however, time runs forwards
whatever the views are called, so motion between captures has the sign of the motion within one.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.flow.dis import single_threaded_opencv, to_luma
from models.measurement.flow_measurement import Measurement, measure_motion, to_pixels
from models.measurement.scan import Scan
from models.rig.alignment import Alignment

Array = npt.NDArray[np.float32]
Verdict = Literal["as stated", "swapped", "same direction", "cannot be told"]

_WIDE_GAP = 0.75
"""Of the readout: motion is compared where it was seen for longest. There nearly the same time
passes to the next capture, so that even a shaking camera moves alike in both."""

_NARROW_GAP = 0.2  # of the readout: mid-height
_LEAST_TRUSTED = 0.3  # share of the image that must be found again in the next capture
_LEAST_MOTION = 1.0  # px, root mean square of what is compared
_LEAST_AGREEMENT = 0.5
_LEAST_PACE, _MOST_PACE = 0.15, 2.5
_HARDLY_ANY, _NO_PACE = 0.15, 0.05  # of the motion expected


class ReadoutOrder(NamedTuple):
    """How the motion within a capture compares with that to the next one.

    Attributes:
        agreement: correlation of the two, from -1 to 1; 1 where all moves on uniformly.
        within: px, root mean square of the motion within the capture.
        expected: px, what it should be after the motion to the next one, given the timing stated.
        trusted: share of the image that is found again in the next capture.
        onwards: (x, y) px by which most of mid-height moves to the next t2b and to the next b2t.
    """

    agreement: float
    within: float
    expected: float
    trusted: float
    onwards: tuple[tuple[float, float], tuple[float, float]]

    @property
    def transposed(self) -> "ReadoutOrder":
        """That of the same views with rows and columns exchanged."""
        first, second = self.onwards
        return self._replace(onwards=(first[::-1], second[::-1]))

    @property
    def pace(self) -> float:
        """Motion found over motion expected: 1 if all is as stated.

        It is -1 if the views are swapped, 0 if both are read the same way, and the share of the
        stated readout that the true one takes if only that differs.
        """
        return self.agreement * self.within / max(self.expected, 1e-6)

    @property
    def verdict(self) -> Verdict:
        """What is certain; in doubt, that it cannot be told."""
        if self.trusted < _LEAST_TRUSTED or self.expected < _LEAST_MOTION:
            return "cannot be told"
        if self.within < _HARDLY_ANY * self.expected and abs(self.pace) < _NO_PACE:
            return "same direction"
        certain = abs(self.agreement) > _LEAST_AGREEMENT
        if not (certain and _LEAST_PACE < abs(self.pace) < _MOST_PACE):
            return "cannot be told"
        return "as stated" if self.agreement > 0 else "swapped"


def compare_motion(
    measurements: tuple[Measurement, Measurement],
    alignment: Alignment,
    pair: Tensor,
    next_pair: Tensor,
) -> ReadoutOrder:
    """Compare the motion within a capture with that to the next one of the same video.

    Args:
        measurements: of t2b and b2t, parallax included.
        alignment: of the two cameras.
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        next_pair: (2, 3, H, W) one frame interval later.
    """
    sums, found, medians = np.zeros(3), [], []
    for measurement, side, before, after in zip(
        measurements, (1, -1), to_pixels(pair), to_pixels(next_pair), strict=True
    ):
        within = displacement_within(measurement, alignment, side=side)
        with single_threaded_opencv():
            onwards, _ = measure_motion((to_luma(before), to_luma(after)), Scan(0, 1))
        expected = measurement.gap[..., None] * onwards.flow
        gap, readout = np.abs(measurement.gap), np.ptp(measurement.own)
        weight = measurement.confidence * (gap > _WIDE_GAP * readout)
        weight = weight * (onwards.confidence > 0.5)
        terms = (expected * within, expected * expected, within * within)
        sums += [float((weight * term.sum(-1)).sum() / max(weight.sum(), 1)) for term in terms]
        trusted = onwards.confidence > 0.5
        found.append(float(trusted.mean()))
        medians.append(_median(onwards.flow[trusted & (gap < _NARROW_GAP * readout)]))
    product, of_expected, of_within = sums
    return ReadoutOrder(
        float(product / max((of_expected * of_within) ** 0.5, 1e-9)),
        float((of_within / 2) ** 0.5),
        float((of_expected / 2) ** 0.5),
        min(found),
        (medians[0], medians[1]),
    )


def displacement_within(measurement: Measurement, alignment: Alignment, *, side: int) -> Array:
    """(H, W, 2) px by which things moved over the gap, the rig's displacement taken off.

    Args:
        measurement: of t2b or b2t, parallax included.
        alignment: of the two cameras.
        side: 1 for t2b, -1 for b2t.
    """
    height, width = measurement.own.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    matrix = alignment.matrix((height, width), share=side).astype(np.float32)
    points = np.stack((x, y), axis=-1)
    moved: Array = measurement.flow - (points @ matrix[:, :2].T + matrix[:, 2] - points)
    return moved


def _median(flow: Array) -> tuple[float, float]:
    """Of vectors (N, 2), by component; zero of none."""
    x, y = np.median(flow, axis=0) if len(flow) else (0.0, 0.0)
    return float(x), float(y)
