"""Which frames of two recordings belong together, and where one lacks a frame, by small pictures.

Rows in the middle of both views are exposed together. After a frame is lost in one view, they agree
with the neighbouring frame of the other view instead. Windows of the clip are explained with and
without such a change; the cameras are aligned by other pairs for each explanation, because their
misalignment would otherwise look like motion, or motion like misalignment.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.video.pairing import Change

Thumbnails = NDArray[np.float64]
"""(frames, rows, columns), rows in order of the readout of the first view."""

THUMBNAIL = 48, 64
"""Rows and columns of the small pictures."""
_BAND = 0.12  # half the height of the rows that count as exposed together
_WINDOWS = (16, 40)  # pairs; short ones tell gaps apart that follow each other
UNJUDGED = 3
"""Pairs at either end of a clip, which are too few to show a gap before or after them."""
MIN_PAIRS = 2 * UNJUDGED + 2
"""Fewer pairs are not searched."""

_ALIGN_PAIRS, _ALIGN_EVERY, _ALIGN_STEPS = 6, 4, 4
_MIN_GAIN = 0.12  # share of the cost that a change must take away
_MIN_RATIO = 1.3  # of the costs of both offsets, before and after a change
_LARGEST_COST = 4.0  # of a pair, in motion energies: cuts and flashes weigh no more
_LARGEST_ODD = 1  # pairs of a window that may agree better with a neighbour of their partner
_STILL = 0.1  # of the usual motion energy; below it a frame says little
_AT_REST = 0.02  # of the usual motion energy; a frame that changes less is like its neighbour
_ODD_COST, _ODD_RATIO = 0.5, 2.0  # of a pair: in motion energies, and relative to a neighbour
_REACH = 30  # frames by which one recording may start later
_SEARCHED, _MIN_SHARED = 64, 12  # frames to judge an offset by
_SUSPECT, _MAX_COST = 0.3, 0.5  # of the motion energy: costs of an offset
_MIN_BETTER, _MIN_PEAK = 1.5, 1.25  # ratio of costs: without offset, and one frame beside it

Costs = NDArray[np.float64]
"""(3, pairs) mean squared difference to the partner before, the partner, and the one after it, in
units of motion energy; NaN where there is none."""


class _Gap(NamedTuple):
    """A frame of the first view's time that one view lacks: the second (step -1) or the first."""

    frame: int
    step: int


def find_changes(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, delay: float = 0.0
) -> tuple[Change, ...]:
    """Find where the offset between two views changes because a frame is missing in one.

    Args:
        first: (pairs, rows, columns) small grey pictures, rows in order of readout.
        second: those of their partners, of the same shape.
        delay: readouts by which the second view starts later.

    Returns:
        The changes; their offsets are relative to the partners given.
    """
    whole, other = _shared_rows(first, second, delay)
    changes: list[Change] = []
    start = known = 0
    while start + 2 * UNJUDGED < len(whole):
        gap = None
        for length in _WINDOWS:
            own = slice(start, min(start + length, len(whole)))
            begin, end = own.start + known, min(own.stop + known, len(other))
            skipped = max(0, -begin)
            views = whole[own][skipped:], other[begin + skipped : end]
            count = min(map(len, views))
            gap = _find_gap(views[0][:count], views[1][:count])
            if gap is not None:
                start += skipped + gap.frame
                known += gap.step
                # Without frame `start` of the first view's time, the next one has the new offset.
                start += gap.step < 0
                changes.append(Change(start, known))
                break
        if gap is None:
            start += _WINDOWS[0] // 2
    return tuple(changes)


def find_odd_pairs(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, delay: float = 0.0
) -> list[int]:
    """Numbers of pairs of which one frame clearly agrees better with a neighbour of the other.

    Unlike a change, it need not hold for many pairs: frames may be exchanged, or one may be missing
    near an end, where `find_changes`, which has the same arguments, cannot tell.
    """
    whole, other = _shared_rows(first, second, delay)
    odd: list[int] = []
    for numbers in np.array_split(np.arange(len(whole)), max(1, len(whole) // _WINDOWS[0])):
        window = slice(max(0, numbers[0] - 1), numbers[-1] + 2)
        views = whole[window], other[window]
        motion = _motion_energy(views) if len(views[0]) >= MIN_PAIRS else np.zeros(1)
        usual = float(np.median(motion))
        if usual <= 0:
            continue
        weight = 1 / np.maximum(motion, _STILL * usual)
        starts = range(0, len(motion) - UNJUDGED, _ALIGN_EVERY)
        tried = (_costs(*views, weight, start, 0) for start in starts)
        costs = min(tried, key=lambda costs: float(np.nanmean(costs[1])))
        is_odd = (costs[1] > _ODD_COST) & (costs[1] > _ODD_RATIO * np.nanmin(costs[[0, 2]], axis=0))
        odd += numbers[is_odd[numbers - window.start]].tolist()
    return odd


def find_offset(
    first: NDArray[np.uint8], second: NDArray[np.uint8], *, delay: float = 0.0, search: bool = True
) -> int:
    """Find by how many frames one recording starts before the other.

    Frame n of the first then belongs with frame n + offset of the second. It shows where the
    speed changes: at constant speed an offset looks like misaligned cameras.

    Args:
        first: small grey pictures, rows in order of readout.
        second: likewise, of the same size; their number may differ.
        delay: readouts by which the second view starts later.
        search: whether to search also where frames of equal number fit.

    Returns:
        The offset; 0 if none fits clearly better.
    """
    one, other = _shared_rows(first, second, delay)
    start = _offset_cost(one, other, 0)
    if start is None or (start < _SUSPECT and not search):
        return 0
    costs = {offset: _offset_cost(one, other, offset) for offset in range(-_REACH, _REACH + 1)}
    known = {offset: cost for offset, cost in costs.items() if cost is not None}
    best = min(known, key=lambda offset: known[offset])
    cost = known[best]
    beside = min(known.get(best + step, np.inf) for step in (-1, 1))
    is_clear = start > _MIN_BETTER * cost and beside > _MIN_PEAK * cost and cost < _MAX_COST
    return best if is_clear else 0


def _offset_cost(first: Thumbnails, second: Thumbnails, offset: int) -> float | None:
    """Mean squared difference of aligned partners, of that of successive frames of the first.

    None if too few have partners, or if nothing moves.
    """
    begin, end = max(0, -offset), min(len(first), len(second) - offset)
    end = min(end, begin + _SEARCHED)
    if end - begin < _MIN_SHARED:
        return None
    one, other = first[begin:end], second[begin + offset : end + offset]
    motion = float(_energy(np.diff(one, axis=0)).mean())
    if motion <= 0:
        return None
    aligned = _resample(other, _align(one, other, np.ones(len(one))))
    return float(_energy(one - aligned).mean()) / motion


def _shared_rows(
    first: NDArray[np.uint8], second: NDArray[np.uint8], delay: float
) -> list[Thumbnails]:
    """The rows that both views expose together, without each frame's mean and contrast."""
    rows = np.abs(np.linspace(0, 1, first.shape[1]) - (1 + delay) / 2) <= _BAND
    return [_standardise(view[:, rows].astype(np.float64)) for view in (first, second)]


def _standardise(view: Thumbnails) -> Thumbnails:
    """Remove each frame's mean and contrast: exposure, colour and flicker."""
    centred = view - view.mean((1, 2), keepdims=True)
    return np.asarray(centred / np.maximum(centred.std((1, 2), keepdims=True), 1.0))


def _find_gap(first: Thumbnails, second: Thumbnails) -> _Gap | None:
    """The gap in a window whose frames of equal number are partners at its beginning."""
    count = len(first)
    if count < MIN_PAIRS:
        return None
    motion = _motion_energy((first, second))
    usual = float(np.median(motion))
    if usual <= 0:
        return None
    weight = 1 / np.maximum(motion, _STILL * usual)
    starts = range(0, count - UNJUDGED, _ALIGN_EVERY)
    steady = [_costs(first, second, weight, start, 0) for start in starts]
    for costs in steady:
        if (np.nanargmin(costs, 0) != 1).sum() <= _LARGEST_ODD:
            return None
    tried = [
        *steady,
        *(_costs(first, second, weight, start, step) for start in starts for step in (-1, 1)),
    ]
    best, gap, chosen = min(
        (_best_gap(costs, step) + (costs,) for costs in tried for step in (-1, 1)),
        key=lambda one: one[0],
    )
    unbroken = min(float(np.nanmean(costs[1])) for costs in tried)
    after = gap.frame + (gap.step < 0)
    # Where a frame is like its neighbour, noise and rounding decide with which its partner agrees.
    differs = _change_towards((first, second), gap.step) > _AT_REST * usual
    old, new = chosen[1], chosen[1 + gap.step]
    ratios = [
        _ratio(worse[part][which], better[part][which])
        for part, worse, better in ((slice(gap.frame), new, old), (slice(after, count), old, new))
        for which in (slice(None), differs[part])
    ]
    is_clear = best <= (1 - _MIN_GAIN) * unbroken and min(ratios) >= _MIN_RATIO
    return gap if is_clear else None


def _best_gap(costs: Costs, step: int) -> tuple[float, _Gap]:
    """Least mean cost of a pair with a gap somewhere, and that gap."""
    count = costs.shape[1]
    old, new = np.nan_to_num(costs[1]), np.nan_to_num(costs[1 + step])
    frames = np.arange(UNJUDGED, count - UNJUDGED)
    after = frames + (step < 0)
    before = np.concatenate(([0.0], np.cumsum(old)))[frames]
    rest = np.cumsum(new[::-1])[::-1][after]
    known = np.cumsum(np.isfinite(costs[1 + step])[::-1])[::-1][after]
    means = (before + rest) / (frames + known)
    best = int(means.argmin())
    return float(means[best]), _Gap(int(frames[best]), step)


def _costs(first: Thumbnails, second: Thumbnails, weight: Costs, start: int, step: int) -> Costs:
    """Costs after alignment by a few pairs from `start` on, whose offset is `step`."""
    end = min(start + _ALIGN_PAIRS, len(first), len(second) - step)
    numbers = np.arange(max(start, -step), end)
    flow = _align(first[numbers], second[numbers + step], weight[numbers])
    aligned = _resample(second, flow)
    costs = np.full((3, len(first)), np.nan)
    costs[1] = _energy(first - aligned)
    costs[0, 1:] = _energy(first[1:] - aligned[:-1])
    costs[2, :-1] = _energy(first[:-1] - aligned[1:])
    return np.asarray(np.minimum(costs * weight, _LARGEST_COST))


def _align(first: Thumbnails, second: Thumbnails, weight: NDArray[np.float64]) -> Thumbnails:
    """Displacements (2, rows, columns) of the affine map that fits `second` to `first` best.

    Gauss-Newton on grey levels, with a weight per frame.
    """
    _, rows, columns = first.shape
    y, x = (grid / max(rows, columns) for grid in np.mgrid[:rows, :columns])
    basis = np.stack([np.ones_like(x), x, y])  # (3, rows, columns)
    parameters = np.zeros((2, 3))
    for _ in range(_ALIGN_STEPS):
        warped = _resample(second, np.einsum("ok,krc->orc", parameters, basis))
        slope_y, slope_x = np.gradient(warped, axis=(1, 2))
        slopes = np.concatenate([slope_x[:, None] * basis, slope_y[:, None] * basis], 1)
        terms = slopes.transpose(0, 2, 3, 1).reshape(len(first), -1, 6)
        weighted = (terms * weight[:, None, None]).reshape(-1, 6)
        normal = weighted.T @ terms.reshape(-1, 6)
        normal += (1e-3 * np.trace(normal) / 6 + 1e-6) * np.eye(6)
        wanted = weighted.T @ (first - warped).reshape(-1)
        parameters += np.linalg.solve(normal, wanted).reshape(2, 3)
    return np.asarray(np.einsum("ok,krc->orc", parameters, basis))


def _resample(frames: Thumbnails, flow: Thumbnails) -> Thumbnails:
    """Bilinear samples of frames at each pixel plus `flow` (2, rows, columns), (dx, dy)."""
    rows, columns = frames.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    x = np.clip(x + flow[0], 0, columns - 1.001)
    y = np.clip(y + flow[1], 0, rows - 1.001)
    left, top = x.astype(int), y.astype(int)
    dx, dy = x - left, y - top
    upper = (1 - dx) * frames[:, top, left] + dx * frames[:, top, left + 1]
    lower = (1 - dx) * frames[:, top + 1, left] + dx * frames[:, top + 1, left + 1]
    return np.asarray((1 - dy) * upper + dy * lower)


def _energy(differences: Thumbnails) -> NDArray[np.float64]:
    return np.asarray((differences**2).mean((1, 2)))


def _motion_energy(views: Sequence[Thumbnails]) -> NDArray[np.float64]:
    """Mean squared change of each frame to its neighbours, the mean of both views."""
    return (_change_towards(views, -1) + _change_towards(views, 1)) / 2


def _change_towards(views: Sequence[Thumbnails], step: int) -> NDArray[np.float64]:
    """Mean squared change of each frame to that before (-1) or after it, the mean of both views.

    At the end, where there is none, it is that to the other neighbour.
    """
    steps = np.mean([_energy(np.diff(view, axis=0)) for view in views], axis=0)
    return np.concatenate([steps, steps[-1:]] if step > 0 else [steps[:1], steps])


def _ratio(large: NDArray[np.float64], small: NDArray[np.float64]) -> float:
    """Ratio of total costs where both are known; 0 if too few are."""
    known = np.isfinite(large) & np.isfinite(small)
    if known.sum() < UNJUDGED - 1:
        return 0.0
    return float(large[known].sum() / max(small[known].sum(), 1e-9))
