"""Difference in exposure and colour between the two cameras, measured where their views agree."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.flow.dis import single_threaded_opencv
from models.measurement.flow_measurement import Measurement, measure_pair, to_pixels
from models.measurement.sampling import sample_image
from models.measurement.statistics import fit_line

Array = npt.NDArray[np.float32]
Samples = tuple[Array, Array, npt.NDArray[np.bool_]]

_STRIDE = 3  # px between the points that are compared
_BLUR = 1.5  # px: flow errors and noise below it do not count
_CLIPPED = (4 / 255, 250 / 255)
_CLIPPED_REACH = 9  # px across, around a clipped pixel, that blur carries it


class ColourDifference(NamedTuple):
    """Values of b2t for those of t2b, per channel R, G, B: gain * value + offset.

    Attributes:
        gain: (3,), positive.
        offset: (3,) in image values.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def at_grey(self) -> tuple[float, float, float]:
        """Relative difference of what t2b shows as 1/2: 0.1 if b2t is a tenth brighter."""
        red, green, blue = (
            gain - 1 + 2 * offset for gain, offset in zip(self.gain, self.offset, strict=True)
        )
        return red, green, blue


def estimate_colours(pairs: Iterable[Tensor], scan_time: Tensor | None = None) -> ColourDifference:
    """Colour difference of a rig from one or more of its captures; the more, the surer.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these rows by default.
    """
    return fit_colours([match_points(pair, measure_pair(pair, scan_time)[0]) for pair in pairs])


def match_colours(pair: Tensor, difference: ColourDifference) -> Tensor:
    """Both views brought to the colours halfway between them.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        difference: as estimated from this rig.

    Returns:
        (2, 3, H, W) in [0, 1].
    """
    gain, offset = (pair.new_tensor(part)[:, None, None] for part in difference)
    t2b, b2t = pair[0], (pair[1] - offset) / gain
    # A value v of t2b's camera is gain * v + offset to the other, and the mean of both is shown.
    shown = torch.stack((t2b, b2t)) * (1 + gain) / 2 + offset / 2
    return shown.clamp(0, 1)


def match_points(pair: Tensor, measurement: Measurement) -> Samples:
    """Colours (N, 3) of the same points in t2b and in b2t, and which of them (N, 3) are no limits.

    Args:
        pair: (2, 3, H, W).
        measurement: of its t2b.
    """
    height, width = measurement.own.shape
    y, x = np.mgrid[0:height:_STRIDE, 0:width:_STRIDE].astype(np.float32)
    thin = np.s_[::_STRIDE, ::_STRIDE]
    with single_threaded_opencv():
        (t2b, t2b_usable), (b2t, b2t_usable) = map(_blur, to_pixels(pair))
        place = x + measurement.flow[thin][..., 0], y + measurement.flow[thin][..., 1]
        second, second_usable = sample_image(b2t, *place), sample_image(b2t_usable, *place)
    usable = (t2b_usable[thin] > 0.99) & (second_usable > 0.99)
    chosen = measurement.confidence[thin] > 0.5
    return t2b[thin][chosen], second[chosen], usable[chosen]


def fit_colours(samples: Iterable[Samples]) -> ColourDifference:
    """The line through the colours that most points agree on, for each channel by itself.

    Args:
        samples: of `match_points`, one for each capture.
    """
    parts = list(samples)
    if not parts:
        return ColourDifference()
    first, second, usable = (np.concatenate(part) for part in zip(*parts, strict=True))
    lines = [
        fit_line(first[usable[:, channel], channel], second[usable[:, channel], channel])
        for channel in range(3)
    ]
    (red, red_offset), (green, green_offset), (blue, blue_offset) = lines
    return ColourDifference((red, green, blue), (red_offset, green_offset, blue_offset))


def _blur(image: Array) -> tuple[Array, Array]:
    """An image (H, W, 3) without detail, and 1 where no value near is clipped."""
    clipped = (image <= _CLIPPED[0]) | (image >= _CLIPPED[1])
    near = cv2.dilate(clipped.astype(np.float32), np.ones((_CLIPPED_REACH, _CLIPPED_REACH)))
    blurred = cv2.GaussianBlur(image, (0, 0), _BLUR)
    return np.asarray(blurred, np.float32), np.asarray(1 - near, np.float32)
