"""Pairs of two synchronised cameras as a stream; one pair is in memory at a time."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

from torch import Tensor

from data.camera_timing import CameraTiming, Layout
from data.capture import CapturePair
from data.files.stored_values import StoredValues
from data.files.videos import AudioTrack
from data.video.pairing import Change, UnsurePairs
from data.video.partners import check_partners, choose_pairs
from data.video.sources import FrameReader, FrameSource, open_images
from utils.errors import InputError

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
    unsure: tuple[UnsurePairs, ...] = ()  # pairs that may not belong together
    delays: tuple[float, ...] = ()  # of the second view in readouts, beyond `timing`; per pair

    @property
    def pixel_aspect(self) -> Fraction:
        """Width / height of a pixel as it is shown."""
        return self.sources[0].pixel_aspect if self.sources else Fraction(1)

    def pair_timing(self, number: int) -> CameraTiming:
        """The timing of one pair."""
        if not self.delays:
            return self.timing
        delay = self.timing.start_offset + self.delays[number]
        return replace(self.timing, start_offset=delay)

    def pairs(self, start: int = 0) -> Generator[CapturePair, None, None]:
        """Yield the pairs from index `start` on, named by their indices.

        Raises:
            InputError: an image cannot be read, or has fewer than 2 lines.
        """
        with closing(self.views(start)) as views:
            for number, (first, second) in enumerate(islice(views, self.count - start), start):
                timing = self.pair_timing(number)
                yield _orient(first, second, timing, name=f"{self.name}/{number:06d}")


def pair_views(
    first: FrameSource,
    second: FrameSource,
    timing: CameraTiming,
    *,
    offset: int = 0,
    changes: Sequence[Change] | None = (),
) -> CaptureStream:
    """Pair the frames of two synchronised recordings; images pair by name.

    Videos whose time stamps come apart are paired by these, and each pair has its own timing.

    Args:
        first: recording of the first sensor.
        second: recording of the second sensor.
        timing: of the sensors.
        offset: frame n of the first pairs with frame n + `offset` of the second.
        changes: other offsets from later frames on; None looks for missing frames and applies what
            it finds.

    Raises:
        InputError: sizes, frame rates or names of images differ, no pair is left, or views have
            fewer than 2 lines.
    """
    check_partners(first, second)
    _expect_lines(first.path, first.size, timing)
    pairing, notes = choose_pairs(first, second, timing, offset, changes)

    return CaptureStream(
        name=first.name.removesuffix("_t2b"),
        count=len(pairing.first),
        fps=first.fps,
        timing=timing,
        sources=(first, second),
        arrangement=pairing.arrangement,
        audio=_skip_audio(first, pairing.first[0]),
        notes=(*notes, *first.notes, *second.notes, *_rotation_notes((first, second), timing)),
        views=partial(
            _views_of_two, (first.frames, second.frames), (pairing.first, pairing.second)
        ),
        unsure=pairing.unsure,
        delays=pairing.delays,
    )


def split_views(source: FrameSource, layout: Layout, timing: CameraTiming) -> CaptureStream:
    """Split the frames of a recording that shows both views in one picture.

    Raises:
        InputError: the width (lr) or height (tb) is odd, or views have fewer than 2 lines.
    """
    axis, lines = (2, "columns") if layout == "lr" else (1, "rows")
    size = source.size[axis - 1]
    if size % 2:
        raise InputError(
            f"{source.path}: expected an even number of {lines} for --layout {layout}, got {size}"
        )
    rows, columns = source.size
    view = (rows, columns // 2) if layout == "lr" else (rows // 2, columns)
    _expect_lines(source.path, view, timing)

    return CaptureStream(
        name=source.name,
        count=source.count,
        fps=source.fps,
        timing=timing,
        sources=(source,),
        arrangement=layout,
        audio=source.audio,
        notes=(*source.notes, *_rotation_notes((source,), timing)),
        views=partial(_views_of_one, source.frames, axis),
    )


def read_split(path: str | Path, layout: Layout, stored: StoredValues | None = None) -> CapturePair:
    """Read one capture from an image that shows both views, with values as `stored` says.

    Raises:
        InputError: the image cannot be read, its width (lr) or height (tb) is odd, or a view has
            fewer than 2 lines.
    """
    image = Path(path)
    source = open_images(image, image.stem, [("0", image)], stored)
    [capture] = split_views(source, layout, CameraTiming()).pairs()
    return replace(capture, name=image.stem)


def _expect_lines(path: Path | str, size: Sequence[int], timing: CameraTiming) -> None:
    """Check the rows or columns, as they are read, of a view (rows, columns)."""
    axis, kind = (1, "columns") if timing.is_transposed else (0, "rows")
    if size[axis] < 2:
        raise InputError(f"{path}: a rolling shutter needs at least 2 {kind}, got {size[axis]}")


def apply_timing(capture: CapturePair, timing: CameraTiming) -> CapturePair:
    """Orient a capture's images and set its scan time, by the timing of the sensors.

    Raises:
        InputError: it has fewer than 2 lines.
    """
    _expect_lines(capture.name, capture.t2b.shape[-2:], timing)
    return _orient(capture.t2b, capture.b2t, timing, name=capture.name)


def _orient(first: Tensor, second: Tensor, timing: CameraTiming, *, name: str) -> CapturePair:
    t2b, b2t = timing.orient(first, second)
    return CapturePair(t2b=t2b, b2t=b2t, scan_time=timing.scan_time(t2b.shape[-2]), name=name)


# Not nested functions: a stream travels to worker processes.
def _views_of_two(
    sources: tuple[FrameReader, FrameReader], numbers: tuple[Sequence[int], ...], start: int
) -> Views:
    """Views from two recordings, whose frames of these numbers are pairs."""
    first, second = sources
    with (
        closing(_pick(first, numbers[0][start:])) as one,
        closing(_pick(second, numbers[1][start:])) as other,
    ):
        yield from zip(one, other, strict=False)


def _views_of_one(frames: FrameReader, axis: int, start: int) -> Views:
    """Views from a recording that shows both side by side along an axis."""
    with closing(frames(start)) as pictures:
        for picture in pictures:
            first, second = picture.chunk(2, dim=axis)
            yield first.contiguous(), second.contiguous()


def _pick(read: FrameReader, numbers: Sequence[int]) -> Generator[Tensor, None, None]:
    """Frames of increasing numbers."""
    if not numbers:
        return
    wanted = iter(numbers)
    number = next(wanted)
    with closing(read(number)) as frames:
        for index, frame in enumerate(frames, start=number):
            if index == number:
                yield frame
                if (number := next(wanted, -1)) < 0:
                    return


def _skip_audio(source: FrameSource, frames: int) -> AudioTrack | None:
    """A source's audio without that of its first `frames`."""
    if source.audio is None or source.fps is None:
        return None
    return source.audio._replace(begin=source.audio.begin + frames / source.fps)


def _rotation_notes(sources: tuple[FrameSource, ...], timing: CameraTiming) -> tuple[str, ...]:
    """Warn of videos that are shown rotated while the timing is by rows."""
    return tuple(
        f"warning: {source.path}: stored rotated by 90 degrees, so the sensor's rows are columns "
        "of the picture; set --directions l2r,r2l or r2l,l2r"
        for source in sources
        if source.is_rotated and not timing.is_transposed
    )
