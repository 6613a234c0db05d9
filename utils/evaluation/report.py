"""Scores as tables for people (Markdown) and for programs (CSV, JSON)."""

import csv
import io
import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files.folders import replacing
from utils.errors import InputError
from utils.evaluation.scores import FrameScore, Summary, group_scores, summarise, summarise_bands
from utils.evaluation.smoothness import CLIPS_NOTE, clip_table, summarise_clips
from utils.metrics import BAND, METRICS, PROTOCOLS, whole_metrics
from utils.options.evaluation import EvaluationOptions

REPORT = "report.md"

_CSV, _JSON = "scores.csv", "scores.json"


def write_report(
    folder: Path,
    scores: Sequence[FrameScore],
    options: EvaluationOptions,
    *,
    strengths: Mapping[str, str],
    pictures: Mapping[str, str] | None = None,
) -> None:
    """Write `report.md`, `scores.csv` (every frame) and `scores.json` (means and options).

    Args:
        folder: an existing folder; an earlier report in it is replaced.
        scores: at least one, of any protocols and methods.
        options: what was scored.
        strengths: of the motion in each sequence, where that is known.
        pictures: files in the folder by their titles; images are shown below the tables, HTML pages
            are linked.

    Raises:
        InputError: no space left or no permission.
    """
    data = options.datasets.test
    weights = f"Weights `{options.path.pretrained_netG}`"
    method = "Classical correction" if options.method == "classical" else weights
    about = f"{method}, data `{data.data_root}/{data.split}`."
    sections = ["# Scores", about, format_tables(scores, strengths)]
    for title, file in (pictures or {}).items():
        link = f"[{title}]({file})"
        sections += [f"## {title}", link if file.endswith(".html") else f"!{link}"]
    _write(folder / REPORT, "\n\n".join(sections) + "\n")
    _write(folder / _CSV, _as_csv(scores))
    protocols = summarise_all(scores, strengths)
    content = {"options": options.model_dump(mode="json"), "protocols": protocols}
    _write(folder / _JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")


def remove_report(folder: Path, *others: str) -> None:
    """Remove an earlier report from a folder, and `others`: its pictures and their folders.

    Raises:
        InputError: no permission.
    """
    try:
        for path in (folder / name for name in (REPORT, _CSV, _JSON, *others)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot remove an earlier report: {error.strerror}") from error


def format_tables(scores: Sequence[FrameScore], strengths: Mapping[str, str]) -> str:
    """Markdown tables for each protocol: methods by instant, sequence, strength and place.

    Args:
        scores: at least one.
        strengths: of the motion in each sequence; without any, there is no table by strength.
    """
    sections = []
    labels = " / ".join(metric.label for metric in whole_metrics().values())
    for protocol, mine in group_scores(scores, lambda score: score.protocol).items():
        methods = group_scores(mine, lambda score: score.method)
        means = {method: summarise(of_method) for method, of_method in methods.items()}
        sections += [
            f"## Protocol `{protocol}`",
            f"{PROTOCOLS[protocol].description.capitalize()}. Means over the frames of a pair, "
            f"then over pairs ({next(iter(means.values())).pairs}); PSNR in dB.",
            "By instant t of the frame:",
            _frame_table(methods),
            f"By sequence, {labels}:",
            _group_table("sequence", methods, lambda score: score.sequence),
        ]
        if strengths:
            sections += [
                f"By strength of the motion, {labels}:",
                _group_table("strength", methods, _strength_of(strengths)),
            ]
        sections += [
            f"By place, PSNR (the border is a band of {BAND} px inside the crop, in small images a "
            "quarter of the shorter side):",
            _place_table(means),
        ]
        if clips := clip_table(methods):
            sections += [CLIPS_NOTE, format_table(*clips)]
        sections += [
            f"`{method}`: frames identical to their truth (infinite PSNR), left out of the PSNR "
            f"means: {mean.identical}."
            for method, mean in means.items()
            if mean.identical
        ]
    return "\n\n".join(sections)


def summarise_all(
    scores: Sequence[FrameScore], strengths: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Means by protocol and method: "overall", "frames", "distances", "sequences" and "strengths".

    "clips" is there if pairs follow each other (`utils.evaluation.smoothness`).

    A PSNR is None where every frame is identical to its truth.
    """
    return {
        protocol: {
            method: {
                "overall": _as_json(summarise(mine)),
                "frames": [
                    {"time": time, **_as_json(summarise(group))}
                    for time, group in group_scores(mine, lambda score: score.time).items()
                ],
                "distances": [
                    {"px": band.label, **_finite(band.values)} for band in summarise_bands(mine)
                ],
                "sequences": _summaries(mine, lambda score: score.sequence),
                "strengths": _summaries(mine, _strength_of(strengths)) if strengths else {},
                **({"clips": clips.as_json()} if (clips := summarise_clips(mine)) else {}),
            }
            for method, mine in group_scores(of_protocol, lambda score: score.method).items()
        }
        for protocol, of_protocol in group_scores(scores, lambda score: score.protocol).items()
    }


def _frame_table(methods: Mapping[str, Sequence[FrameScore]]) -> str:
    """A row for each method and metric, a column for each instant."""
    times = group_scores(next(iter(methods.values())), lambda score: score.time)
    rows = []
    for method, scores in methods.items():
        by_time = group_scores(scores, lambda score: score.time)
        means = [summarise(group).values for group in (*by_time.values(), scores)]
        for name, metric in whole_metrics().items():
            rows.append([method, metric.label, *(metric.format(mean[name]) for mean in means)])
    return format_table(["method", "", *(f"t {time:.3f}" for time in times), "all"], rows)


def _group_table(
    title: str, methods: Mapping[str, Sequence[FrameScore]], key: Callable[[FrameScore], str]
) -> str:
    """A row for each group of scores, a column for each method."""
    groups = [group_scores(scores, key) for scores in methods.values()]
    rows = [[name, *(_format_whole(group[name]) for group in groups)] for name in groups[0]]
    rows.append(["all", *map(_format_whole, methods.values())])
    return format_table([title, *methods], rows)


def _place_table(means: Mapping[str, Summary]) -> str:
    """A row for each metric of a part of the image, a column for each method."""
    rows = [
        [metric.place, *(metric.format(mean.values[name]) for mean in means.values())]
        for name, metric in METRICS.items()
        if metric.place
    ]
    return format_table(["place", *means], rows)


def _strength_of(strengths: Mapping[str, str]) -> Callable[[FrameScore], str]:
    return lambda score: strengths.get(score.sequence, "unknown")


def _summaries(
    scores: Iterable[FrameScore], key: Callable[[FrameScore], str]
) -> dict[str, dict[str, float | None]]:
    return {name: _as_json(summarise(group)) for name, group in group_scores(scores, key).items()}


def _format_whole(scores: Sequence[FrameScore]) -> str:
    """Means of all metrics of whole images, such as "30.00 / 0.9000"."""
    values = summarise(scores).values
    return " / ".join(metric.format(values[name]) for name, metric in whole_metrics().items())


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _as_csv(scores: Iterable[FrameScore]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "method", "sequence", "pair", "frame", "time", *METRICS))
    for score in scores:
        place = (score.protocol, score.method, score.sequence, score.pair, score.frame)
        values = (f"{score.values[name]:.{metric.digits + 4}f}" for name, metric in METRICS.items())
        writer.writerow((*place, f"{score.time:.6g}", *values))
    return text.getvalue()


def _as_json(summary: Summary) -> dict[str, float | None]:
    counts = {"pairs": summary.pairs, "identical": summary.identical}
    return _finite(summary.values) | counts


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isinf(value) else value for name, value in values.items()}


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
