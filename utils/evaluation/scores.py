"""How close frames came to their truth, one by one and on average."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from utils.evaluation.band_scores import BandScore, average_bands
from utils.metrics import mean_psnr

K = TypeVar("K")


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
