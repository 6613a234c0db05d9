"""Time stamps of frames: the frame rate, and whether it is constant."""

import shlex
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from statistics import median

from utils.errors import InputError

_MIN_FRAMES_FOR_EXACT_RATE = 9  # of fewer, intervals rounded to ticks may all be equal
_MAX_JITTER = 0.2  # of the usual interval between frames, beyond the rounding to ticks
_SAME_MEAN = 0.05  # relative difference of mean and median interval without missing frames


def find_rate(video: Path, ticks: Sequence[int], tick: Fraction) -> tuple[float | None, bool]:
    """Frames per second of time stamps in ticks (`tick` seconds), and whether it is constant.

    None for a single frame. If coarse ticks leave a constant rate open, it is the nearest standard
    rate. A variable rate is the mean, without gaps where frames are missing.

    Raises:
        InputError: time stamps do not increase.
    """
    if len(ticks) < 2:
        return None, True
    intervals = [later - earlier for earlier, later in zip(ticks, ticks[1:], strict=False)]
    smallest, largest, usual = min(intervals), max(intervals), median(intervals)
    duration = ticks[-1] - ticks[0]
    if smallest <= 0:
        number = next(n for n, interval in enumerate(intervals, start=1) if interval <= 0)
        raise InputError(
            f"{video}: frame {number} is stamped at or before the time of the frame before it; "
            "expected increasing time stamps"
        )
    if largest - smallest > _MAX_JITTER * usual + 2:
        mean = duration / len(intervals)
        typical = mean if abs(mean / usual - 1) < _SAME_MEAN else usual
        return float(1 / (Fraction(typical) * tick)), False
    rate = (len(ticks) - 1) / (duration * tick)
    if smallest == largest and len(ticks) >= _MIN_FRAMES_FOR_EXACT_RATE:
        return float(rate), True
    standard = Fraction(round(rate)), Fraction(1000 * round(rate * 1001 / 1000), 1001)
    nearest = min(standard, key=lambda one: abs(one - rate))
    return float(nearest if abs(nearest - rate) * duration < rate else rate), True


def variable_rate_error(video: Path, times: Sequence[float], rate: float) -> InputError:
    """The error of a recording that needs a constant frame rate; `times` are in seconds."""
    intervals = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    return InputError(
        f"{video}: variable frame rate, {min(intervals) * 1000:.4g} to "
        f"{max(intervals) * 1000:.4g} ms between frames; make it constant: "
        f"ffmpeg -i {shlex.quote(str(video))} -vf fps={max(1, round(rate))} OUT.mp4"
    )
