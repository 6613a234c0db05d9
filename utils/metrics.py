"""Metrics of 8-bit images, and the protocols under which papers report them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from data.files.images import Image
from utils.errors import InputError

Rounding = Literal["rounded", "floored"]
"""How frames in [0, 1] become 8-bit images."""

BAND = 32
"""Width in pixels of the band along the border where methods lack evidence, for `band_psnr`."""

SSIM_RADIUS = 5
"""Pixels to each side of the middle of a window of SSIM."""

_PEAK = 255.0
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 2 * SSIM_RADIUS + 1
_SSIM_C1, _SSIM_C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


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
    return as_psnr(float(np.mean(squared_error(first, second))))


def band_psnr(a: Image, b: Image, width: int) -> float:
    """PSNR in dB of the pixels within `width` of the border; infinite if these are identical.

    Args:
        a: (H, W, 3) uint8.
        b: of the same size.
        width: of the band in pixels, at least 1.

    Raises:
        InputError: nothing is left inside the band.
        ValueError: not two uint8 images of one size, or `width` is below 1.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    whole, inside = squared_error(a, b), squared_error(*_cropped(a, b, width, smallest=1))
    return as_psnr((whole.sum() - inside.sum()) / (whole.size - inside.size))


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
    return float(ssim_map(a, b, border).mean())


def ssim_map(a: Image, b: Image, border: int = 0) -> NDArray[np.float64]:
    """Similarity (h, w, 3) of each channel in each of the windows that `ssim` averages.

    The first window's middle lies `SSIM_RADIUS` rows and columns inside the border.

    Raises:
        InputError: less than one window is left inside the border.
        ValueError: not two uint8 images of one size.
    """
    first, second = _cropped(a, b, border, smallest=_SSIM_WINDOW)
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _windowed(x * y) - product
    variances = _windowed(x * x + y * y) - squares
    luminance = (2 * product + _SSIM_C1) / (squares + _SSIM_C1)
    return luminance * (2 * covariance + _SSIM_C2) / (variances + _SSIM_C2)


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


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of (H, W, 3) under the Gaussian window, wherever it lies wholly inside."""
    kernel = cv2.getGaussianKernel(_SSIM_WINDOW, _SSIM_SIGMA, cv2.CV_64F)
    mean = np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel), np.float64)
    inner = slice(SSIM_RADIUS, -SSIM_RADIUS)
    return mean[inner, inner]


def squared_error(a: Image, b: Image) -> NDArray[np.int32]:
    """Squared difference of two uint8 images of one size, value by value."""
    difference = a.astype(np.int32) - b.astype(np.int32)
    return difference * difference


def as_psnr(error: float) -> float:
    """Decibels of a mean squared error; infinite for none."""
    return float("inf") if error == 0 else float(10 * np.log10(_PEAK**2 / error))


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


def place_width(shape: tuple[int, ...], border: int) -> int:
    """Width in pixels of the band along the border of images (H, W, ...) that `border_psnr` takes.

    `BAND`, or a quarter of the shorter side inside the crop where that is less.
    """
    return min(BAND, (min(shape[:2]) - 2 * border) // 4)


def border_psnr(a: Image, b: Image, border: int = 0) -> float:
    """PSNR near the border: of the outermost `place_width` pixels inside the crop.

    Raises:
        InputError: the images are too small.
    """
    inner = np.s_[border : a.shape[0] - border, border : a.shape[1] - border]
    return band_psnr(a[inner], b[inner], place_width(a.shape, border))


def inner_psnr(a: Image, b: Image, border: int = 0) -> float:
    """PSNR of what lies further in than `border_psnr` looks.

    Raises:
        InputError: the images are too small.
    """
    return psnr(a, b, border + place_width(a.shape, border))


def mean_score(values: Iterable[float]) -> float:
    """Arithmetic mean."""
    return float(np.mean(list(values)))


class Metric(NamedTuple):
    """A measure of how close an 8-bit frame comes to its truth.

    Attributes:
        label: name in tables and plots.
        measure: (frame, truth, border) -> value of two (H, W, 3) uint8 images, a border cropped.
        unit: of the values, "" if they have none.
        digits: decimals in tables.
        place: what part of the image it sees, for the table by place; "" for the whole image.
        mean: of the values of several frames.
        pixels: (frame, truth, border) -> (h, w, C) array whose mean `finish` turns into the value;
            None if it has no such map. With it the metric is shown by distance from the border.
        inset: rows from the cropped border to the map's first row.
        finish: the value of a mean of `pixels`.
    """

    label: str
    measure: Callable[[Image, Image, int], float]
    unit: str = ""
    digits: int = 4
    place: str = ""
    mean: Callable[[Iterable[float]], float] = mean_score
    pixels: Callable[[Image, Image, int], NDArray[np.generic]] | None = None
    inset: int = 0
    finish: Callable[[float], float] = float

    def format(self, value: float) -> str:
        """The value as tables show it."""
        return f"{value:.{self.digits}f}"


def _squared_error_inside(a: Image, b: Image, border: int) -> NDArray[np.int32]:
    return squared_error(*_cropped(a, b, border, smallest=1))


METRICS: dict[str, Metric] = {
    "psnr": Metric(
        "PSNR",
        psnr,
        unit="dB",
        digits=2,
        mean=mean_psnr,
        pixels=_squared_error_inside,
        finish=as_psnr,
    ),
    "ssim": Metric("SSIM", ssim, pixels=ssim_map, inset=SSIM_RADIUS),
    "band_psnr": Metric(
        "PSNR", border_psnr, unit="dB", digits=2, place="near the border", mean=mean_psnr
    ),
    "inner_psnr": Metric(
        "PSNR", inner_psnr, unit="dB", digits=2, place="further in", mean=mean_psnr
    ),
}
"""Every metric by its name in CSV and JSON. To add one, write its function and add a line here
(docs/EXTENDING.md)."""


def whole_metrics() -> dict[str, Metric]:
    """The metrics of whole images."""
    return {name: metric for name, metric in METRICS.items() if not metric.place}
