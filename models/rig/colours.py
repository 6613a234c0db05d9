"""Difference in exposure and colour between the two cameras, measured at matching points."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Bools
from models.measurement.flow_measurement import Measurement, measure_pair, to_pixels
from models.measurement.sampling import gaussian_blur, pixel_grid, sample_image
from models.measurement.statistics import fit_line

Samples = tuple[Array, Array, Bools]

_STRIDE = 3  # px between the points that are compared
_BLUR = 1.5  # px: removes the influence of smaller flow errors, and of noise
_CLIPPED = (4 / 255, 250 / 255)
_CLIPPED_REACH = 9  # px across, around a clipped pixel, that the blur reaches


class ColourDifference(NamedTuple):
    """Values of b2t as a function of those of t2b, per channel R, G, B: gain * value + offset.

    Attributes:
        gain: (3,), positive.
        offset: (3,) in image values.
    """

    gain: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def at_grey(self) -> tuple[float, ...]:
        """(3,) relative difference at 1/2 in t2b: 0.1 if b2t is brighter by a tenth."""
        return tuple(gain - 1 + 2 * offset for gain, offset in zip(*self, strict=True))


def estimate_colours(pairs: Iterable[Tensor], scan_time: Tensor | None = None) -> ColourDifference:
    """Estimate the colour difference of a rig from one or, better, several of its captures.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
    """
    return fit_colours([match_points(pair, measure_pair(pair, scan_time)[0]) for pair in pairs])


def match_colours(pair: Tensor, difference: ColourDifference) -> Tensor:
    """Convert both views to the colours halfway between them.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        difference: as estimated from this rig.

    Returns:
        (2, 3, H, W) in [0, 1].
    """
    gain, offset = (pair.new_tensor(part)[:, None, None] for part in difference)
    # In t2b's colours; the mean of a value v and of gain * v + offset is halfway.
    views = torch.stack((pair[0], (pair[1] - offset) / gain))
    return (views * (1 + gain) / 2 + offset / 2).clamp(0, 1)


def match_points(pair: Tensor, measurement: Measurement) -> Samples:
    """Colours (N, 3) of the same points in t2b and in b2t, and whether they are unclipped, (N, 3).

    The measurement is that of t2b.
    """
    x, y = pixel_grid(measurement.own.shape, _STRIDE)
    thin = np.s_[::_STRIDE, ::_STRIDE]
    with single_threaded_opencv():
        (t2b, t2b_usable), (b2t, b2t_usable) = map(_blur_unclipped, to_pixels(pair))
        match = x + measurement.flow[thin][..., 0], y + measurement.flow[thin][..., 1]
        second, second_usable = sample_image(b2t, *match), sample_image(b2t_usable, *match)
    usable = (t2b_usable[thin] > 0.99) & (second_usable > 0.99)
    chosen = measurement.trusted[thin]
    return t2b[thin][chosen], second[chosen], usable[chosen]


def fit_colours(samples: Iterable[Samples]) -> ColourDifference:
    """Fit a line to each channel (`fit_line`), given results of `match_points`."""
    parts = list(samples)
    if not parts:
        return ColourDifference()
    first, second, usable = (np.concatenate(part) for part in zip(*parts, strict=True))
    lines = [
        fit_line(values[chosen], others[chosen])
        for values, others, chosen in zip(first.T, second.T, usable.T, strict=True)
    ]
    return ColourDifference(*zip(*lines, strict=True))


def _blur_unclipped(image: Array) -> tuple[Array, Array]:
    """Blur an image (H, W, 3); also return 1 where no clipped value contributes, else 0."""
    clipped = (image <= _CLIPPED[0]) | (image >= _CLIPPED[1])
    near = cv2.dilate(clipped.astype(np.float32), np.ones((_CLIPPED_REACH, _CLIPPED_REACH)))
    return gaussian_blur(image, _BLUR), np.asarray(1 - near, np.float32)
