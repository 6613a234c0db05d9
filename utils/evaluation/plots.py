"""Scores as pictures: every metric by instant, by sequence, and by distance from the border."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data.files.folders import prepare_output_folder, replacing
from utils.evaluation.scores import FrameScore, group_scores, summarise, summarise_bands
from utils.metrics import whole_metrics

PLOTS = "plots"

_HEIGHT = 3.0  # inches of each metric
_LEAST_WIDTH, _MOST_WIDTH = 9.0, 30.0
_WIDTH_OF_LABEL = 0.22  # inches: more sequences make a wider plot
_MOST_LABELS = 120  # beyond, only every second, third, ... is written
_FEW_LABELS = 12  # that fit side by side without being turned


class _Point(NamedTuple):
    """Scores of one method at one place of the horizontal axis."""

    label: str
    values: Mapping[str, float]


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
    return [_Point(band.label, band.values) for band in summarise_bands(scores)]


def _summary(label: str, scores: Sequence[FrameScore]) -> _Point:
    return _Point(label, summarise(scores).values)


def _draw(lines: Mapping[str, Sequence[_Point]], axis: str, style: str, path: Path) -> None:
    """Draw a panel for each metric; all lines have the same labels, infinite values are gaps."""
    first = next(iter(lines.values()))
    labels = [point.label for point in first]
    shown = {name: metric for name, metric in whole_metrics().items() if name in first[0].values}
    width = min(max(_LEAST_WIDTH, _WIDTH_OF_LABEL * len(labels)), _MOST_WIDTH)
    figure = Figure(figsize=(width, _HEIGHT * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, (name, metric) in zip(panels, shown.items(), strict=True):
        for method, points in lines.items():
            values = [point.values[name] for point in points]
            drawn = [value if math.isfinite(value) else math.nan for value in values]
            label = method if axes is panels[0] else None
            axes.plot(range(len(labels)), drawn, style, linewidth=1, label=label)
        axes.set_ylabel(f"{metric.label}, {metric.unit}" if metric.unit else metric.label)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel(axis)
    every = math.ceil(len(labels) / _MOST_LABELS)
    turned = 0 if len(labels) <= _FEW_LABELS else 90
    panels[-1].set_xticks(range(0, len(labels), every), labels[::every], rotation=turned)
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
