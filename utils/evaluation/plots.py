"""Plots of the scores: every metric by instant, by sequence, and by distance from the border."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from data.files.folders import prepare_output_folder, replacing
from utils.evaluation.scores import FrameScore, group_scores, summarise, summarise_bands
from utils.metrics import whole_metrics

PLOTS = "plots"

_HEIGHT = 3.0  # inches of each metric's panel
_MIN_WIDTH, _MAX_WIDTH = 9.0, 30.0  # inches
_LABEL_WIDTH = 0.22  # inches; more sequences make a wider plot
_MAX_LABELS = 120  # with more, only every second, third, ... is written
_MAX_UPRIGHT_LABELS = 12  # with more, labels are rotated

_Points = list[tuple[str, Mapping[str, float]]]
"""Label on the horizontal axis, and scores by metric."""


def plot_scores(folder: Path, scores: Sequence[FrameScore]) -> dict[str, str]:
    """Plot the scores of each protocol, a line for each method, into PNGs below `folder`/plots.

    Args:
        folder: of the report.
        scores: at least one.

    Returns:
        The files, relative to `folder`, by their titles.

    Raises:
        InputError: no space left or no permission.
    """
    prepare_output_folder(folder / PLOTS)
    kinds = {
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


def _by_time(scores: Sequence[FrameScore]) -> _Points:
    groups = group_scores(scores, lambda score: score.time)
    return [(f"{time:.4g}", summarise(group).values) for time, group in groups.items()]


def _by_sequence(scores: Sequence[FrameScore]) -> _Points:
    groups = group_scores(scores, lambda score: score.sequence)
    return [(sequence, summarise(group).values) for sequence, group in groups.items()]


def _by_distance(scores: Sequence[FrameScore]) -> _Points:
    return [(band.label, band.values) for band in summarise_bands(scores)]


def _draw(lines: Mapping[str, _Points], axis: str, style: str, path: Path) -> None:
    """Draw a panel for each metric; all lines have the same labels, infinite values are gaps."""
    first = next(iter(lines.values()))
    labels = [label for label, _ in first]
    shown = whole_metrics(first[0][1])
    width = min(max(_MIN_WIDTH, _LABEL_WIDTH * len(labels)), _MAX_WIDTH)
    figure = Figure(figsize=(width, _HEIGHT * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, (name, metric) in zip(panels, shown.items(), strict=True):
        for method, points in lines.items():
            values = [found[name] for _, found in points]
            drawn = [value if math.isfinite(value) else math.nan for value in values]
            label = method if axes is panels[0] else None
            axes.plot(range(len(labels)), drawn, style, linewidth=1, label=label)
        axes.set_ylabel(f"{metric.label}, {metric.unit}" if metric.unit else metric.label)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel(axis)
    every = math.ceil(len(labels) / _MAX_LABELS)
    rotation = 0 if len(labels) <= _MAX_UPRIGHT_LABELS else 90
    panels[-1].set_xticks(range(0, len(labels), every), labels[::every], rotation=rotation)
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
