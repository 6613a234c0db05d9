"""Images and videos on disk: read any common image, write results all or not at all."""

import os
import re
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)

LARGEST_ANIMATION_FPS = 50
"""Frames per second of a GIF: delays are hundredths of a second, and of one browsers make ten."""

LARGEST_VIDEO_SIDE = 16384
"""Pixels along a side that H.264 as `write_video` makes it can have."""

_GAP = rb"(?:\s|#[^\n]*\n)+"
_NETPBM = re.compile(
    rb"P(?P<kind>[2356])" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(?P<maximum>\d+)\s"
)
_UNFINISHED = re.compile(r"\..+\.\d+\.[^.]+")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_image(path: str | Path) -> Tensor:
    """Read an 8- or 16-bit image, grey or colour; alpha is dropped, grey is repeated.

    Rows stay in the order of the file: an orientation tag is not applied, because rows carry the
    time of a rolling shutter.

    Returns:
        (3, H, W) RGB float32 in [0, 1].

    Raises:
        InputError: the file is missing, unreadable, truncated, damaged, no image, neither 8- nor
            16-bit, or has values beyond what its header states.
    """
    data = _read_bytes(Path(path))
    decoded = _decode(Path(path), data)
    if decoded.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: expected 8- or 16-bit values, got {decoded.dtype}")
    colour = decoded[..., 2::-1] if decoded.ndim == 3 else np.repeat(decoded[..., None], 3, axis=2)
    values = np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32)
    stated = _stated_maximum(data, decoded.dtype)
    if stated and values.max() > stated:
        raise InputError(
            f"{path}: expected values up to {stated:g} as its header states, got "
            f"{values.max():g}; copy it again"
        )
    return torch.from_numpy(values) / (stated or float(np.iinfo(decoded.dtype).max))


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Round a (3, H, W) image in [0, 1] to an (H, W, 3) array; values beyond are clamped."""
    levels = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


def to_levels(image: Tensor, bits: Literal[8, 16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """`to_uint8`, or the same in steps of 1/65535."""
    if bits == 8:
        return to_uint8(image)
    levels = (image.detach().float().clamp(0, 1) * 65535).round().to(torch.int32)
    return levels.permute(1, 2, 0).cpu().numpy().astype(np.uint16)


def write_image(path: str | Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write an (H, W, 3) RGB image, format by suffix; `path` is replaced whole or left alone.

    Args:
        path: the file; PNG and TIFF hold 16 bit.
        image: uint8 or uint16.

    Raises:
        ValueError: `image` has another shape or type.
        InputError: no space left, no permission, or the folder does not exist.
    """
    _check_frame(image, "uint8", "uint16")
    target = Path(path)
    _, encoded = cv2.imencode(target.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with replacing(target) as temporary:
        temporary.write_bytes(encoded.tobytes())


def write_video(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Write (H, W, 3) RGB frames as an MP4 that browsers play: H.264, yuv420p, BT.709.

    Odd sizes are made even by repeating the last row or column, as yuv420p demands. One frame is in
    memory at a time.

    Raises:
        ValueError: there are no frames, or their shapes or types differ from the first.
        InputError: as for `write_image`.
    """
    _write_h264(Path(path), frames, fps, ["-movflags", "+faststart"])


def write_video_part(path: str | Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Write frames like `write_video`, as a bare H.264 stream to which others can be appended.

    Frames are in order of time: without a container nothing else says when they are shown.

    Raises:
        ValueError: as for `write_video`.
        InputError: as for `write_image`.
    """
    _write_h264(Path(path), frames, fps, ["-bf", "0", "-f", "h264"])


def write_gif(path: str | Path, frames: Sequence[NDArray[np.uint8]], fps: float) -> None:
    """Write (H, W, 3) RGB frames as an endless GIF with one palette for all.

    Raises:
        ValueError: there are no frames, or their shapes or types differ from the first.
        InputError: as for `write_image`.
    """
    palette = "split[frames][colours];[colours]palettegen[palette];[frames][palette]paletteuse"
    _run_ffmpeg(Path(path), frames, fps, ["-filter_complex", palette, "-loop", "0"])


def prepare_output_folder(path: str | Path) -> Path:
    """Create the folder with its parents unless it exists, and prove that files can be written.

    Raises:
        InputError: it is a file, may not be written to, or has no space left.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder}: cannot be an output folder, a file is in its way") from None
    except OSError as error:
        raise _output_error(folder, error) from error
    return folder


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Offer a temporary path beside `path` and, where the block succeeds, rename it to `path`.

    Raises:
        InputError: an OSError occurred: no space left, no permission, no such folder.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # as in `_UNFINISHED`
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _output_error(path.parent, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed while they wrote left behind in `replacing`."""
    for path in [*folder.iterdir()]:
        if _UNFINISHED.fullmatch(path.name):
            path.unlink()


def _output_error(folder: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).strip().splitlines()[-1]
    return InputError(
        f"{folder}: cannot write there: {reason}; free space or choose another folder"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(path: Path, data: bytes) -> NDArray[Any]:
    """Decode from memory, where OpenCV refuses truncated data; from a file it fills in grey."""
    damaged = InputError(f"{path}: damaged, truncated or not an image; copy it again")
    if not data or (data.startswith(_PNG_SIGNATURE) and not _is_whole_png(data)):
        raise damaged
    level = cv2.setLogLevel(0)  # the error below says it in one line
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged from error
    finally:
        cv2.setLogLevel(level)
    if decoded is None:
        raise damaged
    return np.asarray(decoded)


def _stated_maximum(data: bytes, decoded: np.dtype[Any]) -> float | None:
    """The largest value as PGM and PPM state it: 1023 where sensors have 10 bits.

    Values of 8 bits written as text OpenCV has brought to the full range already.
    """
    header = _NETPBM.match(data)
    if header is None or (header["kind"] in b"23" and decoded == np.uint8):
        return None
    return float(header["maximum"])


def _is_whole_png(data: bytes) -> bool:
    """Whether every chunk up to the end marker is there and has its checksum."""
    start, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        end = start + 8 + length
        checksum = data[end : end + 4]
        if len(checksum) < 4 or zlib.crc32(data[start + 4 : end]) != int.from_bytes(
            checksum, "big"
        ):
            return False
        start = end + 4
    return True


def _check_frame(frame: NDArray[Any], *types: str) -> None:
    if frame.dtype.name not in types or frame.ndim != 3 or frame.shape[2] != 3:
        expected = " or ".join(types)
        raise ValueError(f"expected (H, W, 3) {expected}, got {frame.shape} {frame.dtype}")


def _write_h264(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, options: list[str]
) -> None:
    even = (np.pad(frame, _to_even(frame), mode="edge") for frame in frames)
    colours = "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv"
    encoding = f"-c:v libx264 -crf 16 -pix_fmt yuv420p {colours}"
    conversion = "scale=out_color_matrix=bt709:out_range=tv"
    _run_ffmpeg(path, even, fps, ["-vf", conversion, *encoding.split(), *options])


def _to_even(frame: NDArray[np.uint8]) -> list[tuple[int, int]]:
    return [(0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)]


def _run_ffmpeg(
    path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, options: list[str]
) -> None:
    """Pipe raw frames into ffmpeg, one at a time."""
    coming = iter(frames)
    first = next(coming, None)
    if first is None:
        raise ValueError("expected frames of one shape, got none")
    _check_frame(first, "uint8")
    height, width = first.shape[:2]
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"

    def chunks() -> Iterator[bytes]:
        for frame in chain([first], coming):
            if frame.shape != first.shape:
                raise ValueError(f"expected frames of one shape, got {first.shape}, {frame.shape}")
            yield frame.tobytes()

    with replacing(path) as temporary:
        run_ffmpeg([*source.split(), *options, f"file:{temporary}"], chunks())


def run_ffmpeg(arguments: Sequence[str], data: Iterable[bytes]) -> None:
    """Run ffmpeg with data piped into it, `-i -`.

    Raises:
        OSError: it failed; says why in its own words.
    """
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen([*program, *arguments], stdin=subprocess.PIPE, stderr=log) as process,
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
    if status != 0:
        raise OSError(first or f"ffmpeg ended with status {status}")
