"""Scores of frames against their truth: of one frame, by distance from the border, and means."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pkgutil import resolve_name
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from data.files.images import Image
from utils.metrics import METRICS, Metric
from utils.quality.views import ViewsAtInstant

K = TypeVar("K")

BAND_STARTS = (0, 8, 16, 32, 64)
"""Distances from the border, in pixels, at which bands begin; the last ends in the middle."""


class BandScore(NamedTuple):
    """Scores of the pixels in a band along the border.

    Attributes:
        start: its entry of `BAND_STARTS`.
        values: by metric; only metrics with `Metric.pixels`.
    """

    start: int
    values: Mapping[str, float]

    @property
    def label(self) -> str:
        """Range of distances: "8-16", and "64+" for the last."""
        place = BAND_STARTS.index(self.start)
        end = BAND_STARTS[place + 1] if place + 1 < len(BAND_STARTS) else None
        return f"{self.start}+" if end is None else f"{self.start}-{end}"


class FrameScore(NamedTuple):
    """Scores of one frame against its truth.

    Attributes:
        protocol: key of `utils.metrics.PROTOCOLS`.
        method: name of the method.
        pair: name of the capture, "SEQUENCE/INDEX".
        frame: number of the frame.
        time: its instant.
        values: by name, a key of `utils.metrics.METRICS`; a PSNR is infinite for a frame identical
            to its truth.
        bands: scores by distance from the border.
        change: PSNR of the change from the frame before against the truth's, see
            `utils.evaluation.smoothness`; None where no frame comes before.
    """

    protocol: str
    method: str
    pair: str
    frame: int
    time: float
    values: Mapping[str, float]
    bands: tuple[BandScore, ...] = ()
    change: float | None = None

    @property
    def sequence(self) -> str:
        """The sequence of the pair."""
        return self.pair.rpartition("/")[0]


class Summary(NamedTuple):
    """Means over the frames of each pair, then over pairs.

    Attributes:
        values: by metric; a PSNR is infinite if all frames are identical to their truth.
        pairs: number of pairs.
        identical: number of frames identical to their truth, which mean PSNRs leave out.
    """

    values: Mapping[str, float]
    pairs: int
    identical: int


def open_metrics(optional: Sequence[str], device: torch.device | str) -> dict[str, Metric]:
    """The metrics to compute, in the order of `METRICS`, each with its `measure`.

    Args:
        optional: names of metrics with `Metric.load` to compute beside the others.
        device: for these, and for others that can use it.

    Raises:
        InputError: a package or weights are missing.
    """
    opened = {}
    for name, metric in METRICS.items():
        if name in optional and metric.load:
            opened[name] = metric._replace(measure=resolve_name(metric.load)(device))
        elif not metric.load:
            opened[name] = metric.on(torch.device(device))
    return opened


def score_frame(
    image: Image,
    truth: Image,
    border: int = 0,
    *,
    views: ViewsAtInstant | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> tuple[dict[str, float], tuple[BandScore, ...]]:
    """Compute the metrics of a frame and of its bands.

    Args:
        image: (H, W, 3) uint8.
        truth: of the same size.
        border: pixels left out on each side; bands count from the border of the whole image.
        views: at the frame's instant; without them, metrics that need views are left out.
        metrics: as `open_metrics` gives them; by default all that need no package.

    Raises:
        InputError: the images are too small.
    """
    evidence = {"truth": truth, "views": views, "nothing": None}
    values, by_band = {}, {start: dict[str, float]() for start in BAND_STARTS}
    for name, metric in (open_metrics((), "cpu") if metrics is None else metrics).items():
        if metric.needs == "views" and views is None:
            continue
        if metric.pixels is None:
            if metric.measure is None:
                raise ValueError(f"{name} is not loaded: see open_metrics")
            values[name] = metric.measure(image, evidence[metric.needs], border)
            continue
        pixels = metric.pixels(image, truth, border)
        values[name] = metric.finish(float(pixels.mean()))
        for start, mean in _band_means(pixels, border + metric.inset).items():
            by_band[start][name] = metric.finish(mean)
    complete = max(map(len, by_band.values()))
    bands = (
        BandScore(start, found) for start, found in by_band.items() if len(found) == complete > 0
    )
    return values, tuple(bands)


def summarise(scores: Sequence[FrameScore]) -> Summary:
    """Average scores of one protocol and method: over the frames of each pair, then over pairs.

    Raises:
        ValueError: no scores.
    """
    groups = _by_pair(scores)
    values = {
        name: metric.mean(metric.mean(score.values[name] for score in pair) for pair in groups)
        for name, metric in METRICS.items()
        if name in scores[0].values
    }
    identical = sum(math.isinf(score.values["psnr"]) for score in scores)
    return Summary(values, pairs=len(groups), identical=identical)


def summarise_bands(scores: Sequence[FrameScore]) -> list[BandScore]:
    """Average bands as `summarise` does, in order of distance."""
    groups = _by_pair(scores)
    return average_bands([average_bands([score.bands for score in pair]) for pair in groups])


def average_bands(frames: Sequence[Sequence[BandScore]]) -> list[BandScore]:
    """Average each band over the frames that have it, in order of distance."""
    found = [band for bands in frames for band in bands]
    averaged = []
    for start in BAND_STARTS:
        values = [band.values for band in found if band.start == start]
        if values:
            means = {name: METRICS[name].mean(each[name] for each in values) for name in values[0]}
            averaged.append(BandScore(start, means))
    return averaged


def group_scores(
    scores: Iterable[FrameScore], key: Callable[[FrameScore], K]
) -> dict[K, list[FrameScore]]:
    """Group scores by `key`; groups and scores keep their order."""
    groups: dict[K, list[FrameScore]] = {}
    for score in scores:
        groups.setdefault(key(score), []).append(score)
    return groups


def _by_pair(scores: Sequence[FrameScore]) -> list[list[FrameScore]]:
    return list(group_scores(scores, lambda score: score.pair).values())


def _band_means(values: npt.NDArray[np.generic], first: int) -> dict[int, float]:
    """Mean of (h, w, C) in each band by its start; the outermost row has distance `first`."""
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
