"""Decode videos by PyAV: their properties, then their frames.

Colours follow the tags of the file, depths above 8 bits are kept, and frames are rotated as players
show them.
"""

import shlex
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import torch
from av.filter import Graph
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from data.files.reading import expect_regular
from data.video.colour import Colours, read_colours, to_standard_range
from data.video.containers import (
    Recording,
    decoding_error,
    expect_whole_matroska,
    expect_whole_y4m,
    no_frame,
    open_recording,
)
from data.video.continuity import THUMBNAIL
from data.video.interlacing import Combing
from data.video.stamps import find_rate, variable_rate_error
from utils.errors import InputError

_SCALE = "in_color_matrix={}:in_range=auto:flags=bicubic+accurate_rnd+full_chroma_int"


@dataclass(frozen=True)
class Turn:
    """How players turn the stored picture: transposed, then mirrored."""

    transposed: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    def apply(self, image: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn an image (H, W, ...)."""
        turned = image.swapaxes(0, 1) if self.transposed else image
        return turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """Properties of a video."""

    count: int  # frames, at least 1
    size: tuple[int, int]  # rows and columns, as players show them
    fps: float | None  # None for a single frame; of variable rates the mean
    is_constant: bool  # whether the rate is
    is_deep: bool  # more than 8 bits per value
    is_rotated: bool  # players show stored rows as columns
    audio: str | None  # codec of the first track
    begin: float  # time of the first frame in the file, in seconds
    times: tuple[float, ...]  # of all frames, from the first one, in seconds
    tick: float  # resolution of the times, in seconds
    pixel_aspect: Fraction  # width / height of a pixel, as players show it
    thumbnails: NDArray[np.uint8]  # (count, 48, 64) grey, as players show them
    notes: tuple[str, ...]  # lines to show to the user
    colours: Colours
    turn: Turn


def probe_video(video: Path, *, variable: bool = False) -> VideoInfo:
    """Decode a whole video once, to find its properties and any damage.

    Args:
        video: the file.
        variable: accept a variable frame rate.

    Raises:
        InputError: the file is missing, damaged or truncated, holds no frame, is interlaced, has
            colours that cannot be converted, or has a variable frame rate.
    """
    if not expect_regular(video).is_file():
        raise InputError(f"{video}: no such video")
    ticks: list[int] = []
    thumbnails: list[NDArray[np.uint8]] = []
    combing, first = Combing(), None
    with open_recording(video) as recording:
        with closing(recording.frames()) as frames:
            for frame in tqdm(frames, desc=video.name, unit="frame", disable=None, leave=False):
                first = first or frame
                if frame.pts is None:
                    raise _unstamped_error(video, len(ticks))
                ticks.append(frame.pts)
                thumbnails.append(_thumbnail(frame))
                combing.add(frame)
        if first is None:
            raise no_frame(video)
        expect_whole_y4m(video, len(ticks), recording.frame_bytes)
        expect_whole_matroska(video, len(ticks))
        if combing.is_found and combing.is_flagged:
            raise InputError(
                f"{video}: interlaced: odd and even rows show two instants; expected progressive "
                f"frames; record progressively, or split both videos into their fields first: "
                f"ffmpeg -i IN -vf bwdif=mode=send_field OUT.mp4"
            )
        info = _describe(recording, first, ticks, thumbnails, variable=variable)
    if not combing.is_found:
        return info
    unflagged = (
        f"warning: {video}: odd and even rows seem to show two instants, though the file is not "
        "flagged interlaced; if so, split both videos into their fields first: ffmpeg -i IN -vf "
        "bwdif=mode=send_field:deint=all OUT.mp4"
    )
    return replace(info, notes=(unflagged, *info.notes))


def decode_video(video: Path, info: VideoInfo, start: int = 0) -> Generator[Tensor, None, None]:
    """Yield frames from index `start` on, (3, H, W) RGB float32 in [0, 1].

    Raises:
        InputError: a frame cannot be decoded.
    """
    pixels, largest = ("rgb48le", 65535.0) if info.is_deep else ("rgb24", 255.0)
    with open_recording(video) as recording, closing(recording.frames()) as frames:
        graph, count = None, 0
        for frame in frames:
            count += 1
            if count <= start:
                continue
            if count > info.count:
                return
            graph = graph or _conversion(recording, frame, info.colours, pixels)
            graph.vpush(frame)
            image = info.turn.apply(graph.vpull().to_ndarray()).transpose(2, 0, 1)
            values = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)) / largest
            is_converted = info.colours.is_converted
            yield to_standard_range(values, info.colours) if is_converted else values
        if count < info.count:
            raise decoding_error(video, count, "")


def _unstamped_error(video: Path, number: int) -> InputError:
    # Copying the stream into a container is no cure: frames out of order get wrong times.
    return InputError(
        f"{video}: frame {number} has no time stamp, as in raw streams; put it into a file with "
        "times, with your camera's frames per second in place of 30: ffmpeg -r 30 -i "
        f"{shlex.quote(str(video))} -crf 10 OUT.mp4"
    )


def _describe(
    recording: Recording,
    first: VideoFrame,
    ticks: list[int],
    thumbnails: list[NDArray[np.uint8]],
    *,
    variable: bool,
) -> VideoInfo:
    """Properties of a video by its first frame and the time stamps of all."""
    video, stream, colours = recording.path, recording.pictures, read_colours(first)
    if colours.unknown:
        raise InputError(
            f"{video}: its colours are tagged {colours.unknown}, which is not converted; expected "
            "BT.601, BT.709, BT.2020, PQ or HLG"
        )
    turn, is_odd_angle = _read_turn(first)
    tick = Fraction(first.time_base or stream.time_base or 1)
    times = tuple(float((stamp - ticks[0]) * tick) for stamp in ticks)
    rate, is_constant = find_rate(video, ticks, tick)
    if rate is not None and not is_constant and not variable:
        raise variable_rate_error(video, times, rate)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    start = Fraction(recording.container.start_time or 0, 1_000_000)
    sound = [track.codec_context.name for track in recording.sound if track.codec_context]
    size = (first.width, first.height) if turn.transposed else (first.height, first.width)
    return VideoInfo(
        count=len(ticks),
        size=size,
        fps=rate,
        is_constant=is_constant,
        is_deep=colours.is_converted or any(part.bits > 8 for part in first.format.components),
        is_rotated=turn.transposed,
        audio=sound[0] if sound else None,
        begin=max(0.0, float(ticks[0] * tick - start)),
        times=times,
        tick=float(tick),
        pixel_aspect=1 / aspect if turn.transposed else aspect,
        thumbnails=np.stack([turn.apply(image) for image in thumbnails]).astype(np.uint8),
        notes=tuple(_notes(recording, first, colours, is_odd_angle=is_odd_angle)),
        colours=colours,
        turn=turn,
    )


def _notes(
    recording: Recording, first: VideoFrame, colours: Colours, *, is_odd_angle: bool
) -> Generator[str, None, None]:
    """Lines about what is converted or left out."""
    if colours.note:
        yield f"{recording.path}: {colours.note}"
    if any(part.is_alpha for part in first.format.components):
        yield f"{recording.path}: its transparency (alpha) is left out"
    if recording.other_pictures:
        yield f"{recording.path}: {recording.other_pictures} more video tracks are left out"
    if len(recording.sound) > 1:
        yield f"{recording.path}: of {len(recording.sound)} sound tracks only the first is used"
    if is_odd_angle:
        yield f"warning: {recording.path}: its rotation is not a multiple of 90 degrees: ignored"
    if first.interlaced_frame:
        yield (
            f"{recording.path}: flagged interlaced, but its rows show one instant: taken as "
            "progressive"
        )


def _read_turn(frame: VideoFrame) -> tuple[Turn, bool]:
    """The turn by a frame's display matrix, and whether the matrix has another angle.

    The matrix sends column and row (p, q) to (a p + c q, b p + d q).
    """
    stated = cast("Mapping[Type, SideData]", frame.side_data)  # PyAV's stub names one type only
    if Type.DISPLAYMATRIX not in stated:
        return Turn(), False
    a, b, _, c, d = np.frombuffer(bytes(stated[Type.DISPLAYMATRIX]), np.int32)[:5].tolist()
    if (a, d) == (0, 0) and b and c:
        return Turn(True, c < 0, b < 0), False
    if (b, c) == (0, 0) and a and d:
        return Turn(False, a < 0, d < 0), False
    return Turn(), True


def _conversion(recording: Recording, frame: VideoFrame, colours: Colours, pixels: str) -> Graph:
    """A filter graph that converts frames like `frame` to RGB."""
    graph = Graph()
    tick = frame.time_base or recording.pictures.time_base
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=tick
    )
    scale = graph.add("scale", _SCALE.format(colours.matrix))
    target = graph.add("format", pixels)
    graph.link_nodes(source, scale, target, graph.add("buffersink")).configure()
    return graph


def _thumbnail(frame: VideoFrame) -> NDArray[np.uint8]:
    rows, columns = THUMBNAIL
    small = frame.reformat(width=columns, height=rows, format="gray", interpolation="AREA")
    return small.to_ndarray().astype(np.uint8)
