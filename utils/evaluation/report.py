"""Scores as tables for people (Markdown) and for programs (CSV, JSON)."""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data.files.folders import replacing
from utils.errors import InputError, one_line
from utils.evaluation.methods import describe_methods
from utils.evaluation.scores import FrameScore, Summary, group_scores, summarise, summarise_bands
from utils.evaluation.smoothness import CLIPS_NOTE, clip_table, summarise_clips
from utils.metrics import BAND, METRICS, PROTOCOLS, Metric, whole_metrics
from utils.options.evaluation import EvaluationOptions
from utils.options.parts.tested import BenchmarkOptions

REPORT = "report.md"

_CSV, _JSON = "scores.csv", "scores.json"


def write_report(
    folder: Path,
    scores: Sequence[FrameScore],
    options: EvaluationOptions,
    *,
    strengths: Mapping[str, str],
    data: BenchmarkOptions | None = None,
    pictures: Mapping[str, str] | None = None,
    remark: str = "",
) -> None:
    """Write `report.md`, `scores.csv` (every frame) and `scores.json` (means and options).

    Args:
        folder: an existing folder; an earlier report in it is replaced.
        scores: at least one, of any protocols and methods.
        options: what was scored.
        strengths: of the motion in each sequence, where that is known.
        data: the test set that was scored; by default the first of the options.
        pictures: files in the folder by their titles; images are shown below the tables, HTML pages
            are linked.
        remark: on the scores, such as the instants they are of.

    Raises:
        InputError: no space left or no permission.
    """
    labels = [*dict.fromkeys(score.method for score in scores)]
    data = data or next(iter(options.datasets.sets.values()))
    place = f"`{data.data_root}/{data.split}`. {remark}".rstrip()
    if options.methods is None:
        weights = f"Weights `{options.path.pretrained_netG}`"
        method = "Classical correction" if options.method == "classical" else weights
        about = [f"{method}, data {place}"]
    else:
        about = [*list_methods(options, labels), f"Data {place}"]
    sections = ["# Scores", *about, format_tables(scores, strengths)]
    for title, file in (pictures or {}).items():
        link = f"[{title}]({quote(file)})"  # names of sequences may have spaces
        sections += [f"## {title}", link if file.endswith(".html") else f"!{link}"]
    content = {
        "options": options.model_dump(mode="json"),
        "methods": describe_methods(options, labels),
        "data": describe_data(data),
        "protocols": summarise_all(scores, strengths),
    }
    write_files(folder, sections, as_csv({"": scores}), content)


def write_files(
    folder: Path, sections: Sequence[str], csv_text: str, content: Mapping[str, Any]
) -> None:
    """Write `report.md` from its paragraphs, `scores.csv`, and `scores.json`.

    Raises:
        InputError: no space left or no permission.
    """
    _write(folder / REPORT, "\n\n".join(sections) + "\n")
    _write(folder / _CSV, csv_text)
    _write(folder / _JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")


def list_methods(options: EvaluationOptions, labels: Sequence[str]) -> list[str]:
    """Markdown: what each method is; baselines are left out."""
    lines = []
    for label, about in describe_methods(options, labels).items():
        if "baseline" not in about:
            said = ", ".join(f"{key} `{value}`" for key, value in about.items())
            lines.append(f"* `{label}`: {said}")
    return ["Methods:", "\n".join(lines)]


def describe_data(data: BenchmarkOptions) -> dict[str, Any]:
    """Layout, root and split of a test set, as JSON."""
    return data.model_dump(mode="json", include={*BenchmarkOptions.model_fields})


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
    for protocol, mine in group_scores(scores, lambda score: score.protocol).items():
        whole = whole_metrics(mine[0].values)
        labels = " / ".join(metric.label for metric in whole.values())
        methods = group_scores(mine, lambda score: score.method)
        means = {method: summarise(of_method) for method, of_method in methods.items()}
        sections += [
            f"## Protocol `{protocol}`",
            f"{PROTOCOLS[protocol].description.capitalize()}. Means over the frames of a pair, "
            f"then over pairs ({next(iter(means.values())).pairs}); PSNR in dB.",
            "By instant t of the frame:",
            _frame_table(methods, whole),
        ]
        if others := whole_metrics(mine[0].values, of_truth=False):
            sections += [
                "Without truth, against both views brought to the instant (a sharpness of 1 is "
                "that of the sharper view; double edges of 1 are the mean of views that disagree):",
                _frame_table(methods, others),
            ]
        sections += [
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

    A PSNR is None where every frame is identical to its truth, any value where it is not defined.
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


def _frame_table(methods: Mapping[str, Sequence[FrameScore]], metrics: Mapping[str, Metric]) -> str:
    """A row for each method and metric, a column for each instant."""
    times = group_scores(next(iter(methods.values())), lambda score: score.time)
    rows = []
    for method, scores in methods.items():
        by_time = group_scores(scores, lambda score: score.time)
        means = [summarise(group).values for group in (*by_time.values(), scores)]
        for name, metric in metrics.items():
            rows.append([method, metric.label, *(metric.format(mean[name]) for mean in means)])
    return format_table(["method", "", *(f"t {time:.3f}" for time in times), "all"], rows)


def _group_table(
    title: str, methods: Mapping[str, Sequence[FrameScore]], key: Callable[[FrameScore], str]
) -> str:
    """A row for each group of scores, a column for each method."""
    groups = [group_scores(scores, key) for scores in methods.values()]
    rows = [
        [_escaped(name), *(_format_whole(group[name]) for group in groups)] for name in groups[0]
    ]
    rows.append(["all", *map(_format_whole, methods.values())])
    return format_table([title, *methods], rows)


def _escaped(name: str) -> str:
    """A name that users chose, as Markdown shows it; `format_table` escapes the rest."""
    return re.sub(r"[\\`*<>\[\]&]", r"\\\g<0>", one_line(name, 200))


def _place_table(means: Mapping[str, Summary]) -> str:
    """A row for each metric of a part of the image, a column for each method."""
    rows = [
        [metric.place, *(metric.format(mean.values[name]) for mean in means.values())]
        for name, metric in METRICS.items()
        if metric.place and all(name in mean.values for mean in means.values())
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
    return " / ".join(metric.format(values[name]) for name, metric in whole_metrics(values).items())


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def as_csv(sets: Mapping[str, Sequence[FrameScore]]) -> str:
    """A row for each frame of each test set; sets without a name have no column for it.

    Each set has at least one score.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = any(sets)
    known = {name for scores in sets.values() for name in scores[0].values}
    measured = {name: metric for name, metric in METRICS.items() if name in known}
    header = ("protocol", "method", "sequence", "pair", "frame", "time", *measured)
    writer.writerow((*(["set"] if named else []), *header))
    for name, scores in sets.items():
        for score in scores:
            place = (score.protocol, score.method, score.sequence, score.pair, score.frame)
            values = (
                f"{score.values[key]:.{metric.digits + 4}f}" for key, metric in measured.items()
            )
            row = (*place, f"{score.time:.6g}", *values)
            writer.writerow((*([name] if named else []), *row))
    return text.getvalue()


def _as_json(summary: Summary) -> dict[str, float | None]:
    counts = {"pairs": summary.pairs, "identical": summary.identical}
    return _finite(summary.values) | counts


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
