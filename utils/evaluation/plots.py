"""Plots of the scores: every metric by instant, by sequence, and by distance from the border."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files.folders import prepare_output_folder, replacing
from utils.evaluation.scores import FrameScore, group_scores, summarise, summarise_bands
from utils.metrics import whole_metrics

PLOTS = "plots"

_HEIGHT = 3.0  # inches of each metric's panel
_MIN_WIDTH, _MAX_WIDTH = 9.0, 30.0  # inches
_LABEL_WIDTH = 0.22  # inches; more sequences make a wider plot
_MAX_LABELS = 120  # with more, only every second, third, ... is written
_MAX_UPRIGHT_LABELS = 12  # with more, labels are rotated

_MARKERS = "os^vDP*X<>"
_DASHES = ("-", "--", "-.", ":")
# Of the distance between two labels, over which the methods' points are spread.
_SPREAD_OF_LINES, _SPREAD_OF_POINTS = 0.3, 0.6

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
        "instants": ("instant t", True, _by_time),
        "sequences": ("sequence", False, _by_sequence),
        "distances": ("distance from the border of the image, px", True, _by_distance),
    }
    files = {}
    for protocol, of_protocol in group_scores(scores, lambda score: score.protocol).items():
        methods = group_scores(of_protocol, lambda score: score.method)
        for kind, (axis, is_joined, points) in kinds.items():
            lines = {method: points(mine) for method, mine in methods.items()}
            file = f"{PLOTS}/{protocol}_{kind}.png"
            _draw(lines, axis, folder / file, is_joined=is_joined)
            files[f"Protocol `{protocol}` by {axis.partition(',')[0]}"] = file
    return files


def method_style(number: int, *, is_joined: bool) -> dict[str, Any]:
    """Keywords of `Axes.plot` for the method of this number: marker, colour and dashes differ."""
    return {
        "color": f"C{number % 10}",
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 4,
        "markerfacecolor": "none" if number % 2 else None,
        "linestyle": _DASHES[number % len(_DASHES)] if is_joined else "none",
        "linewidth": 1,
    }


def _by_time(scores: Sequence[FrameScore]) -> _Points:
    groups = group_scores(scores, lambda score: score.time)
    return [(f"{time:.4g}", summarise(group).values) for time, group in groups.items()]


def _by_sequence(scores: Sequence[FrameScore]) -> _Points:
    groups = group_scores(scores, lambda score: score.sequence)
    return [(sequence, summarise(group).values) for sequence, group in groups.items()]


def _by_distance(scores: Sequence[FrameScore]) -> _Points:
    return [(band.label, band.values) for band in summarise_bands(scores)]


def _draw(lines: Mapping[str, _Points], axis: str, path: Path, *, is_joined: bool) -> None:
    """Draw a panel for each metric; all lines have the same labels, infinite values are gaps.

    Methods differ in marker, colour and dashes, and stand side by side at each label: no line hides
    another, even where values are equal.
    """
    # Not at the top: it is slow to load, and nothing is drawn before all is scored.
    from matplotlib.figure import Figure

    spread = _SPREAD_OF_LINES if is_joined else _SPREAD_OF_POINTS
    first = next(iter(lines.values()))
    labels = [label for label, _ in first]
    shown = whole_metrics(first[0][1])
    width = min(max(_MIN_WIDTH, _LABEL_WIDTH * len(labels)), _MAX_WIDTH)
    figure = Figure(figsize=(width, _HEIGHT * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, (name, metric) in zip(panels, shown.items(), strict=True):
        for number, (method, points) in enumerate(lines.items()):
            values = [found[name] for _, found in points]
            drawn = [value if math.isfinite(value) else math.nan for value in values]
            aside = spread * ((number + 0.5) / len(lines) - 0.5)
            axes.plot(
                [place + aside for place in range(len(labels))],
                drawn,
                **method_style(number, is_joined=is_joined),
                label=method if axes is panels[0] else None,
            )
        axes.set_ylabel(f"{metric.label}, {metric.unit}" if metric.unit else metric.label)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel(axis)
    every = math.ceil(len(labels) / _MAX_LABELS)
    rotation = 0 if len(labels) <= _MAX_UPRIGHT_LABELS else 90
    panels[-1].set_xticks(range(0, len(labels), every), labels[::every], rotation=rotation)
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
