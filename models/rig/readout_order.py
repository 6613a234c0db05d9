"""Check of the stated readout directions, from two successive captures.

One capture is not enough: swapped views equal the scene in reversed time, since s becomes 1 - s in
both. From one capture to the next, however, time runs forwards whatever the views are called, so
motion between captures has the sign of the motion within one.
"""

from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from models.flow.dis import single_threaded_opencv, to_luma
from models.measurement.arrays import Array
from models.measurement.flow_measurement import Measurement, measure_motion, to_pixels
from models.measurement.sampling import pixel_grid
from models.measurement.scan import Scan
from models.rig.alignment import Alignment

Verdict = Literal["as stated", "swapped", "same direction", "cannot be told"]

# Motion is compared over the widest gaps. Those nearly reach the next capture, so that even a
# shaking camera moves alike within a capture and to the next one.
_MIN_WIDE_GAP = 0.75  # of the readout
_MAX_NARROW_GAP = 0.2  # of the readout: around mid-height
_MIN_TRUSTED = 0.3  # share of the image that must be found again in the next capture
_MIN_MOTION = 1.0  # px, root mean square of the expected motion
_MIN_AGREEMENT = 0.5
_MIN_RATIO, _MAX_RATIO = 0.15, 2.5
# Limits of views that are read the same way, relative to the expected motion.
_MAX_SAME_WAY_MOTION, _MAX_SAME_WAY_RATIO = 0.15, 0.05


class ReadoutOrder(NamedTuple):
    """Motion within a capture, compared with the motion to the next one.

    Attributes:
        agreement: correlation of the two, from -1 to 1; 1 for uniform motion.
        within: px, root mean square of the motion within the capture.
        expected: px, the same as predicted by the motion to the next capture and the stated timing.
        trusted: share of the image that is found again in the next capture.
        motion_to_next: median (x, y) px at mid-height from t2b to the next t2b, and of b2t.
    """

    agreement: float
    within: float
    expected: float
    trusted: float
    motion_to_next: tuple[tuple[float, float], tuple[float, float]]

    @property
    def transposed(self) -> "ReadoutOrder":
        """The result for the same views with rows and columns exchanged."""
        first, second = self.motion_to_next
        return self._replace(motion_to_next=(first[::-1], second[::-1]))

    @property
    def motion_ratio(self) -> float:
        """Measured over expected motion: 1 if all is as stated.

        It is -1 if the views are swapped, 0 if both are read the same way, and otherwise the true
        duration of the readout over the stated one.
        """
        return self.agreement * self.within / max(self.expected, 1e-6)

    @property
    def verdict(self) -> Verdict:
        """The order if it is certain, else "cannot be told"."""
        if self.trusted < _MIN_TRUSTED or self.expected < _MIN_MOTION:
            return "cannot be told"
        ratio = abs(self.motion_ratio)
        if self.within < _MAX_SAME_WAY_MOTION * self.expected and ratio < _MAX_SAME_WAY_RATIO:
            return "same direction"
        if abs(self.agreement) <= _MIN_AGREEMENT or not _MIN_RATIO < ratio < _MAX_RATIO:
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
        within = motion_within(measurement, alignment, side=side)
        with single_threaded_opencv():
            to_next, _ = measure_motion((to_luma(before), to_luma(after)), Scan(0, 1))
        expected = measurement.gap[..., None] * to_next.flow
        gap, readout = np.abs(measurement.gap), np.ptp(measurement.own)
        weight = measurement.confidence * (gap > _MIN_WIDE_GAP * readout) * to_next.trusted
        terms = (expected * within, expected * expected, within * within)
        sums += [float((weight * term.sum(-1)).sum() / max(weight.sum(), 1)) for term in terms]
        found.append(float(to_next.trusted.mean()))
        at_middle = to_next.flow[to_next.trusted & (gap < _MAX_NARROW_GAP * readout)]
        x, y = np.median(at_middle, axis=0) if len(at_middle) else (0.0, 0.0)
        medians.append((float(x), float(y)))
    product, of_expected, of_within = sums
    return ReadoutOrder(
        float(product / max((of_expected * of_within) ** 0.5, 1e-9)),
        float((of_within / 2) ** 0.5),
        float((of_expected / 2) ** 0.5),
        min(found),
        (medians[0], medians[1]),
    )


def motion_within(measurement: Measurement, alignment: Alignment, *, side: int) -> Array:
    """(H, W, 2) px of motion over the gap: the flow minus the displacement of the rig.

    The measurement is that of t2b (side 1) or of b2t (side -1), parallax included.
    """
    size = measurement.own.shape
    matrix = alignment.matrix((size[0], size[1]), share=side).astype(np.float32)
    points = np.stack(pixel_grid(size), axis=-1)
    return measurement.flow - (points @ matrix[:, :2].T + matrix[:, 2] - points)
