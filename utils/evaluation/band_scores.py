"""PSNR and SSIM by distance from the border of the image, where evidence runs out."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from utils.metrics import SSIM_RADIUS, Image, as_psnr, mean_psnr, squared_error

BAND_STARTS = (0, 8, 16, 32, 64)
"""Distances from the border in pixels at which bands begin; the last reaches to the middle."""


class BandScore(NamedTuple):
    """Scores of the pixels in one band.

    Attributes:
        start: the band's entry of `BAND_STARTS`.
        psnr: in dB, infinite where all are identical to the truth.
        ssim: mean over the windows whose middle lies in the band.
    """

    start: int
    psnr: float
    ssim: float

    @property
    def label(self) -> str:
        """Its range of distances: "8-16", and "64+" for the last."""
        place = BAND_STARTS.index(self.start)
        end = BAND_STARTS[place + 1] if place + 1 < len(BAND_STARTS) else None
        return f"{self.start}+" if end is None else f"{self.start}-{end}"


def score_bands(
    image: Image, truth: Image, similarity: npt.NDArray[np.float64], *, border: int
) -> tuple[BandScore, ...]:
    """Score the bands that have pixels inside a cropped border.

    Args:
        image: (H, W, 3) uint8.
        truth: of the same size.
        similarity: of both, as `utils.metrics.ssim_map` gives it with this border.
        border: pixels left out on each side; distances count from the border of the whole image.
    """
    inner = np.s_[border : len(image) - border, border : image.shape[1] - border]
    errors = _band_means(squared_error(image[inner], truth[inner]), border)
    similarities = _band_means(similarity, border + SSIM_RADIUS)
    return tuple(
        BandScore(start, as_psnr(errors[start]), similarities[start])
        for start in BAND_STARTS
        if start in errors and start in similarities
    )


def average_bands(frames: Sequence[Sequence[BandScore]]) -> list[BandScore]:
    """Mean of each band over frames that have it, in order of distance."""
    by_start = {
        start: [band for bands in frames for band in bands if band.start == start]
        for start in BAND_STARTS
    }
    return [
        BandScore(
            start,
            mean_psnr(band.psnr for band in bands),
            float(np.mean([band.ssim for band in bands])),
        )
        for start, bands in by_start.items()
        if bands
    ]


def _band_means(values: npt.NDArray[np.generic], first: int) -> dict[int, float]:
    """Mean of (h, w, C) in each band by its start; the outermost row lies at distance `first`."""
    height, width = values.shape[:2]
    totals = []
    for start in BAND_STARTS:
        inset = min(max(0, start - first), (min(height, width) + 1) // 2)
        inside = values[inset : height - inset, inset : width - inset]
        totals.append((float(inside.sum(dtype=np.float64)), inside.size))
    totals.append((0.0, 0))
    return {
        start: (outer[0] - inner[0]) / (outer[1] - inner[1])
        for start, (outer, inner) in zip(BAND_STARTS, pairwise(totals), strict=True)
        if outer[1] > inner[1]
    }
