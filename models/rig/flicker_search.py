"""Whether the light of captures flickers, and at which frequency.

Both views are compared at the points that both show. A flicker shows as the same periodic function
of time in all parts of the width; what the scene does differs from part to part.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from models.measurement.arrays import Doubles
from models.measurement.scan import Scan
from models.rig.flicker import (
    Flicker,
    Points,
    compare_rows,
    compare_views,
    measure_row_gains,
    readout_of,
    remove_flicker,
)

_FREQUENCIES = np.concatenate((np.arange(0.9, 12, 0.04), np.arange(12, 40, 0.05)))
"""Cycles per readout. Slower changes are shading of the lens, or light that moves."""
_ENOUGH_ROWS = 240  # larger images are reduced to 240 to 479 rows
_MIN_ROWS_PER_CYCLE = 6.0
_MAX_ROWS, _MIN_ROWS = 256, 30  # groups of rows
_MIN_POINTS, _MANY_POINTS = 6, 200  # in a group
_UNSEEN = 0.02  # of the groups: information on the cosine below which it counts as zero
_PARTS = 4  # of the width, with equal numbers of points
_MIN_AMPLITUDE = ((0.005, 0.25), (0.01, 0.45))
"""Smallest amplitudes, and the largest spread between parts of the width, relative to them."""
_MIN_EXPLAINED = 0.5  # of the variance over the rows
_MAX_CHANGE = 0.15  # cycles per readout, from the search to the fit; else there is no such wave
_MAX_REMAINDER = 0.55  # of the unevenness over the rows, after the flicker is removed
_SUSPICIOUS, _SUSPICIOUS_SHARE = 0.004, 0.2  # unevenness, and the share that a wave explains of it
_CLEARLY_UNEVEN = 0.008  # whether or not a wave explains it


class _Rows(NamedTuple):
    """Groups of points of equal row of one view: medians (N,), and weights."""

    time: Doubles
    other_time: Doubles
    difference: Doubles
    side: Doubles
    weight: Doubles


class Light(NamedTuple):
    """What the light did during captures of one recording.

    Attributes:
        flicker: its flicker, if there is any.
        unevenness: root mean square of the relative difference in brightness, over the rows, at
            points that both views show; beyond a ratio of all rows and what flicker explains.
    """

    flicker: Flicker | None = None
    unevenness: float = 0.0


def measure_light(pairs: Sequence[Tensor], scan_time: Tensor | None = None) -> Light:
    """Find the flicker that is common to captures of one recording, if any of them shows it.

    A single capture is searched only if flow that follows its stripes, which its check and its
    correction need too, shows uneven light. Those of a clip are all searched, on small images.

    Args:
        pairs: each (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        scan_time: (H,) exposure times of t2b's rows; by default they fill the whole readout.
    """
    scan = Scan.of(scan_time, pairs[0].shape[-2])
    readout = readout_of(scan, pairs[0].shape[-2])
    if len(pairs) == 1:
        screened = _screen(pairs[0], scan)
        if screened is not None:
            return screened
    factor = max(pairs[0].shape[-2] // _ENOUGH_ROWS, 1)
    scan = Scan(scan.first + scan.row_time * (factor - 1) / 2, scan.row_time * factor)
    small = [avg_pool2d(pair.float(), factor) if factor > 1 else pair for pair in pairs]
    height = small[0].shape[-2]
    frequencies = _resolved(height) / readout
    points = [compare_views(pair, scan) for pair in small]
    rows = [_group(one, height) for one in points]
    usable = [number for number, one in enumerate(rows) if len(one.time) >= _MIN_ROWS]
    if not usable or not len(frequencies):
        return Light()
    left = np.array([_left_over(rows[number], frequencies) for number in usable])
    best = int(left[:, 1:].sum(0).argmin())
    frequency = float(frequencies[best])
    amplitudes = [0.0] * len(pairs)
    for number, one in zip(usable, left, strict=True):
        if one[1 + best] < (1 - _MIN_EXPLAINED) * one[0]:
            amplitudes[number] = _confirmed_amplitude(
                points[number], rows[number], frequency, height
            )
    uneven = Light(
        unevenness=max(_rms(rows[number], one[0]) for number, one in zip(usable, left, strict=True))
    )
    clearest = int(np.argmax(amplitudes))
    if not amplitudes[clearest]:
        return uneven
    gains = measure_row_gains(pairs[clearest], scan_time, frequency * readout)
    times = scan.first + scan.row_time * torch.arange(height)
    steady = remove_flicker(small[clearest], times, gains)
    after = _group(compare_views(steady, scan, steady), height)
    if len(after.time) < _MIN_ROWS:
        return uneven
    remainder = _rms(after, _left_over(after, frequencies[:1])[0])
    is_flicker = (
        abs(gains.frequency - frequency) * readout <= _MAX_CHANGE
        and gains.amplitude >= _MIN_AMPLITUDE[0][0]
        and remainder <= _MAX_REMAINDER * _rms(rows[clearest], left[usable.index(clearest), 0])
    )
    return (
        Light(Flicker(gains.frequency * readout, gains.amplitude), remainder)
        if is_flicker
        else uneven
    )


def _screen(pair: Tensor, scan: Scan) -> Light | None:
    """The light on a pair whose luma flow shows that it is steady; None if it may not be."""
    height = pair.shape[-2]
    frequencies = _resolved(height) / readout_of(scan, height)
    rows = _group(compare_views(pair, scan, steady=pair), height)
    if not len(frequencies):
        return Light()
    if len(rows.time) < _MIN_ROWS:  # strong stripes lead the luma flow astray
        is_exposed = len(compare_rows(pair, scan).time) >= _MIN_ROWS * _MIN_POINTS
        return None if is_exposed else Light()
    left = _left_over(rows, frequencies)
    unevenness = _rms(rows, left[0])
    is_wave = unevenness > _SUSPICIOUS and left[1:].min() < (1 - _SUSPICIOUS_SHARE) * left[0]
    return None if is_wave or unevenness > _CLEARLY_UNEVEN else Light(unevenness=unevenness)


def _resolved(height: int) -> Doubles:
    """The frequencies that images of this height show, in cycles per readout."""
    return _FREQUENCIES[height / _FREQUENCIES >= _MIN_ROWS_PER_CYCLE]


def _rms(rows: _Rows, squares: float) -> float:
    return float((squares / np.square(rows.weight).sum()) ** 0.5)


def _group(points: Points, height: int) -> _Rows:
    """Medians of the points of each row, or of a few rows together, of either view."""
    count = min(_MAX_ROWS, height // 2)
    begin, span = points.time.min(initial=1.0), np.ptp(points.time) if len(points.time) else 1.0
    row = np.minimum((points.time - begin) / max(span, 1e-9) * count, count - 1).astype(int)
    key = row + count * (points.side < 0)
    order = np.argsort(key, kind="stable")
    edges = np.searchsorted(key[order], np.arange(2 * count + 1))
    groups = [
        order[start:end] for start, end in pairwise(edges.tolist()) if end - start >= _MIN_POINTS
    ]
    if not groups:
        return _Rows(*[np.zeros(0)] * 5)
    medians = [
        [np.median(part[group]) for group in groups]
        for part in (points.time, points.other_time, points.difference, points.side)
    ]
    weight = [min(len(group) / _MANY_POINTS, 1.0) ** 0.5 for group in groups]
    return _Rows(*map(np.array, (*medians, weight)))


def _waves(rows: _Rows, frequencies: Doubles) -> Doubles:
    """(F, N, 2): what a small sine and cosine of each frequency change in the differences."""
    phases = [
        2 * np.pi * np.multiply.outer(frequencies, time - 0.5)
        for time in (rows.time, rows.other_time)
    ]
    one, other = (np.stack((np.sin(phase), np.cos(phase)), axis=-1) for phase in phases)
    return np.asarray(one - other)


def _left_over(rows: _Rows, frequencies: Doubles) -> Doubles:
    """(1 + F,) squared differences that a ratio of brightness and a drift leave, and a wave too."""
    base = np.column_stack((rows.side, rows.time - rows.other_time)) * rows.weight[:, None]
    basis, _ = np.linalg.qr(base)
    values = rows.difference * rows.weight
    values = values - basis @ (basis.T @ values)
    waves = _waves(rows, frequencies) * rows.weight[:, None]
    waves = waves - basis @ (basis.T @ waves)
    wanted = values @ waves  # (F, 2)
    solution = np.linalg.solve(_normal(waves), wanted[..., None])
    left = np.square(values - (waves @ solution)[..., 0]).sum(-1)
    return np.concatenate(([values @ values], left))


def _normal(waves: Doubles) -> Doubles:
    """(..., 2, 2) normal matrix of waves (..., N, 2)."""
    damping = np.diag([1e-6, _UNSEEN * waves.shape[-2]])
    return np.asarray(waves.swapaxes(-1, -2) @ waves + damping)


def _confirmed_amplitude(points: Points, rows: _Rows, frequency: float, height: int) -> float:
    """Amplitude of a wave; 0 if it is small, or differs between parts of the width."""
    found = []
    for inside in np.array_split(np.argsort(points.column, kind="stable"), _PARTS):
        own = _group(Points(*(values[inside] for values in points)), height)
        if len(own.time) < _MIN_ROWS:
            return 0.0
        waves = _waves(own, np.array([frequency]))[0]
        terms = np.column_stack((own.side, own.time - own.other_time, waves))
        terms = terms * own.weight[:, None]
        normal = terms.T @ terms
        normal[2:, 2:] = _normal(terms[:, 2:])
        normal[:2, :2] += 1e-6 * np.eye(2)
        found.append(np.linalg.solve(normal, terms.T @ (own.difference * own.weight))[2:])
    waves = _waves(rows, np.array([frequency]))[0]
    seen = waves.T @ waves / len(waves) / 2  # of a sine alone the amplitude is its coefficient
    middle = np.median(found, axis=0)
    amplitude = float(middle @ seen @ middle) ** 0.5
    spread = max(float((one - middle) @ seen @ (one - middle)) ** 0.5 for one in found)
    is_clear = any(
        amplitude >= smallest and spread <= share * amplitude for smallest, share in _MIN_AMPLITUDE
    )
    return amplitude if is_clear else 0.0
