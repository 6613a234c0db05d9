"""Light that flickers while the rows are exposed: its frequency, and its removal from a pair.

Mains and dimmed LEDs change the brightness of all that they light, so rows differ by how bright the
light was at their exposure. The gain at time t is modelled as m(t) = 1 + a sin(u) + b cos(u) with
u = 2 pi f (t - 1/2). A point exposed at time t in one view and t' in the other is brighter by
m(t) / m(t') there. Without vertical motion t' = 1 - t, and that ratio shows a, and b only beside a
large a; then changes of brightness from row to row, common to most columns, tell b.
"""

from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

from models.flow.dis import single_threaded_opencv, to_luma
from models.measurement.arrays import Array, Bools, Doubles, Luma
from models.measurement.flow_measurement import measure_motion, to_pixels
from models.measurement.sampling import gaussian_blur, grid_spacing, pixel_grid, sample_image
from models.measurement.scan import Scan
from models.measurement.statistics import geman_mcclure_weight, robust_std

_BLUR = 1.5  # px: flow errors and noise then change levels less
_USABLE = (0.03, 0.985)  # of [0, 1]: darker values are noise, brighter ones clipped
_CLIPPED_REACH = 9  # px across, that the blur reaches
_MAX_POINTS = 30_000  # of each view
_MIN_POINTS = 1_000
_DETAIL = 6.0  # px
_STEP = 6  # rows over which changes of brightness are measured
_ROUNDS, _ITERATIONS = 3, 6  # flow on steadier views, and least squares with each
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 0.2, 0.02, 0.6  # of log levels, of robust weights
_CORRELATION = (30, 60)  # points that count as one: neighbours err alike
_LARGEST = 0.9  # amplitude; the light never goes out
_MAX_STEP = 0.1  # cycles per readout, of the frequency in one iteration


class Flicker(NamedTuple):
    """The flicker of a recording.

    Attributes:
        frequency: cycles per readout.
        amplitude: largest relative change of the brightness, in (0, 1).
    """

    frequency: float
    amplitude: float


class RowGains(NamedTuple):
    """Brightness 1 + sine * sin(u) + cosine * cos(u) at time t, u = 2 pi frequency (t - 1/2).

    The frequency is in cycles per unit of time, a frame interval.
    """

    frequency: float
    sine: float
    cosine: float

    @property
    def amplitude(self) -> float:
        """Largest relative change of the brightness."""
        return float(np.hypot(self.sine, self.cosine))

    def at(self, time: Doubles) -> Doubles:
        """Brightness at times (...), 1 on the average."""
        phase = 2 * np.pi * self.frequency * (time - 0.5)
        return np.asarray(1 + self.sine * np.sin(phase) + self.cosine * np.cos(phase))

    def slopes(self, time: Doubles) -> Doubles:
        """Derivatives (..., 3) of the logarithm of `at` by sine, cosine and frequency."""
        turns = 2 * np.pi * (time - 0.5)
        sin, cos = np.sin(self.frequency * turns), np.cos(self.frequency * turns)
        by_frequency = turns * (self.sine * cos - self.cosine * sin)
        gain = 1 + self.sine * sin + self.cosine * cos
        return np.asarray(np.stack((sin, cos, by_frequency), axis=-1) / gain[..., None])


class Points(NamedTuple):
    """Points that both views show, or two rows of one view: logarithms of levels, and times.

    Attributes:
        time: (N,) at which the first of two is exposed, in frame intervals.
        other_time: (N,) likewise of the second.
        difference: (N,) logarithm of the first level minus that of the second.
        side: (N,) 1 where the first is of t2b, -1 where it is of b2t.
        column: (N,) in [0, 1) of the width.
    """

    time: Doubles
    other_time: Doubles
    difference: Doubles
    side: Doubles
    column: Doubles


def measure_row_gains(pair: Tensor, scan_time: Tensor | None, frequency: float) -> RowGains:
    """Measure the flicker of one pair, given about its frequency.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
        frequency: cycles per readout.

    Returns:
        The gains; 1 for all rows if too few points are found in both views.
    """
    scan = Scan.of(scan_time, pair.shape[-2])
    gains = RowGains(frequency / readout_of(scan, pair.shape[-2]), 0.0, 0.0)
    rows = compare_rows(pair, scan)
    for _ in range(_ROUNDS):
        points = compare_views(pair, scan, remove_flicker(pair, scan_time, gains))
        if len(points.time) < _MIN_POINTS:
            return gains._replace(sine=0.0, cosine=0.0)
        gains = _fit(gains, points, rows)
    # The blur of the levels along the readout weakens what was measured.
    phase = 2 * np.pi * gains.frequency * scan.row_time * _BLUR
    seen = max(float(np.exp(-(phase**2) / 2)), 0.2)
    return _limited(gains._replace(sine=gains.sine / seen, cosine=gains.cosine / seen))


def remove_flicker(pair: Tensor, scan_time: Tensor | None, gains: RowGains) -> Tensor:
    """Divide rows by their gains; (2, 3, H, W) -> (2, 3, H, W) in [0, 1]."""
    height = pair.shape[-2]
    scan = Scan.of(scan_time, height)
    rows = np.arange(height, dtype=np.float64)
    brightness = np.stack([gains.at(s.first + s.row_time * rows) for s in (scan, scan.reversed)])
    return (pair / pair.new_tensor(brightness)[:, None, :, None]).clamp(0, 1)


def compare_views(pair: Tensor, scan: Scan, steady: Tensor | None = None) -> Points:
    """Points that both views show.

    They are found in views whose flicker is removed, if these are given, else by details.
    """
    found = []
    with single_threaded_opencv():
        levels = [*map(_log_levels, to_pixels(pair))]
        if steady is None:
            first, second = (_details(level) for level, _ in levels)
        else:
            first, second = map(to_luma, to_pixels(steady))
        measurements = measure_motion((first, second), scan)
    spacing = grid_spacing((pair.shape[-2], pair.shape[-1]), 1, _MAX_POINTS)
    thin = np.s_[::spacing, ::spacing]
    for measurement, (own, usable), (other, other_usable), side in zip(
        measurements, levels, levels[::-1], (1, -1), strict=True
    ):
        x, y = pixel_grid(measurement.own.shape, spacing)
        match = x + measurement.flow[thin][..., 0], y + measurement.flow[thin][..., 1]
        chosen = measurement.trusted[thin] & (usable[thin] > 0.5)
        chosen &= sample_image(other_usable, *match) > 0.99
        time = measurement.own[thin]
        values = (
            time,
            time + measurement.gap[thin],
            own[thin] - sample_image(other, *match),
            np.full(time.shape, side),
            x / measurement.own.shape[1],
        )
        found.append([part[chosen].astype(np.float64) for part in values])
    return Points(*map(np.concatenate, zip(*found, strict=True)))


def compare_rows(pair: Tensor, scan: Scan) -> Points:
    """Points of both views, each compared with that a few rows below it."""
    found = []
    spacing = grid_spacing((pair.shape[-2], pair.shape[-1]), 1, _MAX_POINTS)
    with single_threaded_opencv():
        levels = [*map(_log_levels, to_pixels(pair))]
    for (level, usable), own_scan, side in zip(levels, (scan, scan.reversed), (1, -1), strict=True):
        above, below = (
            (level[part][::spacing, ::spacing], usable[part][::spacing, ::spacing] > 0.5)
            for part in (np.s_[:-_STEP], np.s_[_STEP:])
        )
        x, y = pixel_grid(level[:-_STEP].shape, spacing)
        chosen: Bools = above[1] & below[1]
        values = (
            own_scan.at(y),
            own_scan.at(y + _STEP),
            above[0] - below[0],
            np.full(y.shape, side),
            x / level.shape[1],
        )
        found.append([part[chosen].astype(np.float64) for part in values])
    return Points(*map(np.concatenate, zip(*found, strict=True)))


def readout_of(scan: Scan, height: int) -> float:
    """Time from the exposure of the first row to that of the last, in frame intervals."""
    return abs(scan.row_time) * (height - 1)


def _details(level: Array) -> Luma:
    """Grey levels of what is finer than the flicker, so that flow does not follow its stripes."""
    fine = level - gaussian_blur(level, _DETAIL)
    contrast = gaussian_blur(fine**2, _DETAIL) ** 0.5
    return np.clip(128 + 40 * fine / np.maximum(contrast, 0.05), 0, 255).astype(np.uint8)


def _log_levels(image: Array) -> tuple[Array, Array]:
    """Logarithm of the blurred luma (H, W) of an RGB image, and 1 where it is usable, else 0."""
    luma = image @ np.array((0.299, 0.587, 0.114), dtype=np.float32)
    lowest, highest = (np.full(3, level) for level in _USABLE)
    usable = np.asarray(cv2.inRange(image, lowest, highest), np.float32) / 255
    near = cv2.erode(usable, np.ones((_CLIPPED_REACH, _CLIPPED_REACH)))
    levels = np.log(np.maximum(gaussian_blur(luma, _BLUR), _USABLE[0] / 4))
    return levels.astype(np.float32), np.asarray(near, np.float32)


def _fit(gains: RowGains, points: Points, rows: Points) -> RowGains:
    """Improve the gains by robust least squares (Gauss-Newton).

    Unknown are sine, cosine, frequency, and the ratio of brightness of the two views.
    """
    scale, ratio = _FIRST_SCALE, 0.0
    is_first = not gains.sine and not gains.cosine
    for _ in range(_ITERATIONS):
        normal, wanted = np.zeros((4, 4)), np.zeros(4)
        for part, count, has_ratio in zip((points, rows), _CORRELATION, (1, 0), strict=True):
            terms = np.column_stack(
                (gains.slopes(part.time) - gains.slopes(part.other_time), has_ratio * part.side)
            )
            expected = np.log(gains.at(part.time) / gains.at(part.other_time))
            left = part.difference - expected - has_ratio * ratio * part.side
            weight = geman_mcclure_weight((left / scale) ** 2)
            share = 1 / max(robust_std(left), 1e-4) ** 2 / count
            normal += share * (terms.T * weight) @ terms
            wanted += share * (terms.T * weight) @ left
        # Without flicker the frequency is not defined, and stays.
        normal += np.diag([1e-6, 1e-6, 1e-6, 1e-6]) * np.trace(normal)
        if is_first:
            normal[2, :] = normal[:, 2] = wanted[2] = 0
            normal[2, 2] = 1
        step = np.linalg.solve(normal, wanted)
        is_first, ratio = False, ratio + step[3]
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
        gains = _limited(
            RowGains(
                gains.frequency + float(np.clip(step[2], -_MAX_STEP, _MAX_STEP)),
                gains.sine + float(step[0]),
                gains.cosine + float(step[1]),
            )
        )
    return gains


def _limited(gains: RowGains) -> RowGains:
    """Gains with at most the largest amplitude."""
    shrink = min(1.0, _LARGEST / max(gains.amplitude, 1e-9))
    return gains._replace(sine=gains.sine * shrink, cosine=gains.cosine * shrink)
