"""Parts of a video joined into one without encoding them again, with the sound that goes along."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from data.files.images import replacing, run_ffmpeg
from data.video.sources import AudioTrack

_IN_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
_LARGEST_DENOMINATOR = 1001  # of frame rates such as 240000/1001
_CHUNK = 1 << 20  # bytes


class Soundtrack(NamedTuple):
    """A stretch of sound.

    Attributes:
        audio: where it is, from its begin on.
        seconds: how long it is.
    """

    audio: AudioTrack
    seconds: float


def join_video_parts(
    parts: Sequence[Path], path: Path, fps: float, sound: Soundtrack | None = None
) -> None:
    """Join what `data.files.images.write_video_part` wrote into an MP4.

    Sound is copied where MP4 can hold it, else encoded as AAC.

    Raises:
        InputError: no space left or no permission, or a part or the sound cannot be read.
    """
    rate = Fraction(fps).limit_denominator(_LARGEST_DENOMINATOR)
    # A bare stream has no timestamps, and each part begins anew: frames are counted instead.
    count = f"setts=ts=N*{rate.denominator}:duration={rate.denominator}"
    stamps = ["-bsf:v", f"{count}:time_base=1/{rate.numerator}"]
    pictures = f"-fflags +genpts -f h264 -framerate {rate} -i -".split()
    added, codec = [], "copy"
    if sound is not None:
        stretch = f"-ss {sound.audio.begin:.6f} -t {sound.seconds:.6f} -i".split()
        added = [*stretch, f"file:{sound.audio.path}", "-map", "0:v", "-map", "1:a:0"]
        codec = "copy" if sound.audio.codec in _IN_MP4 else "aac"
    output = ["-c:v", "copy", "-c:a", codec, *stamps, "-movflags", "+faststart"]
    with replacing(path) as temporary:
        run_ffmpeg([*pictures, *added, *output, f"file:{temporary}"], _read(parts))


def _read(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
