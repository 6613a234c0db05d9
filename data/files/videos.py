"""Video files by ffmpeg: H.264 and GIF from frames, and parts joined without re-encoding."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np

from data.files.folders import replacing
from data.files.images import Image, check_array
from utils.errors import InputError

MAX_GIF_FPS = 50
"""GIF delays are hundredths of a second, and browsers slow a delay of one down to ten."""

MAX_VIDEO_SIDE = 16384
"""Pixels along a side of an H.264 video."""

_MP4_AUDIO_CODECS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
_MAX_DENOMINATOR = 1001  # of frame rates such as 240000/1001
_CHUNK = 1 << 20  # bytes
_LACKS = re.compile(
    r"(?i)^(unknown encoder|unrecognized option|no such filter|error parsing bitstream filter)"
)
_NEEDED = "ffmpeg 4.4 or newer with libx264"  # 4.4 has the bitstream filter setts


class AudioTrack(NamedTuple):
    """The audio track of a recording."""

    path: Path
    codec: str  # ffmpeg's name
    begin: float  # time of the first frame in the file, in seconds


class Soundtrack(NamedTuple):
    """A stretch of audio, from the track's `begin` on."""

    audio: AudioTrack
    seconds: float


def write_video(path: str | Path, frames: Iterable[Image], fps: float) -> None:
    """Write (H, W, 3) RGB frames as an MP4 that browsers play: H.264, yuv420p, BT.709.

    yuv420p needs even sizes: an odd last row or column is repeated. One frame is in memory at a
    time.

    Raises:
        ValueError: there are no frames, or their shapes or types differ from the first.
        InputError: as for `write_image`.
    """
    _write_h264(Path(path), frames, fps, "-movflags +faststart")


def write_video_part(path: str | Path, frames: Iterable[Image], fps: float) -> None:
    """Write frames like `write_video`, as a raw H.264 stream for `join_video_parts`.

    Raises:
        ValueError: as for `write_video`.
        InputError: as for `write_image`.
    """
    _write_h264(Path(path), frames, fps, "-bf 0 -f h264")  # no timestamps, so no B-frames


def write_gif(path: str | Path, frames: Iterable[Image], fps: float) -> None:
    """Write (H, W, 3) RGB frames as a looping GIF with one palette.

    Raises:
        ValueError: as for `write_video`.
        InputError: as for `write_image`.
    """
    palette = "split[frames][colours];[colours]palettegen[palette];[frames][palette]paletteuse"
    _encode(Path(path), frames, fps, ["-filter_complex", palette, "-loop", "0"])


def join_video_parts(
    parts: Sequence[Path],
    path: Path,
    fps: float,
    sound: Soundtrack | None = None,
    pixel_aspect: Fraction = Fraction(1),
) -> None:
    """Join the parts that `write_video_part` wrote into an MP4.

    Copies the audio if MP4 can hold its codec, else encodes it as AAC. `pixel_aspect` is the width
    / height of a pixel as players show it.

    Raises:
        InputError: no space left or no permission, or a part or the audio cannot be read.
    """
    rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
    # Raw streams have no timestamps, and each part restarts: set them from the frame count.
    count = f"setts=ts=N*{rate.denominator}:duration={rate.denominator}"
    aspect = f"h264_metadata=sample_aspect_ratio={pixel_aspect}," if pixel_aspect != 1 else ""
    stamps = ["-bsf:v", f"{aspect}{count}:time_base=1/{rate.numerator}"]
    pictures = f"-fflags +genpts -f h264 -framerate {rate} -i -".split()
    added, codec = [], "copy"
    if sound is not None:
        stretch = f"-ss {sound.audio.begin:.6f} -t {sound.seconds:.6f} -i".split()
        added = [*stretch, f"file:{sound.audio.path}", "-map", "0:v", "-map", "1:a:0"]
        codec = "copy" if sound.audio.codec in _MP4_AUDIO_CODECS else "aac"
    output = ["-c:v", "copy", "-c:a", codec, *stamps, "-movflags", "+faststart"]
    with replacing(path) as temporary:
        _run_ffmpeg([*pictures, *added, *output, f"file:{temporary}"], _read_chunks(parts))


def _write_h264(path: Path, frames: Iterable[Image], fps: float, options: str) -> None:
    even = (
        np.pad(frame, [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)], mode="edge")
        for frame in frames
    )
    encoding = (
        "-vf scale=out_color_matrix=bt709:out_range=tv -c:v libx264 -crf 16 -pix_fmt yuv420p "
        "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
    )
    _encode(path, even, fps, f"{encoding} {options}".split())


def _encode(path: Path, frames: Iterable[Image], fps: float, options: Sequence[str]) -> None:
    """Pipe raw frames into ffmpeg, one at a time."""
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise ValueError("expected frames of one shape, got none")
    check_array(first, "uint8")
    height, width = first.shape[:2]
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"

    def chunks() -> Iterator[bytes]:
        for frame in chain([first], remaining):
            if frame.shape != first.shape:
                raise ValueError(f"expected frames of one shape, got {first.shape}, {frame.shape}")
            yield frame.tobytes()

    with replacing(path) as temporary:
        _run_ffmpeg([*source.split(), *options, f"file:{temporary}"], chunks())


def _run_ffmpeg(arguments: Sequence[str], data: Iterable[bytes]) -> None:
    """Run ffmpeg with data piped into its input `-i -`.

    Raises:
        OSError: it failed; the message is ffmpeg's first line.
        InputError: it lacks an encoder, filter or option.
    """
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*program, *arguments],
            stdin=subprocess.PIPE,
            stderr=log,
            # The bundled program crashes on loading the system's character sets for MPEG-TS.
            env=os.environ | {"GCONV_PATH": os.devnull},
        ) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            for chunk in data:
                process.stdin.write(chunk)
        with suppress(BrokenPipeError):
            process.stdin.close()
        status = process.wait()
        log.seek(0)
        first = log.readline().decode(errors="replace").strip().rpartition("] ")[2]
    if status != 0 and _LACKS.search(first):
        raise InputError(
            f"{program[0]}: {first}; expected {_NEEDED}; unset IMAGEIO_FFMPEG_EXE to use the "
            "program that imageio-ffmpeg brings, or install a newer one"
        )
    if status != 0:
        raise OSError(first or f"ffmpeg ended with status {status}")


def _read_chunks(files: Sequence[Path]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
