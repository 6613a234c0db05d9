"""Videos decoded by ffmpeg: what they hold, found in one pass, and their frames.

Colours follow the file's own matrix and range, more than 8 bits are kept, and frames are turned as
players show them.
"""

import re
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from utils.errors import InputError

_LIST_FRAMES = "-fps_mode passthrough -enc_time_base demux -f framecrc"
_TO_RGB = "scale=in_color_matrix=auto:in_range=auto:flags=bicubic+accurate_rnd+full_chroma_int"
_ROUNDED = 8  # intervals of which rounded ones are never all alike
_UNEVEN = 0.2  # share of the usual interval between frames, beyond the rounding to ticks
_CUT_SHORT = re.compile(r"ended prematurely|partial file")


@dataclass(frozen=True)
class VideoFacts:
    """What a pass over a video finds out.

    Attributes:
        count: frames that it holds, at least 1.
        size: their rows and columns, as players show them.
        fps: frames per second; None for a single frame.
        is_deep: whether values have more than 8 bits.
        is_turned: whether players show stored rows as columns.
        audio: codec of the first audio track, if there is one.
        begin: seconds from the beginning of the file to the first frame.
    """

    count: int
    size: tuple[int, int]
    fps: float | None
    is_deep: bool
    is_turned: bool
    audio: str | None
    begin: float


def survey_video(video: Path) -> VideoFacts:
    """Decode a video once, so that damage and uneven timing show before any work is done.

    Raises:
        InputError: there is no such file, not all of it can be decoded, it holds no frame, or its
            frame rate varies.
    """
    if not video.is_file():
        raise InputError(f"{video}: no such video")
    with _ffmpeg(video, _LIST_FRAMES.split()) as (output, process, log):
        bar = tqdm(output, desc=video.name, unit="frame", disable=None, leave=False)
        listed = _read_list(line.decode() for line in bar)
        status = process.wait()
        messages = _read(log)
    no_pictures = "matches no streams" in messages
    if (status != 0 and not no_pictures) or _CUT_SHORT.search(messages):
        if status < 0:
            messages = f"[fatal] ffmpeg itself was ended by signal {-status}"
        raise _undecodable(video, listed.count, messages)
    if listed.count == 0:
        raise InputError(f"{video}: holds no frame; expected a video such as .mp4, .mov or .avi")
    _check_intervals(video, listed)
    width, height = map(int, listed.header["dimensions 0"].split("x"))
    audio = re.search(r"Stream #0:.* Audio: (\w+)", messages)
    turn = re.search(r"rotation of (-?[\d.]+) degrees", messages)
    return VideoFacts(
        count=listed.count,
        size=(height, width),
        fps=listed.fps,
        is_deep=re.search(r" Video: .*, \w+(le|be)\b", messages) is not None,
        is_turned=turn is not None and round(float(turn[1])) % 180 == 90,
        audio=audio[1] if audio else None,
        begin=float(listed.first * listed.tick),
    )


def decode_video(video: Path, facts: VideoFacts, start: int = 0) -> Generator[Tensor, None, None]:
    """Frames from number `start` on, (3, H, W) RGB float32 in [0, 1].

    Raises:
        InputError: a frame cannot be decoded.
    """
    height, width = facts.size
    pixels, kind = ("rgb48le", np.dtype("<u2")) if facts.is_deep else ("rgb24", np.dtype("u1"))
    filters = f"select=gte(n\\,{start}),{_TO_RGB}"
    raw = f"-fps_mode passthrough -pix_fmt {pixels} -f rawvideo"
    size = height * width * 3 * kind.itemsize
    with _ffmpeg(video, ["-vf", filters, *raw.split()]) as (output, process, log):
        for number in range(start, facts.count):
            data = output.read(size)
            if len(data) < size:
                process.wait()
                raise _undecodable(video, number, _read(log))
            image = np.frombuffer(data, kind).reshape(height, width, 3).transpose(2, 0, 1)
            values = np.ascontiguousarray(image, dtype=np.float32)
            yield torch.from_numpy(values) / float(np.iinfo(kind).max)


@dataclass
class _FrameList:
    """The frames that ffmpeg lists: what it says of all, their number and times in ticks."""

    header: dict[str, str] = field(default_factory=dict)
    count: int = 0
    first: int = 0
    last: int = 0
    intervals: Counter[int] = field(default_factory=Counter)

    @property
    def tick(self) -> Fraction:
        """Unit of the times, in seconds."""
        return Fraction(self.header["tb 0"])

    @property
    def fps(self) -> float | None:
        """Frames per second, a usual rate where ticks cannot tell; None for a single frame."""
        if self.count < 2:
            return None
        ticks = self.last - self.first
        rate = (self.count - 1) / (ticks * self.tick)
        if len(self.intervals) == 1 and self.count > _ROUNDED:
            return float(rate)
        usual = Fraction(round(rate)), Fraction(1000 * round(rate * 1001 / 1000), 1001)
        nearest = min(usual, key=lambda one: abs(one - rate))
        return float(nearest if abs(nearest - rate) * ticks < rate else rate)


def _read_list(lines: Iterable[str]) -> _FrameList:
    listed = _FrameList()
    for line in lines:
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            listed.header[name] = value.strip()
            continue
        instant = int(line.split(",")[2])
        if listed.count:
            listed.intervals[instant - listed.last] += 1
        else:
            listed.first = instant
        listed.count, listed.last = listed.count + 1, instant
    return listed


def _check_intervals(video: Path, listed: _FrameList) -> None:
    if not listed.intervals:
        return
    smallest, largest = min(listed.intervals), max(listed.intervals)
    [(usual, _)] = listed.intervals.most_common(1)
    if smallest > 0 and largest - smallest <= _UNEVEN * usual + 2:
        return
    shortest, longest = (float(ticks * listed.tick * 1000) for ticks in (smallest, largest))
    rate = max(1, round(1 / (max(usual, 1) * listed.tick)))
    raise InputError(
        f"{video}: variable frame rate, {shortest:.4g} to {longest:.4g} ms from frame to frame; "
        f"make it constant: ffmpeg -i {shlex.quote(str(video))} -vf fps={rate} OUT"
    )


def _undecodable(video: Path, count: int, messages: str) -> InputError:
    """The error of a video of which `count` frames can be decoded."""
    found = re.search(r"\[(?:error|fatal)\] (.+)", messages)
    reason = found[1].rstrip(".") if found else "it ends too early"
    if count == 0:
        return InputError(
            f"{video}: no frame can be decoded: {reason}; expected a video such as .mp4, .mov or "
            ".avi, of a common codec such as H.264"
        )
    return InputError(
        f"{video}: damaged or cut short after {count} frames: {reason}; copy it again, or keep "
        f"what can be read: ffmpeg -i {shlex.quote(str(video))} OUT"
    )


@contextmanager
def _ffmpeg(
    video: Path, options: list[str]
) -> Iterator[tuple[IO[bytes], subprocess.Popen[bytes], IO[bytes]]]:
    """Start ffmpeg on a video's pictures; offers its output, itself and its messages."""
    strictly = ["-hide_banner", "-nostdin", "-v", "level+info", "-xerror"]
    source = ["-i", f"file:{video}", "-map", "0:V:0"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *strictly, *source, *options, "-"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        try:
            yield process.stdout, process, log
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _read(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")
