"""How sensor values are stored in image files: fewer bits than the file's, or a Bayer mosaic."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.errors import InputError

Bits = Literal[10, 12, 14, 16]
"""Bits of the values in 16-bit files."""

Bayer = Literal["rggb", "bggr", "grbg", "gbrg", "none"]
"""Colours of the pixels (0, 0), (0, 1), (1, 0), (1, 1) of a mosaic."""

_DEMOSAIC = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
}
_SMALL_BITS = (10, 12, 14)
_SCALED = (4, 257)  # divide all values of 8 to 14 bits that were scaled to 16
_BLOCK = 16  # pixels
_SPREAD, _LEAST_SPREAD = 4.0, 0.02  # of colours, relative to that of both greens and to the mean
_MOSAIC_BLOCKS = 0.4  # of an image; grey photos reach 0.08, mosaics of photos 0.64 to 1


@dataclass(frozen=True)
class StoredValues:
    """What the values of image files are.

    Attributes:
        bits: of values in 16-bit files; None takes them for 16 and refuses what looks like fewer.
        bayer: the mosaic of grey files; None takes them for grey and refuses what looks like one.
    """

    bits: Bits | None = None
    bayer: Bayer | None = None

    def scale(self, path: str | Path, values: NDArray[Any]) -> float | None:
        """The value of white in a 16-bit image; None for the largest of the format.

        Raises:
            InputError: values exceed `bits`, or look like fewer than 16 without `bits`.
        """
        if values.dtype != np.uint16:
            return None
        largest = int(values.max())
        if self.bits is not None:
            if largest >= 1 << self.bits:
                raise InputError(
                    f"{path}: expected {self.bits}-bit values up to {(1 << self.bits) - 1}, got "
                    f"{largest}; give other --bits"
                )
            return float((1 << self.bits) - 1)
        fitting = [bits for bits in _SMALL_BITS if largest < 1 << bits]
        step = int(np.gcd.reduce(values, axis=None))
        if fitting and step and all(step % factor for factor in _SCALED):
            raise InputError(
                f"{path}: no value above {largest} in a 16-bit file: {fitting[0]}-bit values, or a "
                f"very dark picture; give --bits {fitting[0]} (or what the sensor has), or "
                "--bits 16 if it is dark"
            )
        return None

    def demosaic(self, path: str | Path, values: NDArray[Any]) -> NDArray[Any]:
        """RGB (H, W, 3) of a grey image (H, W) that holds a mosaic; other images as they are.

        Raises:
            InputError: it looks like a mosaic and `bayer` does not say which, or has fewer than 2
                rows or columns.
        """
        if values.ndim == 3 or self.bayer == "none":
            return values
        if self.bayer is None:
            guess = _guess_mosaic(values)
            if guess:
                raise InputError(
                    f"{path}: a grey picture that looks like a Bayer mosaic; give --bayer "
                    f"{guess}, or --bayer none if it is not one"
                )
            return values
        if min(values.shape) < 2:
            raise InputError(f"{path}: a Bayer mosaic needs at least 2x2 pixels")
        return np.asarray(cv2.cvtColor(values, _DEMOSAIC[self.bayer]))


def parse_stored_values(bits: str | None, bayer: str | None) -> StoredValues:
    """Parse `--bits` and `--bayer`.

    Raises:
        InputError: one is not among the known ones.
    """
    for name, text, known in (("bits", bits, get_args(Bits)), ("bayer", bayer, get_args(Bayer))):
        if text is not None and text not in map(str, known):
            raise InputError(f"--{name} {text}: expected {', '.join(map(str, known))}")
    number: Callable[[str], Any] = int
    return StoredValues(None if bits is None else number(bits), bayer)  # type: ignore[arg-type]


def _guess_mosaic(values: NDArray[Any]) -> str:
    """The likely patterns of a mosaic, for a message; empty for a grey picture.

    In most blocks of a mosaic two diagonal neighbours, the greens, agree and the others differ.
    """
    rows, columns = (side // _BLOCK for side in values.shape)
    if not rows or not columns:
        return ""
    cut = values[: rows * _BLOCK, : columns * _BLOCK].astype(np.float64)
    phases = cut.reshape(rows, _BLOCK // 2, 2, columns, _BLOCK // 2, 2).mean((1, 4))
    a, b, c, d = (phases[:, y, :, x] for y in (0, 1) for x in (0, 1))
    mean = np.maximum((a + b + c + d) / 4, 1e-6)
    for greens, others, names in (
        ((b, c), (a, d), "rggb or bggr"),
        ((a, d), (b, c), "grbg or gbrg"),
    ):
        same = np.abs(greens[0] - greens[1]) / mean
        colour = np.abs(sum(greens) - sum(others)) / (2 * mean)
        spread = np.maximum(np.abs(others[0] - others[1]) / mean, colour)
        if float((spread > _SPREAD * same + _LEAST_SPREAD).mean()) > _MOSAIC_BLOCKS:
            return names
    return ""
