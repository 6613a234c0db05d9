"""Open video files by PyAV and decode their frames; damage becomes one error line.

Streams, time stamps and tags are read as values. Nothing is parsed from text, which names and
metadata of the file could imitate.
"""

import os
import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
from av import logging
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from utils.errors import InputError

_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,ogg,flv,asf,gif,apng,nut,"
    "mxf,yuv4mpegpipe,dv,wtv,rm,vc1,vc1test,mjpeg,mjpeg_2000,mpjpeg,smjpeg,cavsvideo,avs2,avs3,evc,"
    "dirac,dnxhd,h261,h263,mpegtsraw,live_flv,kux,gxf,lxf,r3d,roq,bink,smk,swf,film_cpk,mtv,nsv,thp"
)
"""Formats that hold their pictures themselves; lists of other files are not followed."""
_Y4M_LINE = 1 << 10  # bytes, more than any header
_MATROSKA_CUT = "File ended prematurely"  # libavformat reports it in its log only


@dataclass
class Recording:
    """An open video file.

    Attributes:
        path: the file.
        container: as PyAV opened it.
        pictures: the stream that players show.
        frame_bytes: size of the first packet of pictures, once read.
    """

    path: Path
    container: InputContainer
    pictures: VideoStream
    frame_bytes: int = field(default=0, init=False)

    @property
    def sound(self) -> list[Stream]:
        """The tracks of sound."""
        return [stream for stream in self.container.streams if stream.type == "audio"]

    @property
    def other_pictures(self) -> int:
        """Number of further video tracks, without cover pictures."""
        return sum(map(_shows_video, self.container.streams)) - 1

    def frames(self) -> Generator[VideoFrame, None, None]:
        """Decode all frames, in order of time.

        Raises:
            InputError: the file is damaged, cut short, or changes its picture size.
        """
        number, size, format_name = 0, None, None
        try:
            for packet in self.container.demux(self.pictures):
                self.frame_bytes = self.frame_bytes or packet.size
                decoded = packet.decode()
                if packet.is_corrupt or any(frame.is_corrupt for frame in decoded):
                    raise decoding_error(self.path, number, "")
                for frame in decoded:
                    shape = frame.width, frame.height
                    size, format_name = size or shape, format_name or frame.format.name
                    if (shape, frame.format.name) != (size, format_name):
                        raise InputError(
                            f"{self.path}: from frame {number} on, {shape[0]}x{shape[1]} "
                            f"{frame.format.name}, before {size[0]}x{size[1]} {format_name}; "
                            "expected one format; cut it there"
                        )
                    yield frame
                    number += 1
        except av.error.FFmpegError as error:
            raise decoding_error(self.path, number, _reason(error)) from error


def expect_whole_matroska(video: Path, count: int) -> None:
    """Refuse a Matroska file that ends too early: libavformat tells that to its log only.

    Reads the file without decoding: log lines of decoder threads can lock up PyAV.

    Raises:
        InputError: it does; `count` frames can be decoded.
    """
    with open_recording(video) as recording:
        if not recording.container.format.name.startswith("matroska"):
            return
        level, skips = logging.get_level(), logging.get_skip_repeated()
        logging.set_level(logging.ERROR)
        logging.set_skip_repeated(False)  # the second cut file says the same as the first
        try:
            with logging.Capture(local=False) as messages:
                for _ in recording.container.demux(recording.pictures):
                    pass
        finally:
            logging.set_level(level)
            logging.set_skip_repeated(skips)
    if any(text.startswith(_MATROSKA_CUT) for _, _, text in messages):
        raise decoding_error(video, count, "")


@contextmanager
def open_recording(video: Path) -> Iterator[Recording]:
    """Open a video file.

    Raises:
        InputError: it cannot be read, is no video, or holds no pictures.
    """
    try:
        file = video.open("rb")
    except OSError as error:
        raise InputError(f"{video}: cannot be read: {error.strerror}") from error
    with file:
        if not os.fstat(file.fileno()).st_size:
            raise decoding_error(video, 0, "the file is empty")
        options = {"format_whitelist": _CONTAINERS}
        try:
            container = av.open(file, "r", options=options, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            is_unknown = isinstance(error, av.error.ArgumentError)
            reason = "it is of no known kind of video" if is_unknown else _reason(error)
            raise decoding_error(video, 0, reason) from error
        with container:
            yield Recording(video, container, _find_pictures(video, container))


def no_frame(video: Path) -> InputError:
    """The error of a file without a frame."""
    return InputError(f"{video}: holds no frame; expected a video such as .mp4, .mov or .avi")


def decoding_error(video: Path, count: int, reason: str) -> InputError:
    """The error of a video that can be decoded up to frame `count`."""
    reason = reason or "it ends too early"
    if count == 0:
        return InputError(
            f"{video}: no frame can be decoded: {reason}; expected a video such as .mp4, .mov or "
            ".avi with a common codec such as H.264"
        )
    return InputError(
        f"{video}: damaged or cut short after {count} frames: {reason}; copy it again, or keep the "
        f"readable part: ffmpeg -i {shlex.quote(str(video))} OUT.mp4"
    )


def expect_whole_y4m(video: Path, count: int, frame_bytes: int) -> None:
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
            raise decoding_error(video, count, "")


def _find_pictures(video: Path, container: InputContainer) -> VideoStream:
    for stream in container.streams:
        if _shows_video(stream):
            if stream.codec_context is None:  # PyAV crashes on reading from such a stream
                raise decoding_error(video, 0, "no decoder found for: none")
            assert isinstance(stream, VideoStream)
            stream.thread_type = "AUTO"
            return stream
    raise no_frame(video)


def _shows_video(stream: Stream) -> bool:
    return stream.type == "video" and not stream.disposition & Disposition.attached_pic


def _reason(error: Exception) -> str:
    """What went wrong, without the names of files and functions that PyAV adds."""
    return (getattr(error, "strerror", None) or str(error)).rstrip(".").lower()
