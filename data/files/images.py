"""Image files: read and write 8- and 16-bit RGB."""

import re
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.files.folders import replacing
from data.files.reading import read_regular
from data.files.stored_values import StoredValues
from utils.errors import InputError

Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"} | {".jfif", ".jpe"}
)

OTHER_STILLS = frozenset(
    {".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".exr", ".hdr", ".dng", ".tga", ".psd"}
    | {".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw", ".nrw", ".pef", ".srw"}
    | {".svg", ".pdf"}
)
"""Suffixes of pictures that are not read."""

_GAP = rb"(?:\s|#[^\n]*\n)+"
_NETPBM_HEADER = re.compile(
    rb"P(?P<kind>[2356])" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(?P<maximum>\d+)\s"
)
_NETPBM_KIND = re.compile(rb"P[1-7]\s")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OTHER_CONTENTS = (
    (re.compile(rb"....ftyp(heic|heix|heim|heis|hevc|mif1|msf1)", re.DOTALL), "a HEIF picture"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "a video"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!"), "an archive"),
)
"""What files that are named like images may hold instead, by how they begin."""
_SHOWN_TEXT = 40  # characters


def read_image(path: str | Path, stored: StoredValues | None = None) -> Tensor:
    """Read an 8- or 16-bit image as RGB; drops alpha, repeats grey.

    Orientation tags are ignored: the scan time belongs to the rows as stored.

    Args:
        path: the file.
        stored: what its values are, for files of cameras; None takes them as the format says.

    Returns:
        (3, H, W) RGB float32 in [0, 1].

    Raises:
        InputError: the file is missing, unreadable, truncated, damaged, not an image, neither 8-
            nor 16-bit, has values above the maximum that its header states, or its values are not
            as `stored` says.
    """
    data = _read_bytes(Path(path))
    decoded = _decode(Path(path), data)
    if decoded.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path}: expected 8- or 16-bit values, got {decoded.dtype}; convert the image"
        )
    stated = _stated_maximum(data, decoded.dtype)
    if stored is not None:
        stated = stated or stored.scale(path, decoded)
        demosaicked = stored.demosaic(path, decoded)
        decoded = demosaicked[..., ::-1] if demosaicked is not decoded else decoded
    colour = decoded[..., 2::-1] if decoded.ndim == 3 else np.repeat(decoded[..., None], 3, axis=2)
    values = np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32)
    if stated and values.max() > stated:
        raise InputError(
            f"{path}: expected values up to {stated:g} as its header states, got "
            f"{values.max():g}; copy it again"
        )
    return torch.from_numpy(values) / (stated or float(np.iinfo(decoded.dtype).max))


def to_uint8(image: Tensor) -> Image:
    """Clamp a (3, H, W) image to [0, 1] and round it to an (H, W, 3) array."""
    levels = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


def to_levels(image: Tensor, bits: Literal[8, 16]) -> Image | NDArray[np.uint16]:
    """Like `to_uint8`, with 8 or 16 bits."""
    if bits == 8:
        return to_uint8(image)
    levels = (image.detach().float().clamp(0, 1) * 65535).round().to(torch.int32)
    return levels.permute(1, 2, 0).cpu().numpy().astype(np.uint16)


def write_image(path: str | Path, image: Image | NDArray[np.uint16]) -> None:
    """Write an (H, W, 3) RGB image, whole or not at all; the suffix sets the format.

    Args:
        path: the file; PNG and TIFF hold 16 bits.
        image: uint8 or uint16.

    Raises:
        ValueError: `image` has another shape or type.
        InputError: no space left, no permission, or the folder does not exist.
    """
    check_array(image, "uint8", "uint16")
    target = Path(path)
    _, encoded = cv2.imencode(target.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with replacing(target) as temporary:
        temporary.write_bytes(encoded.tobytes())


def check_array(image: NDArray[Any], *types: str) -> None:
    """Check that an array is (H, W, 3), of one of the dtypes.

    Raises:
        ValueError: it is not.
    """
    if image.dtype.name not in types or image.ndim != 3 or image.shape[2] != 3:
        expected = " or ".join(types)
        raise ValueError(f"expected (H, W, 3) {expected}, got {image.shape} {image.dtype}")


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such image") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(path: Path, data: bytes) -> NDArray[Any]:
    """Decode from memory: from a truncated file OpenCV would return an image with grey rows."""
    damaged = InputError(f"{path}: damaged, truncated or not an image{_instead_of_image(data)}")
    if not data or (data.startswith(_PNG_SIGNATURE) and not _is_whole_png(data)):
        raise damaged
    level = cv2.setLogLevel(0)  # the InputError is the only line
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged from error
    finally:
        cv2.setLogLevel(level)
    if decoded is None:
        raise damaged
    return np.asarray(decoded)


def _instead_of_image(data: bytes) -> str:
    """How the line ends that refuses what is no image: what it seems to hold, and what to do."""
    for pattern, name in _OTHER_CONTENTS:
        if pattern.match(data):
            return f": it holds {name}; expected an image such as PNG, TIFF or JPEG"
    line, end, _ = data.partition(b"\n")
    text = line.decode("utf-8", errors="replace").strip()
    is_text = bool(end and text) and text.isprintable() and "\ufffd" not in text
    if is_text and not _NETPBM_KIND.match(data):
        shown = text[:_SHOWN_TEXT] + "..." * (len(text) > _SHOWN_TEXT)
        return f": it holds text that begins with {shown!r}; expected an image"
    return "; it is empty; copy it again" if not data else "; copy it again"


def _stated_maximum(data: bytes, decoded: np.dtype[Any]) -> float | None:
    """Largest value by the header of a PGM or PPM file, such as 1023 of 10-bit sensors.

    None for 8-bit text files: OpenCV has scaled these to 255.
    """
    header = _NETPBM_HEADER.match(data)
    if header is None or (header["kind"] in b"23" and decoded == np.uint8):
        return None
    return float(header["maximum"])


def _is_whole_png(data: bytes) -> bool:
    """Check the checksum of every chunk up to the end marker."""
    start, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        kind = data[start + 4 : start + 8]
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        checksum = data[end : end + 4]
        if checksum != zlib.crc32(data[start + 4 : end]).to_bytes(4, "big"):
            return False
        start = end + 4
    return True
