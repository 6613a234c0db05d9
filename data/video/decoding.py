"""Decode videos with ffmpeg.

Colours follow the matrix and range that the file states, depths above 8 bits are kept, and frames
are rotated as players show them.
"""

import os
import re
import shlex
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.files.reading import expect_regular
from utils.errors import InputError

_LIST_FRAMES = "-fps_mode passthrough -enc_time_base demux -f framecrc"
_TO_RGB = "scale=in_color_matrix=auto:in_range=auto:flags=bicubic+accurate_rnd+full_chroma_int"
_MIN_FRAMES_FOR_EXACT_RATE = 9  # of fewer, intervals rounded to ticks may all be equal
_MAX_JITTER = 0.2  # of the usual interval between frames, beyond the rounding to ticks
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,ogg,flv,asf,gif,apng,nut,"
    "mxf,yuv4mpegpipe,dv,wtv,rm,vc1,vc1test,mjpeg,mjpeg_2000,mpjpeg,smjpeg,cavsvideo,avs2,avs3,evc,"
    "dirac,dnxhd,h261,h263,mpegtsraw,live_flv,kux,gxf,lxf,r3d,roq,bink,smk,swf,film_cpk,mtv,nsv,thp"
)
"""Formats that hold their pictures themselves; lists of other files are not followed."""
_Y4M_LINE = 1 << 10  # bytes, more than any header
_TRUNCATED = re.compile(r"ended prematurely|partial file")


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video."""

    count: int  # frames, at least 1
    size: tuple[int, int]  # rows and columns, as players show them
    fps: float | None  # None for a single frame
    is_deep: bool  # more than 8 bits per value
    is_rotated: bool  # players show stored rows as columns
    audio: str | None  # codec of the first track
    begin: float  # time of the first frame in the file, in seconds


def probe_video(video: Path) -> VideoInfo:
    """Decode a whole video once, to find its properties and any damage.

    Raises:
        InputError: the file is missing, damaged or truncated, holds no frame, or has a variable
            frame rate.
    """
    if not expect_regular(video).is_file():
        raise InputError(f"{video}: no such video")
    with _ffmpeg(video, _LIST_FRAMES) as (output, process, log):
        bar = tqdm(output, desc=video.name, unit="frame", disable=None, leave=False)
        header, ticks = _parse_frame_list(line.decode() for line in bar)
        status = process.wait()
        messages = _read_log(log)
    no_pictures = "matches no streams" in messages
    if (status != 0 and not no_pictures) or _TRUNCATED.search(messages):
        if status < 0:
            messages = f"[fatal] ffmpeg was killed by signal {-status}"
        raise _decoding_error(video, len(ticks), messages)
    if not ticks:
        raise InputError(f"{video}: holds no frame; expected a video such as .mp4, .mov or .avi")
    _expect_whole_y4m(video, len(ticks), int(header["bytes"]))
    tick = Fraction(header["tb 0"])
    width, height = map(int, header["dimensions 0"].split("x"))
    audio = re.search(r"Stream #0:.* Audio: (\w+)", messages)
    rotation = re.search(r"rotation of (-?[\d.]+) degrees", messages)
    return VideoInfo(
        count=len(ticks),
        size=(height, width),
        fps=_find_rate(video, ticks, tick),
        is_deep=re.search(r" Video: .*, \w+(le|be)\b", messages) is not None,
        is_rotated=rotation is not None and round(float(rotation[1])) % 180 == 90,
        audio=audio[1] if audio else None,
        begin=float(ticks[0] * tick),
    )


def decode_video(video: Path, info: VideoInfo, start: int = 0) -> Generator[Tensor, None, None]:
    """Yield frames from index `start` on, (3, H, W) RGB float32 in [0, 1].

    Raises:
        InputError: a frame cannot be decoded.
    """
    height, width = info.size
    pixels, kind = ("rgb48le", np.dtype("<u2")) if info.is_deep else ("rgb24", np.dtype("u1"))
    filters = f"-vf select=gte(n\\,{start}),{_TO_RGB}"
    raw = f"-fps_mode passthrough -pix_fmt {pixels} -f rawvideo"
    size = height * width * 3 * kind.itemsize
    with _ffmpeg(video, f"{filters} {raw}") as (output, process, log):
        for number in range(start, info.count):
            data = output.read(size)
            if len(data) < size:
                process.wait()
                raise _decoding_error(video, number, _read_log(log))
            image = np.frombuffer(data, kind).reshape(height, width, 3).transpose(2, 0, 1)
            values = np.ascontiguousarray(image, dtype=np.float32)
            yield torch.from_numpy(values) / float(np.iinfo(kind).max)


def _expect_whole_y4m(video: Path, count: int, frame_bytes: int) -> None:
    """Refuse a YUV4MPEG2 file that is cut within a frame, which ffmpeg leaves out silently.

    Raises:
        InputError: it is cut.
    """
    with video.open("rb") as file:
        if not file.readline(_Y4M_LINE).startswith(b"YUV4MPEG2 "):
            return
        for _ in range(count):
            file.readline(_Y4M_LINE)  # "FRAME" and its parameters
            file.seek(frame_bytes, os.SEEK_CUR)
        if file.read(1):
            raise _decoding_error(video, count, "")


def _parse_frame_list(lines: Iterable[str]) -> tuple[dict[str, str], list[int]]:
    """Parse ffmpeg's framecrc output: its header with a frame's bytes, and the frames' ticks."""
    header, ticks = {}, []
    for line in lines:
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            header[name] = value.strip()
        else:
            fields = line.split(",")
            ticks.append(int(fields[2]))
            header.setdefault("bytes", fields[4].strip())
    return header, ticks


def _find_rate(video: Path, ticks: list[int], tick: Fraction) -> float | None:
    """Frames per second of timestamps in ticks (`tick` seconds); None for a single frame.

    If coarse ticks leave it open, it is the nearest standard rate.

    Raises:
        InputError: the rate is variable.
    """
    if len(ticks) < 2:
        return None
    intervals = Counter(later - earlier for earlier, later in pairwise(ticks))
    smallest, largest = min(intervals), max(intervals)
    [(usual, _)] = intervals.most_common(1)
    if smallest <= 0 or largest - smallest > _MAX_JITTER * usual + 2:
        shortest, longest = (float(interval * tick * 1000) for interval in (smallest, largest))
        constant = max(1, round(1 / (max(usual, 1) * tick)))
        raise InputError(
            f"{video}: variable frame rate, {shortest:.4g} to {longest:.4g} ms between frames; "
            f"make it constant: ffmpeg -i {shlex.quote(str(video))} -vf fps={constant} OUT.mp4"
        )
    duration = ticks[-1] - ticks[0]
    rate = (len(ticks) - 1) / (duration * tick)
    if len(intervals) == 1 and len(ticks) >= _MIN_FRAMES_FOR_EXACT_RATE:
        return float(rate)
    standard = Fraction(round(rate)), Fraction(1000 * round(rate * 1001 / 1000), 1001)
    nearest = min(standard, key=lambda one: abs(one - rate))
    return float(nearest if abs(nearest - rate) * duration < rate else rate)


def _decoding_error(video: Path, count: int, messages: str) -> InputError:
    """The error of a video that can be decoded up to frame `count`."""
    found = re.search(r"\[(?:error|fatal)\] (.+)", messages)
    reason = found[1].rstrip(".") if found else "it ends too early"
    if count == 0:
        return InputError(
            f"{video}: no frame can be decoded: {reason}; expected a video such as .mp4, .mov or "
            ".avi with a common codec such as H.264"
        )
    return InputError(
        f"{video}: damaged or cut short after {count} frames: {reason}; copy it again, or keep the "
        f"readable part: ffmpeg -i {shlex.quote(str(video))} OUT.mp4"
    )


@contextmanager
def _ffmpeg(
    video: Path, options: str
) -> Iterator[tuple[IO[bytes], subprocess.Popen[bytes], IO[bytes]]]:
    """Decode a video's picture stream; yields ffmpeg's output, process and log."""
    strict = ["-hide_banner", "-nostdin", "-v", "level+info", "-xerror"]
    source = ["-format_whitelist", _CONTAINERS, "-i", f"file:{video}", "-map", "0:V:0"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *strict, *source, *options.split(), "-"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdout is not None
        try:
            yield process.stdout, process, log
        finally:
            process.kill()


def _read_log(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")
