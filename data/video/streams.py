"""Pairs of two synchronised cameras as a stream; one pair is in memory at a time."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from torch import Tensor

from data.camera_timing import CameraTiming, Layout
from data.capture import CapturePair
from data.files.videos import AudioTrack
from data.video.sources import FrameSource, open_images
from utils.errors import InputError

_RATE_TOLERANCE = 0.005  # relative difference of measured rates
_MAX_NAMES_SHOWN = 3

Views = Generator[tuple[Tensor, Tensor], None, None]
"""Images (3, H, W) of the first and the second sensor, pair by pair."""


@dataclass(frozen=True)
class CaptureStream:
    """The pairs of a clip in order of time; t = 1 of a pair is t = 0 of the next."""

    name: str  # for naming results
    count: int
    fps: float | None  # pairs per second, if known
    timing: CameraTiming
    sources: tuple[FrameSource, ...]
    arrangement: str  # "offset K", "lr" or "tb"
    audio: AudioTrack | None  # begins with the first pair
    notes: tuple[str, ...]  # lines to show to the user
    views: Callable[[int], Views]  # from a pair's index on

    def pairs(self, start: int = 0) -> Generator[CapturePair, None, None]:
        """Yield the pairs from index `start` on, named by their indices.

        Raises:
            InputError: an image cannot be read, or has fewer than 2 lines.
        """
        with closing(self.views(start)) as views:
            for number, (first, second) in enumerate(islice(views, self.count - start), start):
                yield _orient(first, second, self.timing, name=f"{self.name}/{number:06d}")


def pair_views(
    first: FrameSource, second: FrameSource, timing: CameraTiming, *, offset: int = 0
) -> CaptureStream:
    """Pair the frames of two synchronised recordings; images pair by name.

    Args:
        first: recording of the first sensor.
        second: recording of the second sensor.
        timing: of the sensors.
        offset: frame n of the first pairs with frame n + `offset` of the second.

    Raises:
        InputError: sizes, frame rates or names of images differ, or `offset` leaves no pair.
    """
    _check_partners(first, second)
    skipped = max(0, -offset), max(0, offset)
    left = first.count - skipped[0], second.count - skipped[1]
    if min(left) < 1:
        raise InputError(
            f"--offset {offset}: beyond the end of a recording; {first.path} has {first.count} "
            f"frames, {second.path} has {second.count}"
        )
    notes = []
    if left[0] != left[1]:
        notes.append(
            f"{first.path} has {first.count} frames, {second.path} has {second.count}; "
            f"using the {min(left)} pairs that they share"
        )

    def views(start: int) -> Views:
        with (
            closing(first.frames(skipped[0] + start)) as one,
            closing(second.frames(skipped[1] + start)) as other,
        ):
            yield from zip(one, other, strict=False)

    return CaptureStream(
        name=first.name.removesuffix("_t2b"),
        count=min(left),
        fps=first.fps,
        timing=timing,
        sources=(first, second),
        arrangement=f"offset {offset}",
        audio=_skip_audio(first, skipped[0]),
        notes=(*notes, *_rotation_notes((first, second), timing)),
        views=views,
    )


def split_views(source: FrameSource, layout: Layout, timing: CameraTiming) -> CaptureStream:
    """Split the frames of a recording that shows both views in one picture.

    Raises:
        InputError: the width (lr) or height (tb) is odd.
    """
    axis, lines = (2, "columns") if layout == "lr" else (1, "rows")
    size = source.size[axis - 1]
    if size % 2:
        raise InputError(
            f"{source.path}: expected an even number of {lines} for --layout {layout}, got {size}"
        )

    def views(start: int) -> Views:
        with closing(source.frames(start)) as frames:
            for frame in frames:
                first, second = frame.chunk(2, dim=axis)
                yield first.contiguous(), second.contiguous()

    return CaptureStream(
        name=source.name,
        count=source.count,
        fps=source.fps,
        timing=timing,
        sources=(source,),
        arrangement=layout,
        audio=source.audio,
        notes=_rotation_notes((source,), timing),
        views=views,
    )


def read_split(path: str | Path, layout: Layout) -> CapturePair:
    """Read one capture from an image that shows both views.

    Raises:
        InputError: the image cannot be read, its width (lr) or height (tb) is odd, or a view has
            fewer than 2 lines.
    """
    image = Path(path)
    source = open_images(image, image.stem, [("0", image)])
    [capture] = split_views(source, layout, CameraTiming()).pairs()
    return replace(capture, name=image.stem)


def apply_timing(capture: CapturePair, timing: CameraTiming) -> CapturePair:
    """Orient a capture's images and set its scan time, by the timing of the sensors.

    Raises:
        InputError: it has fewer than 2 lines.
    """
    return _orient(capture.t2b, capture.b2t, timing, name=capture.name)


def _orient(first: Tensor, second: Tensor, timing: CameraTiming, *, name: str) -> CapturePair:
    t2b, b2t = timing.orient(first, second)
    return CapturePair(t2b=t2b, b2t=b2t, scan_time=timing.scan_time(t2b.shape[-2]), name=name)


def _skip_audio(source: FrameSource, frames: int) -> AudioTrack | None:
    """A source's audio without that of its first `frames`."""
    if source.audio is None or source.fps is None:
        return None
    return source.audio._replace(begin=source.audio.begin + frames / source.fps)


def _check_partners(first: FrameSource, second: FrameSource) -> None:
    """Check that two recordings agree in kind, size, rate and image names."""
    if first.size != second.size:
        expected, got = (f"{source.size[1]}x{source.size[0]}" for source in (first, second))
        raise InputError(f"{second.path}: expected {expected} pixels like {first.path}, got {got}")
    if bool(first.keys) != bool(second.keys):
        raise InputError(
            f"{first.path} with {second.path}: expected two videos or two image sequences, got one "
            "of each"
        )
    if first.fps and second.fps and abs(first.fps / second.fps - 1) > _RATE_TOLERANCE:
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


def _rotation_notes(sources: tuple[FrameSource, ...], timing: CameraTiming) -> tuple[str, ...]:
    """Warn of videos that are shown rotated while the timing is by rows."""
    return tuple(
        f"warning: {source.path}: stored rotated by 90 degrees, so the sensor's rows are columns "
        "of the picture; set --directions l2r,r2l or r2l,l2r"
        for source in sources
        if source.is_rotated and not timing.is_transposed
    )
