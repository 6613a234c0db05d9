"""How close frames came to their truth, one by one and on average."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from data.files.images import Image
from utils.metrics import SSIM_RADIUS, as_psnr, mean_psnr, squared_error

K = TypeVar("K")

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


class FrameScore(NamedTuple):
    """How close one frame came to its truth.

    Attributes:
        protocol: key of `utils.metrics.PROTOCOLS`.
        method: what made the frame.
        pair: name of the capture, "sequence/index".
        frame: its number among the capture's frames.
        time: its instant in [0, 1].
        psnr: in dB, infinite where the frame is identical to the truth.
        ssim: at most 1.
        band_psnr: PSNR within 32 px of the border, or a quarter of the shorter side where that is
            less.
        inner_psnr: PSNR of what lies further in.
        bands: scores by distance from the border.
    """

    protocol: str
    method: str
    pair: str
    frame: int
    time: float
    psnr: float
    ssim: float
    band_psnr: float
    inner_psnr: float
    bands: tuple[BandScore, ...] = ()

    @property
    def sequence(self) -> str:
        """The sequence of the pair."""
        return self.pair.rpartition("/")[0]


class Summary(NamedTuple):
    """Means over frames of each pair, then over pairs.

    Attributes:
        psnr: in dB (see `utils.metrics.mean_psnr`); infinite if all frames are identical to theirs.
        ssim: at most 1.
        band_psnr: like `psnr`, of the pixels near the border alone.
        inner_psnr: of what lies further in.
        pairs: how many pairs.
        identical: how many frames are identical to their truth, and so not in `psnr`.
    """

    psnr: float
    ssim: float
    band_psnr: float
    inner_psnr: float
    pairs: int
    identical: int


def summarise(scores: Sequence[FrameScore]) -> Summary:
    """Average scores of one protocol and method: over the frames of each pair, then over pairs.

    Raises:
        ValueError: no scores.
    """
    groups = _by_pair(scores)
    return Summary(
        psnr=mean_psnr(mean_psnr(score.psnr for score in pair) for pair in groups),
        ssim=float(np.mean([np.mean([score.ssim for score in pair]) for pair in groups])),
        band_psnr=mean_psnr(mean_psnr(score.band_psnr for score in pair) for pair in groups),
        inner_psnr=mean_psnr(mean_psnr(score.inner_psnr for score in pair) for pair in groups),
        pairs=len(groups),
        identical=sum(math.isinf(score.psnr) for score in scores),
    )


def summarise_bands(scores: Sequence[FrameScore]) -> list[BandScore]:
    """Average bands as `summarise` does, in order of distance."""
    groups = _by_pair(scores)
    return average_bands([average_bands([score.bands for score in pair]) for pair in groups])


def group_scores(
    scores: Iterable[FrameScore], key: Callable[[FrameScore], K]
) -> dict[K, list[FrameScore]]:
    """Scores by `key`, both in order of appearance."""
    groups: dict[K, list[FrameScore]] = {}
    for score in scores:
        groups.setdefault(key(score), []).append(score)
    return groups


def _by_pair(scores: Sequence[FrameScore]) -> list[list[FrameScore]]:
    return list(group_scores(scores, lambda score: score.pair).values())
