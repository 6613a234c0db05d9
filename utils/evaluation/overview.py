"""Scores of several test sets beside each other: tables, CSV and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from utils.evaluation.methods import describe_methods
from utils.evaluation.report import (
    REPORT,
    as_csv,
    describe_data,
    format_table,
    list_methods,
    summarise_all,
    write_files,
)
from utils.evaluation.scores import FrameScore, group_scores, summarise
from utils.metrics import PROTOCOLS, Metric, whole_metrics
from utils.options.evaluation import EvaluationOptions
from utils.options.parts.tested import BenchmarkOptions

_Means = Mapping[str, Mapping[str, float]]
"""Mean of each metric by method."""


class SetScores(NamedTuple):
    """Scores of a test set.

    Attributes:
        data: which captures.
        scores: none if the set has no true frames.
        strengths: of the motion in each sequence, where that is known.
        remark: on the scores, such as the instants they are of.
    """

    data: BenchmarkOptions
    scores: Sequence[FrameScore]
    strengths: Mapping[str, str]
    remark: str = ""


def write_overview(
    folder: Path,
    sets: Mapping[str, SetScores],
    options: EvaluationOptions,
    *,
    folders: Mapping[str, str],
) -> None:
    """Write `report.md`, `scores.csv` and `scores.json` of all sets that have scores, if any.

    Args:
        folder: an existing folder; an earlier report in it is replaced.
        sets: by name.
        options: what was scored.
        folders: of each set's own report, relative to `folder`.

    Raises:
        InputError: no space left or no permission.
    """
    scored = {name: found for name, found in sets.items() if found.scores}
    if not scored:
        return
    labels = [*dict.fromkeys(score.method for found in scored.values() for score in found.scores)]
    links = [
        f"* [`{name}`]({quote(folders[name])}/{REPORT}): `{data.data_root}/{data.split}`"
        + (f". {remark}" if remark else "")
        for name, (data, _, _, remark) in scored.items()
    ]
    sections = [
        "# Scores",
        *list_methods(options, labels),
        "Test sets:\n\n" + "\n".join(links),
        format_overview(scored),
    ]
    content = {
        "options": options.model_dump(mode="json"),
        "methods": describe_methods(options, labels),
        "sets": {
            name: {
                "data": describe_data(found.data),
                "protocols": summarise_all(found.scores, found.strengths),
            }
            for name, found in scored.items()
        },
    }
    csv = as_csv({name: found.scores for name, found in scored.items()})
    write_files(folder, sections, csv, content)


def format_overview(sets: Mapping[str, SetScores]) -> str:
    """Markdown tables for each protocol: a row for each set that has scores, and their mean.

    A set counts once in the mean, however many captures it has.
    """
    by_protocol: dict[str, dict[str, _Means]] = {}
    for name, found in sets.items():
        for protocol, mine in group_scores(found.scores, lambda score: score.protocol).items():
            methods = group_scores(mine, lambda score: score.method)
            means = {method: summarise(scores).values for method, scores in methods.items()}
            by_protocol.setdefault(protocol, {})[name] = means
    sections = []
    for protocol, by_set in by_protocol.items():
        known = {name for means in by_set.values() for values in means.values() for name in values}
        whole = whole_metrics(known)
        sections += [
            f"## Test sets, protocol `{protocol}`",
            f"{PROTOCOLS[protocol].description.capitalize()}. {_labels(whole)}:",
            _table(by_set, whole),
        ]
        if others := whole_metrics(known, of_truth=False):
            sections += [f"Without truth, {_labels(others)}:", _table(by_set, others)]
    return "\n\n".join(sections)


def _labels(metrics: Mapping[str, Metric]) -> str:
    return " / ".join(metric.label for metric in metrics.values())


def _table(by_set: Mapping[str, _Means], metrics: Mapping[str, Metric]) -> str:
    """A row for each set and one for their mean, a column for each method."""
    methods = [*next(iter(by_set.values()))]
    means = {
        method: {
            name: metric.mean(found[method][name] for found in by_set.values())
            for name, metric in metrics.items()
        }
        for method in methods
    }
    rows = [
        [
            title,
            *(
                " / ".join(metric.format(found[method][name]) for name, metric in metrics.items())
                for method in methods
            ),
        ]
        for title, found in (*by_set.items(), ("mean of sets", means))
    ]
    return format_table(["test set", *methods], rows)
