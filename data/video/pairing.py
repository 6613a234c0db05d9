"""Which frames of two recordings are pairs: by whole offsets, or by time stamps."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_MAX_DRIFT = 0.1  # frame intervals; below it, frames of equal number are pairs
_MAX_DELAY = 0.9  # frame intervals, of frames that are alone between pairs
_PAIRS_TO_ALIGN = 9  # at the beginning, where both clocks are taken to agree


@dataclass(frozen=True)
class Change:
    """From a frame of the first recording on, another offset holds."""

    frame: int
    offset: int


@dataclass(frozen=True)
class UnsurePairs:
    """Successive pairs whose views may not belong together."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Pairing:
    """Pairs of frames in order of time.

    Attributes:
        first: their numbers in the first recording.
        second: their numbers in the second recording.
        delays: by how much the second frame of each pair is later; empty if paired by offsets.
        arrangement: how they were paired, to tell one way from another.
        unsure: pairs that may not belong together, numbered from 0.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    delays: tuple[float, ...] = ()
    arrangement: str = ""
    unsure: tuple[UnsurePairs, ...] = ()


def describe_offsets(offset: int, changes: Sequence[Change]) -> str:
    """Offsets as `--offset` takes them: K, or K,N:K where from frame N on another holds."""
    return ",".join([str(offset), *(f"{change.frame}:{change.offset}" for change in changes)])


def describe_unsure(unsure: Sequence[UnsurePairs]) -> str:
    """Such as "pairs 0-2, 9 (why), 4 (why else)"; empty if all are sure."""
    ranges: dict[str, list[str]] = {}
    for one in unsure:
        span = f"{one.first}-{one.last}" if one.last > one.first else f"{one.first}"
        ranges.setdefault(one.reason, []).append(span)
    listed = ", ".join(f"{', '.join(spans)} ({reason})" for reason, spans in ranges.items())
    return f"pairs {listed}" if listed else ""


def pair_by_offsets(
    counts: tuple[int, int], offset: int, changes: Sequence[Change] = ()
) -> Pairing:
    """Pair frame n of the first recording with frame n + offset of the second.

    Each of the `changes` gives another offset from a frame on. A frame belongs to one pair: where
    an offset drops by k, k frames of the first recording are left out before the change.
    """
    found: list[tuple[int, int]] = []
    for begin, step in ((0, offset), *((change.frame, change.offset) for change in changes)):
        while found and (found[-1][0] >= begin or found[-1][1] >= begin + step):
            found.pop()
        last = min(counts[0], counts[1] - step)
        found += ((number, number + step) for number in range(max(begin, -step), last))
    return Pairing(
        tuple(one for one, _ in found),
        tuple(other for _, other in found),
        arrangement=f"offset {describe_offsets(offset, changes)}",
    )


def drift(first: Sequence[float], second: Sequence[float], offset: int) -> float:
    """Seconds by which frames of equal number come apart from the first common one to the last."""
    skipped = max(0, -offset), max(0, offset)
    count = min(len(first) - skipped[0], len(second) - skipped[1])
    spans = (
        times[skip + count - 1] - times[skip]
        for times, skip in zip((first, second), skipped, strict=True)
    )
    one, other = spans
    return other - one


def needs_stamps(gap: float, interval: float, tick: float) -> bool:
    """Whether recordings whose frames come apart by `gap` seconds must be paired by time stamps.

    `interval` is that between frames, `tick` the resolution of the time stamps.
    """
    return abs(gap) > _MAX_DRIFT * interval + 2 * tick


def pair_by_stamps(
    first: Sequence[float], second: Sequence[float], interval: float, offset: int
) -> Pairing:
    """Pair the frames that are nearest in time; others are left out.

    Frames that are not each other's nearest are pairs if no other frame lies between the pairs
    around them and they are less than 0.9 intervals apart.

    Frame n of the first recording and n + `offset` of the second are simultaneous at the beginning,
    on the average over a few pairs: single time stamps may jitter. Times and delays are in seconds.
    """
    shift = first[max(0, -offset)] - second[max(0, offset)]
    begin = _nearest_pairs(first, [time + shift for time in second], interval)
    shift -= median(delay for _, _, delay in begin[:_PAIRS_TO_ALIGN])
    found = _nearest_pairs(first, [time + shift for time in second], interval)
    one, other, delays = zip(*found, strict=True)
    return Pairing(one, other, delays, f"offset {offset}, by time stamps")


def _nearest_pairs(
    first: Sequence[float], second: Sequence[float], interval: float
) -> list[tuple[int, int, float]]:
    """Pairs of frames that are each other's nearest, or alone between such pairs; and the delay."""
    found = []
    for number, time in enumerate(first):
        partner = _nearest(second, time)
        delay = second[partner] - time
        if abs(delay) <= interval / 2 and _nearest(first, second[partner]) == number:
            found.append((number, partner, delay))
    ends = [(-1, -1, 0.0), *found, (len(first), len(second), 0.0)]
    for (one, other, _), (next_one, next_other, _) in pairwise(ends):
        for number, partner in zip(
            range(one + 1, next_one), range(other + 1, next_other), strict=False
        ):
            delay = second[partner] - first[number]
            if abs(delay) < _MAX_DELAY * interval:
                found.append((number, partner, delay))
    return sorted(found)


def _nearest(times: Sequence[float], wanted: float) -> int:
    after = bisect_left(times, wanted)
    choices = [index for index in (after - 1, after) if 0 <= index < len(times)]
    return min(choices, key=lambda index: abs(times[index] - wanted))
