"""Match the frames of two recordings, and say where frames are missing or clocks drift."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from data.camera_timing import CameraTiming
from data.video.continuity import (
    MIN_PAIRS,
    UNJUDGED,
    find_changes,
    find_odd_pairs,
    find_offset,
)
from data.video.pairing import (
    Change,
    Pairing,
    UnsurePairs,
    describe_offsets,
    drift,
    needs_stamps,
    pair_by_offsets,
    pair_by_stamps,
)
from data.video.sources import FrameSource
from utils.errors import InputError

_RATE_TOLERANCE = 0.005  # relative difference of constant rates
_MEAN_TOLERANCE = 0.05  # of rates one of which is variable
_MAX_NAMES_SHOWN = 3
_SHOWN_GAP = 5e-5  # seconds; shorter ones are shown as 0.0 ms


def check_partners(first: FrameSource, second: FrameSource) -> None:
    """Check that two recordings agree in kind, size, rate and image names.

    Raises:
        InputError: they do not.
    """
    if first.size != second.size:
        expected, got = (f"{source.size[1]}x{source.size[0]}" for source in (first, second))
        raise InputError(f"{second.path}: expected {expected} pixels like {first.path}, got {got}")
    if bool(first.keys) != bool(second.keys):
        raise InputError(
            f"{first.path} with {second.path}: expected two videos or two image sequences, got one "
            "of each"
        )
    constant = all(source.video is None or source.video.is_constant for source in (first, second))
    tolerance = _RATE_TOLERANCE if constant else _MEAN_TOLERANCE
    if first.fps and second.fps and abs(first.fps / second.fps - 1) > tolerance:
        raise InputError(
            f"{second.path}: expected {first.fps:.5g} frames per second like {first.path}, got "
            f"{second.fps:.5g}; views must be synchronised frame by frame"
        )
    for source, other in ((first, second), (second, first)):
        known = set(other.keys)
        alone = [key for key in source.keys if key not in known]
        if alone:
            shown = ", ".join(alone[:_MAX_NAMES_SHOWN])
            raise InputError(
                f"{source.path}: {len(alone)} of {source.count} images have no partner of the same "
                f"name in {other.path}: {shown}{', ...' * (len(alone) > _MAX_NAMES_SHOWN)}"
            )


def choose_pairs(
    first: FrameSource,
    second: FrameSource,
    timing: CameraTiming,
    offset: int,
    changes: Sequence[Change] | None,
) -> tuple[Pairing, list[str]]:
    """Pair two recordings by offsets or, where their time stamps come apart, by these.

    Args:
        first: recording of the first sensor.
        second: recording of the second sensor.
        timing: of the sensors.
        offset: frame n of the first pairs with frame n + `offset` of the second.
        changes: other offsets from later frames on; None applies those that are found, and the
            offset that is found in place of 0.

    Returns:
        The pairs, with delays in readouts, and lines to show to the user.

    Raises:
        InputError: no pair is left, changes are given for frames to pair by time stamps, or the
            exposures of a pair do not overlap.
    """
    notes: list[str] = []
    if min(_frames_left(first, second, offset)) < 1:
        raise InputError(
            f"--offset {offset}: beyond the end of a recording; {first.path} has {first.count} "
            f"frames, {second.path} has {second.count}"
        )
    views = _oriented(timing, first.thumbnails(), second.thumbnails())
    if offset == 0 and not changes:
        offset, notes = _find_start(first, second, views, timing, is_asked=changes is None)
    gap = _come_apart(first, second, offset)
    if gap is not None:
        if changes:
            raise InputError(
                f"--offset {describe_offsets(offset, changes)}: the time stamps of {first.path} "
                f"and {second.path} come apart, and frames pair by these; give one offset"
            )
        pairing, more = _pair_in_time(first, second, timing, offset, gap)
        return pairing, [*notes, *more]
    pairing = pair_by_offsets((first.count, second.count), offset, changes or ())
    if not pairing.first:
        given = describe_offsets(offset, changes or ())
        raise InputError(f"--offset {given}: leaves no pair of {first.path} and {second.path}")
    left = _frames_left(first, second, offset)
    if left[0] != left[1]:
        notes.append(
            f"{first.path} has {first.count} frames, {second.path} has {second.count}; "
            f"using the {len(pairing.first)} pairs that they share"
        )
    found = () if changes else _missing_frames(views, pairing, timing, offset)
    if found:
        notes.append(_missing_note(first, second, offset, found, is_applied=changes is None))
        if changes is None:
            pairing = pair_by_offsets((first.count, second.count), offset, found)
    left_wrong = () if changes is None else found
    return replace(pairing, unsure=_unsure_pairs(views, pairing, timing, left_wrong)), notes


def _frames_left(first: FrameSource, second: FrameSource, offset: int) -> tuple[int, int]:
    """How many frames of each recording are after its start by an offset."""
    return first.count - max(0, -offset), second.count - max(0, offset)


def _find_start(
    first: FrameSource,
    second: FrameSource,
    views: Sequence[NDArray[np.uint8]],
    timing: CameraTiming,
    *,
    is_asked: bool,
) -> tuple[int, list[str]]:
    """The offset with which to pair two recordings that were given none, and lines about it.

    If it is not asked for, it is named where frames of equal number do not fit, but not applied.
    """
    offset = find_offset(*views, delay=timing.start_offset, search=is_asked)
    if not offset:
        return 0, ["--offset auto: frames of equal number belong together"] if is_asked else []
    source, other = (second, first) if offset > 0 else (first, second)
    said = (
        f"warning: {source.path} starts {abs(offset)} frame{'s'[: abs(offset) > 1]} before "
        f"{other.path}"
    )
    if is_asked:
        return offset, [f"{said}; applied: --offset {offset}"]
    return 0, [f"{said}; all pairs are wrong; give --offset {offset}"]


def _oriented(timing: CameraTiming, *views: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Small pictures with their rows in order of the readout of the first view."""
    if timing.is_transposed:
        views = tuple(view.swapaxes(1, 2) for view in views)
    if timing.directions[0] in ("b2t", "r2l"):
        views = tuple(view[:, ::-1] for view in views)
    return [*views]


def _come_apart(first: FrameSource, second: FrameSource, offset: int) -> float | None:
    """Seconds by which frames of equal number come apart in the end; None if they stay together."""
    one, other = first.video, second.video
    if one is None or other is None or first.fps is None or second.fps is None:
        return None
    gap = drift(one.times, other.times, offset)
    is_constant = one.is_constant and other.is_constant
    if is_constant and not needs_stamps(gap, 1 / first.fps, max(one.tick, other.tick)):
        return None
    return gap


def _pair_in_time(
    first: FrameSource, second: FrameSource, timing: CameraTiming, offset: int, gap: float
) -> tuple[Pairing, list[str]]:
    """Pair by time stamps; delays are in readouts.

    Raises:
        InputError: the exposures of a pair do not overlap.
    """
    assert first.video and second.video and first.fps and second.fps
    pairing = pair_by_stamps(first.video.times, second.video.times, 1 / first.fps, offset)
    readout = timing.readout_ratio / first.fps
    delays = tuple(delay / readout for delay in pairing.delays)
    worst = max(delays, key=lambda delay: abs(timing.start_offset + delay))
    if abs(timing.start_offset + worst) >= 1:
        number = pairing.first[delays.index(worst)]
        raise InputError(
            f"{second.path}: by the time stamps its partner of frame {number} of {first.path} "
            f"starts {timing.start_offset + worst:+.2f} readouts later; expected less than 1, so "
            "that the exposures overlap"
        )
    widest = max(map(abs, pairing.delays)) * 1000
    apart = "its time stamps come apart from those of"
    if max(abs(gap), widest / 1000) < _SHOWN_GAP:
        apart = "its frame rate varies, with that of"
    notes = [
        f"warning: {second.path}: {apart} {first.path} "
        f"({second.fps:.5g} and {first.fps:.5g} frames per second; {gap * 1000:+.1f} ms between "
        f"frames of equal number in the end); paired by time stamps, up to {widest:.1f} ms apart, "
        "each pair with its own start offset"
    ]
    for source, used in ((first, pairing.first), (second, pairing.second)):
        alone = used[-1] - used[0] + 1 - len(used)
        if alone:
            notes.append(
                f"warning: {source.path}: {alone} frames without a partner in time are left out"
            )
    return replace(pairing, delays=delays), notes


def _missing_frames(
    views: Sequence[NDArray[np.uint8]], pairing: Pairing, timing: CameraTiming, offset: int
) -> tuple[Change, ...]:
    """Changes of the offset where a frame is missing in one of two recordings."""
    if len(pairing.first) < MIN_PAIRS:
        return ()
    begin = pairing.first[0]
    return tuple(
        Change(change.frame + begin, change.offset + offset)
        for change in find_changes(*_of_pairs(views, pairing), delay=timing.start_offset)
    )


def _unsure_pairs(
    views: Sequence[NDArray[np.uint8]],
    pairing: Pairing,
    timing: CameraTiming,
    changes: Sequence[Change],
) -> tuple[UnsurePairs, ...]:
    """Pairs that may not belong together; all after `changes` that are not applied do not."""
    count = len(pairing.first)
    after = min((change.frame - pairing.first[0] for change in changes), default=count)
    wrong = [UnsurePairs(after, count - 1, "a frame is missing before them")][: after < count]
    if count < MIN_PAIRS:
        return (UnsurePairs(0, count - 1, "too few to tell whether a frame is missing"), *wrong)
    numbers = [
        number
        for number in find_odd_pairs(*_of_pairs(views, pairing), delay=timing.start_offset)
        if number < after
    ]
    ends = [(0, UNJUDGED - 1), *([(count - UNJUDGED, count - 1)] if after == count else [])]
    near = "too near an end to tell whether a frame is missing"
    return (
        *(UnsurePairs(*end, near) for end in ends),
        *(UnsurePairs(one, one, "one view fits a neighbour of its partner") for one in numbers),
        *wrong,
    )


def _of_pairs(views: Sequence[NDArray[np.uint8]], pairing: Pairing) -> list[NDArray[np.uint8]]:
    """Small pictures of pairs; an image that cannot be read ends those of a sequence."""
    numbers = pairing.first, pairing.second
    known = [
        all(number < len(view) for number, view in zip(pair, views, strict=True))
        for pair in zip(*numbers, strict=True)
    ]
    return [view[[*compress(of, known)]] for view, of in zip(views, numbers, strict=True)]


def _missing_note(
    first: FrameSource,
    second: FrameSource,
    offset: int,
    changes: Sequence[Change],
    *,
    is_applied: bool,
) -> str:
    """The line about frames that are missing."""
    places, before = [], offset
    for change in changes:
        is_second = change.offset < before
        source = second if is_second else first
        number = change.frame + change.offset if is_second else change.frame
        place = f"{number / source.fps:.2f} s" if source.fps else source.files[number].name
        places.append(f"{source.path}: a frame is missing before frame {number} ({place})")
        before = change.offset
    given = f"--offset {describe_offsets(offset, changes)}"
    end = f"applied: {given}" if is_applied else f"all later pairs are wrong; give {given}"
    return f"warning: {', '.join(places)}; {end}"
