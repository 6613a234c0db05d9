"""Plot the recorded curves of a training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data.files.folders import replacing

_NOT_PLOTTED = ("step", "samples_per_second", "skipped")


def plot_curves(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot every recorded quantity over the steps, one panel each, into a PNG.

    Args:
        records: from `utils.training.reporting.read_records`; nulls are gaps.
        path: the PNG.

    Raises:
        InputError: no space left or no permission.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    names = [name for name in names if name not in _NOT_PLOTTED]
    figure = Figure(figsize=(8, 2.2 * max(1, len(names))), layout="constrained")
    for place, name in enumerate(names, start=1):
        points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
        axes = figure.add_subplot(len(names), 1, place)
        axes.plot(*zip(*points, strict=True), linewidth=1, marker="." if len(points) < 50 else "")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        if place == len(names):
            axes.set_xlabel("step")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def plot_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str], path: Path
) -> None:
    """Plot named lines into one panel of a PNG.

    Args:
        lines: points (x, y) by name in the legend.
        labels: of the x and the y axis.
        path: the PNG.

    Raises:
        InputError: no space left or no permission.
    """
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker=".", label=name)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
