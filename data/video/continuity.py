"""Which frames of two recordings belong together, and where one lacks a frame, by small pictures.

Rows in the middle of both views are exposed together. After a frame is lost in one view, they agree
with the neighbouring frame of the other view instead, and at the gap that view moves twice as far.
Both must be seen.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.video.pairing import Change

Thumbnails = NDArray[np.float64]
"""(frames, rows, columns), rows in order of the readout of the first view."""

_BAND = 0.12  # half the height of the rows that count as exposed together
_SHIFTS = range(-3, 4)  # frames
_PENALTY = 2.0  # of a change of offset, in frames that match at one offset and not at another
_MIN_EVIDENCE = 3.0  # the same unit: from the change to the end, or to the next change
_MIN_RATIO = 1.5  # of the costs of both offsets, before and after a change
_NEAR = 12  # frames before and after a change to judge it by
_PLACES = range(-2, 3)  # frames around a change, among which the gap is sought
_DOUBLE = 0.35  # share of the way, in log energy, from the motion of one interval to that of two
_ALIGN_PAIRS = (3, 8, 16)  # a gap among these spoils the alignment: the best one is taken
_ALIGN_STEPS = 4
_REACH = 30  # frames by which one recording may start later
_SEARCHED, _MIN_SHARED = 64, 12  # frames to judge an offset by
_SUSPECT, _MAX_COST = 0.3, 0.5  # of the motion energy: costs of an offset
_MIN_GAIN, _MIN_PEAK = 1.5, 1.25  # ratio of costs: without offset, and one frame beside it
_STILL = 0.1  # of the usual motion energy; below it a frame says nothing


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
    if len(first) < 2 * _MIN_EVIDENCE:
        return ()
    views = _shared_rows(first, second, delay)
    whole, other = views
    aligned = [_align(whole, other, pairs) for pairs in _ALIGN_PAIRS]
    views[1] = min(aligned, key=lambda view: float(_costs(whole, view).min(1).sum()))
    motion = _motion_energy(views)
    usual = float(np.median(motion))
    if usual <= 0:
        return ()
    raw = _costs(*views)
    costs = raw / np.maximum(motion, _STILL * usual)[:, None]
    costs = np.clip(costs - costs.min(1, keepdims=True), 0, 1)
    costs[~np.isfinite(raw)] = 0  # beyond the ends
    return _confirmed(views, raw, costs)


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
    is_clear = start > _MIN_GAIN * cost and beside > _MIN_PEAK * cost and cost < _MAX_COST
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
    return float(_energy(one - _align(one, other, len(one))).mean()) / motion


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


def _align(first: Thumbnails, second: Thumbnails, pairs: int) -> Thumbnails:
    """Resample the second view by the affine map that fits the first pairs best.

    Gauss-Newton on grey levels; misalignment of the cameras would otherwise look like motion.
    """
    _, rows, columns = first.shape
    y, x = (grid / max(rows, columns) for grid in np.mgrid[:rows, :columns])
    basis = np.stack([np.ones_like(x), x, y])  # (3, rows, columns)
    flow = np.zeros((2, 3))
    for _ in range(_ALIGN_STEPS):
        warped = _resample(second[:pairs], np.einsum("ok,krc->orc", flow, basis))
        slope_y, slope_x = np.gradient(warped, axis=(1, 2))
        terms = np.concatenate([slope_x[:, None] * basis, slope_y[:, None] * basis], 1)
        matrix = terms.transpose(0, 2, 3, 1).reshape(-1, 6)
        wanted = (first[:pairs] - warped).reshape(-1)
        normal = matrix.T @ matrix
        normal += (1e-3 * np.trace(normal) / 6 + 1e-6) * np.eye(6)
        flow += np.linalg.solve(normal, matrix.T @ wanted).reshape(2, 3)
    return _resample(second, np.einsum("ok,krc->orc", flow, basis))


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
    steps = np.mean([_energy(np.diff(view, axis=0)) for view in views], axis=0)
    padded = np.concatenate([steps[:1], steps, steps[-1:]])
    return np.asarray((padded[1:] + padded[:-1]) / 2)


def _costs(first: Thumbnails, second: Thumbnails) -> NDArray[np.float64]:
    """Mean squared difference of frame n of the first view and n + shift of the second."""
    costs = np.full((len(first), len(_SHIFTS)), np.inf)
    for column, shift in enumerate(_SHIFTS):
        begin, end = max(0, -shift), min(len(first), len(second) - shift)
        costs[begin:end, column] = _energy(first[begin:end] - second[begin + shift : end + shift])
    return costs


def _best_path(costs: NDArray[np.float64]) -> list[int]:
    """The shift of each frame with the least total cost, beginning at 0 (Viterbi)."""
    centre = _SHIFTS.index(0)
    total = np.full(len(_SHIFTS), np.inf)
    total[centre] = costs[0, centre]
    change = _PENALTY * np.abs(np.subtract.outer(list(_SHIFTS), list(_SHIFTS)))
    origins = []
    for row in costs[1:]:
        reached = total[:, None] + change
        origins.append(reached.argmin(0))
        total = reached.min(0) + row
    path = [int(total.argmin())]
    for back in reversed(origins):
        path.append(int(back[path[-1]]))
    return [_SHIFTS[index] for index in reversed(path)]


def _confirmed(
    views: Sequence[Thumbnails], raw: NDArray[np.float64], costs: NDArray[np.float64]
) -> tuple[Change, ...]:
    """The changes that both the pictures after them and the motion at them show.

    `raw` are the costs of each frame's shifts, `costs` the same, 0 for the best and 1 for others.
    """
    path = _best_path(costs)
    places = [n for n in range(1, len(path)) if path[n] != path[n - 1]]
    ends = [*places, len(path)][1:]
    changes: list[Change] = []
    known = 0
    for place, end in zip(places, ends, strict=True):
        step = path[place] - known
        columns = _SHIFTS.index(known), _SHIFTS.index(path[place])
        evidence = float((costs[place:end, columns[0]] - costs[place:end, columns[1]]).sum())
        gap = _place_of_gap(views, place, known, step)
        if abs(step) != 1 or evidence < _MIN_EVIDENCE or gap is None:
            continue
        old, new = (raw[:, column] for column in columns)
        before, after = slice(max(0, gap - _NEAR), gap), slice(gap + 1, min(end, gap + 1 + _NEAR))
        if min(_ratio(new[before], old[before]), _ratio(old[after], new[after])) < _MIN_RATIO:
            continue
        known += step
        # Without frame `gap` of the first view's time, the next one has the new offset.
        changes.append(Change(gap + (step < 0), known))
    return tuple(changes)


def _ratio(large: NDArray[np.float64], small: NDArray[np.float64]) -> float:
    """Ratio of total costs where both are known; 0 if they nowhere are."""
    known = np.isfinite(large) & np.isfinite(small)
    return float(large[known].sum() / max(small[known].sum(), 1e-9)) if known.any() else 0.0


def _place_of_gap(views: Sequence[Thumbnails], place: int, known: int, step: int) -> int | None:
    """Frame of the first view at which the other (step -1) or this one (step 1) lacks a frame.

    There the view with the gap changes as the other one does over two frames. None if it nowhere
    does.
    """
    whole, broken = (views[0], views[1]) if step < 0 else (views[1], views[0])
    shift = known if step < 0 else -known
    best, found = _DOUBLE, None
    for number in (place + near for near in _PLACES):
        own = number if step < 0 else number + known
        other = own + shift
        if not (1 <= own < len(whole) - 1 and 1 <= other < len(broken)):
            continue
        single, double = (float(((whole[own + k] - whole[own - 1]) ** 2).mean()) for k in (0, 1))
        jump = float(((broken[other] - broken[other - 1]) ** 2).mean())
        if min(single, double, jump) <= 0 or double <= single:
            continue
        share = float(np.log(jump / single) / np.log(double / single))
        if share > best:
            best, found = share, number
    return found
