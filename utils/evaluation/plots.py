"""Scores as pictures: PSNR and SSIM by instant, by sequence, and by distance from the border."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.files.folders import prepare_output_folder, replacing
from utils.evaluation.scores import FrameScore, group_scores, summarise, summarise_bands

PLOTS = "plots"

_HEIGHT = 6.0  # inches
_LEAST_WIDTH, _MOST_WIDTH = 9.0, 30.0
_WIDTH_OF_LABEL = 0.22  # inches: more sequences make a wider plot
_MOST_LABELS = 120  # beyond, only every second, third, ... is written
_FEW_LABELS = 12  # that fit side by side without being turned


class _Point(NamedTuple):
    """Scores of one method at one place of the horizontal axis."""

    label: str
    psnr: float
    ssim: float


_Points = Callable[[Sequence[FrameScore]], list[_Point]]


def plot_scores(folder: Path, scores: Sequence[FrameScore]) -> dict[str, str]:
    """Draw the scores of each protocol, a line for each method, into PNGs below `folder`/plots.

    Args:
        folder: of the report.
        scores: at least one.

    Returns:
        The files, relative to `folder`, by their titles.

    Raises:
        InputError: no space left or no permission.
    """
    prepare_output_folder(folder / PLOTS)
    kinds: Mapping[str, tuple[str, str, _Points]] = {
        "instants": ("instant t", ".-", _by_time),
        "sequences": ("sequence", "o", _by_sequence),
        "distances": ("distance from the border of the image, px", ".-", _by_distance),
    }
    files = {}
    for protocol, of_protocol in group_scores(scores, lambda score: score.protocol).items():
        methods = group_scores(of_protocol, lambda score: score.method)
        for kind, (axis, style, points) in kinds.items():
            lines = {method: points(mine) for method, mine in methods.items()}
            file = f"{PLOTS}/{protocol}_{kind}.png"
            _draw(lines, axis, style, folder / file)
            files[f"Protocol `{protocol}` by {axis.partition(',')[0]}"] = file
    return files


def _by_time(scores: Sequence[FrameScore]) -> list[_Point]:
    groups = group_scores(scores, lambda score: score.time)
    return [_summary(f"{time:.4g}", group) for time, group in groups.items()]


def _by_sequence(scores: Sequence[FrameScore]) -> list[_Point]:
    groups = group_scores(scores, lambda score: score.sequence)
    return [_summary(sequence, group) for sequence, group in groups.items()]


def _by_distance(scores: Sequence[FrameScore]) -> list[_Point]:
    return [_Point(band.label, band.psnr, band.ssim) for band in summarise_bands(scores)]


def _summary(label: str, scores: Sequence[FrameScore]) -> _Point:
    summary = summarise(scores)
    return _Point(label, summary.psnr, summary.ssim)


def _draw(lines: Mapping[str, Sequence[_Point]], axis: str, style: str, path: Path) -> None:
    """Draw PSNR above SSIM; all lines have the same labels, and infinite values are gaps."""
    labels = [point.label for point in next(iter(lines.values()))]
    width = min(max(_LEAST_WIDTH, _WIDTH_OF_LABEL * len(labels)), _MOST_WIDTH)
    figure = Figure(figsize=(width, _HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, sharex=True)
    for method, points in lines.items():
        drawn = [point.psnr if math.isfinite(point.psnr) else math.nan for point in points]
        above.plot(range(len(labels)), drawn, style, linewidth=1, label=method)
        below.plot(range(len(labels)), [point.ssim for point in points], style, linewidth=1)
    above.set_ylabel("PSNR, dB")
    below.set_ylabel("SSIM")
    below.set_xlabel(axis)
    every = math.ceil(len(labels) / _MOST_LABELS)
    turned = 0 if len(labels) <= _FEW_LABELS else 90
    below.set_xticks(range(0, len(labels), every), labels[::every], rotation=turned)
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
