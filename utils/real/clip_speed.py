"""Frames per pair of a clip's video, from its rate, its speed, and what the source states."""

from utils.errors import InputError
from utils.options.evaluation import MAX_FRAMES
from utils.options.real import RealOptions

_TOLERANCE = 1e-4  # relative, between a whole number of frames per pair and what is asked for


def settle_video(options: RealOptions, source_fps: float | None) -> RealOptions:
    """The options with the instants and the rate of a clip's video settled.

    rate of the video = rate of the source * frames per pair * speed. By default both factors are 1,
    and the frame is at mid-time, where it is best. Where rate and speed are given, the frames of a
    pair are at the middles of equal parts of its interval, hence evenly spaced over the clip. Where
    `frames` or `times` are given, they stay, and the rate follows.

    Args:
        options: as given.
        source_fps: pairs per second; None if the source states none.

    Raises:
        InputError: the numbers contradict each other, or need a rate that the source lacks.
    """
    chosen = options.frames is not None or options.times is not None
    if source_fps is None:
        if options.speed is not None:
            raise InputError("speed: the images state no rate to compare with; give --fps instead")
        return options if chosen else _with_frames(options, 1)
    if chosen:
        return _settle_rate(options, source_fps)
    rate, speed = options.fps or source_fps, options.speed or 1.0
    count = rate / (source_fps * speed)
    whole = max(round(count), 1)
    if abs(count / whole - 1) > _TOLERANCE or whole > MAX_FRAMES:
        raise InputError(
            f"a video of {rate:g} frames per second at {speed:g} times the speed has {count:.4g} "
            f"frames for each of the source's {source_fps:.5g} pairs per second; expected a whole "
            f"number from 1 to {MAX_FRAMES}: give --fps "
            f"{source_fps * speed * min(whole, MAX_FRAMES):.6g}, or --frames N for another speed"
        )
    return _with_frames(options, whole).model_copy(update={"fps": source_fps * whole * speed})


def _settle_rate(options: RealOptions, source_fps: float) -> RealOptions:
    if options.speed is None:
        return options
    times = options.instants
    per_pair = len(times) - (times[0] == 0 and times[-1] == 1)
    rate = source_fps * per_pair * options.speed
    if options.fps is not None and abs(options.fps / rate - 1) > _TOLERANCE:
        raise InputError(
            f"{per_pair} frames per pair at {options.speed:g} times the speed need --fps "
            f"{rate:.6g}, got {options.fps:g}; give only two of frames or times, fps and speed"
        )
    return options.model_copy(update={"fps": rate})


def _with_frames(options: RealOptions, count: int) -> RealOptions:
    times = tuple((index + 0.5) / count for index in range(count))
    return options.model_copy(update={"times": times})
