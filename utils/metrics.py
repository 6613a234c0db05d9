"""Metrics of 8-bit images, and the protocols under which papers report them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from data.files.images import Image
from utils.errors import InputError
from utils.quality.ghosts import double_edges, edge_sharpness, worst_sharpness
from utils.quality.similarity import RADIUS, WINDOW, quicker_device, similarity

Rounding = Literal["rounded", "floored"]
"""How frames in [0, 1] become 8-bit images."""

BAND = 32
"""Width in pixels of the band along the border, where inputs may lack content, for `band_psnr`."""

_PEAK = 255.0


class Protocol(NamedTuple):
    """How a published score was computed.

    Attributes:
        description: the fields below in words, for reports.
        border: pixels cropped on each side of the images.
        rounding: how frames become the 8-bit images that are scored.
        drops_ends: whether the first and last pair of each sequence are left out.
    """

    description: str
    border: int = 0
    rounding: Rounding = "rounded"
    drops_ends: bool = False


PROTOCOLS: Mapping[str, Protocol] = {
    "released": Protocol("20 pixels cropped on each side, rounded to 8 bit, all pairs", border=20),
    "full": Protocol("no crop, rounded to 8 bit, all pairs"),
    "ifed": Protocol(
        "no crop, floored to 8 bit, first and last pair of each sequence left out",
        rounding="floored",
        drops_ends=True,
    ),
}
"""All of them average over the frames of a pair, then over pairs."""


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
    return _as_psnr(float(np.mean(_squared_error(a, b, border))))


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
    whole, inside = _squared_error(a, b), _squared_error(a, b, width)
    return _as_psnr((whole.sum() - inside.sum()) / (whole.size - inside.size))


def ssim(a: Image, b: Image, border: int = 0, device: torch.device | None = None) -> float:
    """Structural similarity: Gaussian 11x11 window of sigma 1.5, mean of the channels.

    Population covariance; only windows that lie wholly inside the images count.

    Args:
        a: (H, W, 3) uint8.
        b: of the same size.
        border: pixels left out on each side, before the windows are placed.
        device: that computes it, of any kind with float64; by default the CPU.

    Returns:
        Similarity, at most 1.

    Raises:
        InputError: less than one window is left inside the border.
        ValueError: not two uint8 images of one size.
    """
    return float(ssim_map(a, b, border, device).mean())


def ssim_map(
    a: Image, b: Image, border: int = 0, device: torch.device | None = None
) -> NDArray[np.float64]:
    """SSIM (h, w, 3) of each channel in each window that `ssim` averages.

    The centre of the first window lies `similarity.RADIUS` rows and columns inside the border.

    Raises:
        InputError: less than one window is left inside the border.
        ValueError: not two uint8 images of one size.
    """
    return similarity(*_cropped(a, b, border, smallest=WINDOW), device)


def mean_psnr(values: Iterable[float]) -> float:
    """Mean in dB over the images that differ from their truth; infinite if none differs.

    Identical images are left out: one would make the mean infinite, and any cap would be arbitrary.
    Callers that show the mean state how many were left out.

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


def _squared_error(a: Image, b: Image, border: int = 0) -> NDArray[np.int32]:
    """Squared difference (h, w, 3) of two images inside a border."""
    first, second = _cropped(a, b, border, smallest=1)
    difference = first.astype(np.int32) - second.astype(np.int32)
    return difference * difference


def _as_psnr(error: float) -> float:
    """PSNR in dB of a mean squared error; infinite for 0."""
    return float("inf") if error == 0 else float(10 * np.log10(_PEAK**2 / error))


def _cropped(a: Image, b: Image, border: int, *, smallest: int) -> tuple[Image, Image]:
    if a.ndim != 3 or a.shape[2] != 3 or a.shape != b.shape:
        raise ValueError(f"expected two (H, W, 3) images of one size, got {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"expected uint8 images, got {a.dtype} and {b.dtype}")
    if border < 0:
        raise ValueError(f"border must not be negative, got {border}")
    height, width = a.shape[:2]
    expect_scorable((height, width), border, smallest=smallest)
    inner = np.s_[border : height - border, border : width - border]
    return a[inner], b[inner]


def expect_scorable(size: Sequence[int], border: int, *, smallest: int = WINDOW) -> None:
    """Refuse images (H, W) of which a border leaves less than `smallest` pixels a side.

    Raises:
        InputError: they are too small.
    """
    height, width = size
    needed = 2 * border + smallest
    if min(height, width) < needed:
        raise InputError(
            f"images of {width}x{height} are too small to score with a border of {border}: "
            f"expected at least {needed}x{needed}"
        )


def _band_width(image: Image, border: int) -> int:
    """`BAND`, or a quarter of the shorter side inside the crop if that is less, in pixels."""
    return min(BAND, (min(image.shape[:2]) - 2 * border) // 4)


def border_psnr(a: Image, b: Image, border: int = 0) -> float:
    """PSNR of the band of width `BAND` along the crop, narrower in small images.

    Raises:
        InputError: the images are too small.
    """
    inner = np.s_[border : a.shape[0] - border, border : a.shape[1] - border]
    return band_psnr(a[inner], b[inner], _band_width(a, border))


def inner_psnr(a: Image, b: Image, border: int = 0) -> float:
    """PSNR of the pixels that `border_psnr` leaves out.

    Raises:
        InputError: the images are too small.
    """
    return psnr(a, b, border + _band_width(a, border))


def mean_score(values: Iterable[float]) -> float:
    """Arithmetic mean of the values that are defined; NaN if none is."""
    given = np.asarray(list(values), dtype=np.float64)
    defined = given[~np.isnan(given)]
    return float(defined.mean()) if defined.size else math.nan


class Metric(NamedTuple):
    """A metric of an 8-bit frame.

    Attributes:
        label: name in tables and plots.
        measure: (frame, evidence, border) -> value, for a frame (H, W, 3) uint8 of which `border`
            pixels are cropped on each side; NaN where it is not defined. None: see `load`.
        needs: the evidence: the "truth" (H, W, 3) uint8, the "views" brought to the frame's instant
            (`utils.quality.views.ViewsAtInstant`), or "nothing" (None).
        load: "module:name" of a function (device) -> `measure`, for a metric that needs a package
            or weights. It is computed only if the options name it in `optional_metrics`.
        unit: of the values, "" if they have none.
        digits: decimals in tables.
        place: part of the image it is computed over, for the table by place; "" is all of it.
        mean: how to average over frames.
        is_error: whether less is better.
        pixels: (frame, truth, border) -> (h, w, C) array whose mean `finish` turns into the value;
            None if it has no such map. With it the metric is shown by distance from the border.
        inset: rows from the cropped border to the map's first row.
        finish: the value of a mean of `pixels`.
        on_device: whether `measure` and `pixels` also take a `device` that computes them.
    """

    label: str
    measure: Callable[..., float] | None = None
    needs: Literal["truth", "views", "nothing"] = "truth"
    load: str = ""
    unit: str = ""
    digits: int = 4
    place: str = ""
    mean: Callable[[Iterable[float]], float] = mean_score
    is_error: bool = False
    pixels: Callable[..., NDArray[np.generic]] | None = None
    inset: int = 0
    finish: Callable[[float], float] = float
    on_device: bool = False

    def format(self, value: float) -> str:
        """The value as tables show it."""
        return "–" if math.isnan(value) else f"{value:.{self.digits}f}"

    def on(self, device: torch.device) -> "Metric":
        """The metric, computed on a CUDA device if it can be; the values are the same."""
        there = quicker_device(device)
        if there is None or not (self.on_device and self.measure and self.pixels):
            return self
        measure, pixels = partial(self.measure, device=there), partial(self.pixels, device=there)
        return self._replace(measure=measure, pixels=pixels)


_PSNR = partial(Metric, "PSNR", unit="dB", digits=2, mean=mean_psnr)
_OF_VIEWS = partial(Metric, needs="views", digits=3)
_LOADED = partial(Metric, is_error=True)

METRICS: dict[str, Metric] = {
    "psnr": _PSNR(psnr, pixels=_squared_error, finish=_as_psnr),
    "ssim": Metric("SSIM", ssim, pixels=ssim_map, inset=RADIUS, on_device=True),
    "sharpness": _OF_VIEWS("sharpness", edge_sharpness),
    "worst_sharpness": _OF_VIEWS("worst sharpness", worst_sharpness),
    "double_edges": _OF_VIEWS("double edges", double_edges, is_error=True),
    "lpips_alex": _LOADED("LPIPS (Alex)", load="utils.quality.perceptual:load_lpips_alex"),
    "lpips_vgg": _LOADED("LPIPS (VGG)", load="utils.quality.perceptual:load_lpips_vgg"),
    "niqe": _LOADED("NIQE", needs="nothing", load="utils.quality.naturalness:load_niqe", digits=3),
    "band_psnr": _PSNR(border_psnr, place="near the border"),
    "inner_psnr": _PSNR(inner_psnr, place="further in"),
}
"""Every metric by its name in CSV and JSON. To add one, write its function and add a line here
(docs/EXTENDING.md)."""


def whole_metrics(measured: Iterable[str], *, of_truth: bool = True) -> dict[str, Metric]:
    """Those of the metrics measured that are of whole images, and need the truth or do not."""
    names = set(measured)
    return {
        name: metric
        for name, metric in METRICS.items()
        if name in names and not metric.place and (metric.needs == "truth") == of_truth
    }
