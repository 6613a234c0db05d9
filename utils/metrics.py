"""PSNR and SSIM of 8-bit images, and the protocols under which papers report them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from utils.errors import InputError

Image = NDArray[np.uint8]
"""(H, W, 3) RGB, 8 bit."""

Rounding = Literal["rounded", "floored"]
"""How frames in [0, 1] become 8-bit images."""

_PEAK = 255.0
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Protocol:
    """What a published figure was computed over.

    Attributes:
        border: pixels left out on each side of the images.
        rounding: how frames become the 8-bit images that are scored.
        drops_ends: whether the first and last pair of each sequence are left out.
        description: the above in words, for reports.
    """

    border: int
    rounding: Rounding
    drops_ends: bool
    description: str


PROTOCOLS: Mapping[str, Protocol] = {
    "released": Protocol(
        border=20,
        rounding="rounded",
        drops_ends=False,
        description="20 pixels cropped on each side, rounded to 8 bit, all pairs",
    ),
    "full": Protocol(
        border=0,
        rounding="rounded",
        drops_ends=False,
        description="no crop, rounded to 8 bit, all pairs",
    ),
    "ifed": Protocol(
        border=0,
        rounding="floored",
        drops_ends=True,
        description="no crop, floored to 8 bit, first and last pair of each sequence left out",
    ),
}
"""In all of them the figures are means over the frames of a pair, then over pairs."""


def psnr(a: Image, b: Image, border: int = 0) -> float:
    """Peak signal-to-noise ratio over all channels, in dB with a peak of 255.

    Args:
        a: (H, W, 3) uint8.
        b: of the same size.
        border: pixels left out on each side.

    Returns:
        The ratio; infinite for identical images (`mean_psnr` knows how to average those).

    Raises:
        InputError: nothing is left inside the border.
        ValueError: not two uint8 images of one size.
    """
    first, second = _cropped(a, b, border, smallest=1)
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(_PEAK**2 / error))


def ssim(a: Image, b: Image, border: int = 0) -> float:
    """Structural similarity: Gaussian 11x11 window of sigma 1.5, mean of the channels.

    Population covariance; only windows that lie wholly inside the images count.

    Args:
        a: (H, W, 3) uint8.
        b: of the same size.
        border: pixels left out on each side, before the windows are placed.

    Returns:
        Similarity, at most 1.

    Raises:
        InputError: less than one window is left inside the border.
        ValueError: not two uint8 images of one size.
    """
    first, second = _cropped(a, b, border, smallest=_SSIM_WINDOW)
    similarity = structural_similarity(
        first,
        second,
        channel_axis=2,
        data_range=_PEAK,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA,
        use_sample_covariance=False,
    )
    return float(similarity)


def mean_psnr(values: Iterable[float]) -> float:
    """Mean in dB over the images that differ from their truth; infinite if none differs.

    A single identical image would make the whole mean infinite, and any cap would be arbitrary.
    So identical images are left out, and whoever shows the mean says how many they are.

    Args:
        values: dB, infinite for identical images; at least one.

    Raises:
        ValueError: no values.
    """
    given = np.asarray(list(values), dtype=np.float64)
    if given.size == 0:
        raise ValueError("expected at least one PSNR value, got none")
    finite = given[np.isfinite(given)]
    return float(finite.mean()) if finite.size else float("inf")


def _cropped(a: Image, b: Image, border: int, *, smallest: int) -> tuple[Image, Image]:
    if a.ndim != 3 or a.shape[2] != 3 or a.shape != b.shape:
        raise ValueError(f"expected two (H, W, 3) images of one size, got {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {a.dtype} and {b.dtype}")
    if border < 0:
        raise ValueError(f"border must not be negative, got {border}")
    height, width = a.shape[:2]
    needed = 2 * border + smallest
    if min(height, width) < needed:
        raise InputError(
            f"images of {height}x{width} are too small to score with a border of {border}: "
            f"expected at least {needed}x{needed}"
        )
    inner = np.s_[border : height - border, border : width - border]
    return a[inner], b[inner]
