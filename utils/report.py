"""Scores as tables for people (Markdown) and for programs (CSV, JSON)."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from utils.evaluation import FrameScore, Summary, summarise
from utils.evaluation_options import EvaluationOptions
from utils.image_io import replacing, write_image
from utils.metrics import PROTOCOLS, Image

REPORT = "report.md"
EXAMPLE = "example.png"

K = TypeVar("K")


def write_report(
    folder: Path,
    scores: Sequence[FrameScore],
    options: EvaluationOptions,
    *,
    example: Image | None = None,
) -> None:
    """Write `report.md`, `scores.csv` (every frame) and `scores.json` (means and options).

    Args:
        folder: an existing folder; an earlier report in it is replaced.
        scores: at least one, of any protocols and methods.
        options: what was scored.
        example: a picture to show below the tables, saved as `example.png`.

    Raises:
        InputError: no space left or no permission.
    """
    data = options.datasets.test
    about = f"Weights `{options.path.pretrained_netG}`, data `{data.data_root}/{data.split}`."
    sections = ["# Scores", about, format_tables(scores)]
    if example is not None:
        write_image(folder / EXAMPLE, example)
        sections += ["## Example", f"![Inputs and frames of the first pair]({EXAMPLE})"]
    _write(folder / REPORT, "\n\n".join(sections) + "\n")
    _write(folder / "scores.csv", _as_csv(scores))
    content = {"options": options.model_dump(mode="json"), "protocols": summarise_all(scores)}
    _write(folder / "scores.json", json.dumps(content, indent=2, allow_nan=False) + "\n")


def format_tables(scores: Sequence[FrameScore]) -> str:
    """Markdown tables for each protocol: methods by frame and overall, then by sequence."""
    sections = []
    for protocol, mine in _group(scores, lambda score: score.protocol).items():
        methods = _group(mine, lambda score: score.method)
        pairs = len(_group(mine, lambda score: score.pair))
        sections += [
            f"## Protocol `{protocol}`",
            f"{PROTOCOLS[protocol].description.capitalize()}. "
            f"Means over the frames of a pair, then over pairs ({pairs}); PSNR in dB.",
            "By instant t of the frame:",
            _frame_table(methods),
            "By sequence, PSNR / SSIM:",
            _sequence_table(methods),
            *_remarks(methods),
        ]
    return "\n\n".join(sections)


def summarise_all(scores: Sequence[FrameScore]) -> dict[str, dict[str, Any]]:
    """Means by protocol and method: "overall", "frames" and "sequences", as JSON values.

    A PSNR is None where every frame is identical to its truth.
    """
    return {
        protocol: {
            method: {
                "overall": _as_json(summarise(mine)),
                "frames": [
                    {"time": time, **_as_json(summarise(group))}
                    for time, group in _group(mine, lambda score: score.time).items()
                ],
                "sequences": {
                    sequence: _as_json(summarise(group))
                    for sequence, group in _group(mine, lambda score: score.sequence).items()
                },
            }
            for method, mine in _group(of_protocol, lambda score: score.method).items()
        }
        for protocol, of_protocol in _group(scores, lambda score: score.protocol).items()
    }


def _frame_table(methods: Mapping[str, Sequence[FrameScore]]) -> str:
    rows = []
    for method, scores in methods.items():
        by_time = _group(scores, lambda score: score.time)
        summaries = [summarise(group) for group in (*by_time.values(), scores)]
        rows.append([method, "PSNR", *(f"{summary.psnr:.2f}" for summary in summaries)])
        rows.append([method, "SSIM", *(f"{summary.ssim:.4f}" for summary in summaries)])
        header = ["method", "", *(f"t {time:.3f}" for time in by_time), "all"]
    return _table(header, rows)


def _sequence_table(methods: Mapping[str, Sequence[FrameScore]]) -> str:
    columns = [_group(scores, lambda score: score.sequence) for scores in methods.values()]
    rows = [
        [sequence, *(_both(summarise(column[sequence])) for column in columns)]
        for sequence in columns[0]
    ]
    rows.append(["all", *(_both(summarise(scores)) for scores in methods.values())])
    return _table(["sequence", *methods], rows)


def _remarks(methods: Mapping[str, Sequence[FrameScore]]) -> list[str]:
    """What the means leave out."""
    identical = {method: summarise(scores).identical for method, scores in methods.items()}
    return [
        f"`{method}`: frames identical to their truth (infinite PSNR), left out of the PSNR means: "
        f"{count}."
        for method, count in identical.items()
        if count
    ]


def _both(summary: Summary) -> str:
    return f"{summary.psnr:.2f} / {summary.ssim:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that also reads well as plain text."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _as_csv(scores: Iterable[FrameScore]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "method", "sequence", "pair", "frame", "time", "psnr", "ssim"))
    for score in scores:
        place = (score.protocol, score.method, score.sequence, score.pair, score.frame)
        writer.writerow((*place, f"{score.time:.6g}", f"{score.psnr:.6f}", f"{score.ssim:.8f}"))
    return text.getvalue()


def _as_json(summary: Summary) -> dict[str, float | None]:
    psnr = None if math.isinf(summary.psnr) else summary.psnr
    return {**summary._asdict(), "psnr": psnr}


def _group(
    scores: Iterable[FrameScore], key: Callable[[FrameScore], K]
) -> dict[K, list[FrameScore]]:
    """Scores by `key`, both in order of appearance."""
    groups: dict[K, list[FrameScore]] = {}
    for score in scores:
        groups.setdefault(key(score), []).append(score)
    return groups


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
