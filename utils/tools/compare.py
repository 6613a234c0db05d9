"""Tables that compare runs of main_test.py, in Markdown or LaTeX.

`python -m utils.tools.compare [LABEL=]RUN [LABEL=]RUN ...`

Each RUN is the folder of a test (`scores.json` in it); each test set has tables of its own. Runs of
one label, such as three seeds, become one row: mean ± standard deviation. Differences from the
first label are tested by sequence.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from utils.errors import InputError
from utils.evaluation.report import format_table
from utils.metrics import METRICS, whole_metrics
from utils.options.command_line import run
from utils.tools.tested_runs import TestedRun, check_comparable, read_run

_MAX_RESAMPLES = 2**16  # exact up to 16 sequences, random sign changes above
_SEED = 0  # of these

Runs = Mapping[str, Sequence[TestedRun]]
"""Runs by label."""


def format_means(runs: Runs, metrics: Sequence[str], *, latex: bool = False) -> str:
    """Mean of each metric over all pairs, and its standard deviation over the runs of a label.

    The best mean of each metric is bold. A value is "–" where a run has none.
    """
    best = {name: _best(runs, name) for name in metrics}
    rows = []
    for label, of_label in runs.items():
        cells = []
        for name in metrics:
            values = _overall(of_label, name)
            text = "–" if np.isnan(values).any() else METRICS[name].format(values.mean())
            if len(values) > 1 and text != "–":
                text += f" ± {METRICS[name].format(values.std(ddof=1))}"
            cells.append(_bold(text, latex) if label in best[name] else text)
        rows.append([label, str(len(of_label)), *cells])
    header = ["method", "runs", *(_title(name) for name in metrics)]
    return _table(header, rows, latex=latex)


def format_differences(runs: Runs, metrics: Sequence[str], *, latex: bool = False) -> str:
    """Differences from the first label: their mean over sequences, how many gain, and p.

    The values of a sequence are averaged over the runs of a label first.
    """
    reference, *others = runs
    rows = []
    for label in others:
        cells = []
        for name in metrics:
            differences = _by_sequence(runs[label], name) - _by_sequence(runs[reference], name)
            defined = differences[np.isfinite(differences)]
            if not defined.size:
                cells.append("–")
                continue
            better = int((defined < 0).sum() if METRICS[name].is_error else (defined > 0).sum())
            mean = f"{defined.mean():+.{METRICS[name].digits}f}"
            share = f"better in {better} of {defined.size}"
            cells.append(f"{mean}, {share}, p = {sign_flip_p(defined):.2g}")
        rows.append([label, *cells])
    header = [f"difference from {reference}", *(_title(name) for name in metrics)]
    return _table(header, rows, latex=latex)


def sign_flip_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p-value of a paired permutation test of the mean difference.

    If nothing distinguishes two methods, each sequence's difference might as well have the other
    sign: p is the share of all sign changes with a mean at least as far from zero. All are counted
    for up to 16 sequences, so p is at least 2 / 2^n; above 2^16 random ones, always the same.

    Args:
        differences: of a score, one for each sequence; at least one.
    """
    if not differences.any():
        return 1.0
    if differences.size == 1:
        return 1.0  # of the two sign changes, both are as far from zero
    found = permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_MAX_RESAMPLES,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def choose_metrics(runs: Runs, names: Sequence[str] | None) -> list[str]:
    """The metrics named, by default all of whole images that every run has.

    Raises:
        InputError: a run lacks one that is named.
    """
    everything = [one for of_label in runs.values() for one in of_label]
    for name in names or ():
        for one in everything:
            if name not in one.overall:
                known = ", ".join(each for each in METRICS if each in one.overall)
                raise InputError(f"{one.path}: no metric '{name}'; it has {known}")
    if names:
        return list(names)
    shared = [name for name in METRICS if all(name in one.overall for one in everything)]
    return [*whole_metrics(shared), *whole_metrics(shared, of_truth=False)]


def _overall(runs: Sequence[TestedRun], metric: str) -> NDArray[np.float64]:
    """The metric over all pairs in each run; NaN where a run has no value."""
    return np.asarray([run.overall[metric] for run in runs], dtype=np.float64)


def _by_sequence(runs: Sequence[TestedRun], metric: str) -> NDArray[np.float64]:
    """The metric of each sequence, mean over the runs; NaN where a run has no value."""
    names = runs[0].sequences
    values = [[run.sequences[name][metric] for name in names] for run in runs]
    return np.asarray(values, dtype=np.float64).mean(axis=0)


def _best(runs: Runs, metric: str) -> list[str]:
    """The labels whose mean of a metric is best, if there are others."""
    means = {label: float(_overall(of_label, metric).mean()) for label, of_label in runs.items()}
    defined = [mean for mean in means.values() if not np.isnan(mean)]
    if len(defined) < 2:
        return []
    choose: Callable[[list[float]], float] = min if METRICS[metric].is_error else max
    return [label for label, mean in means.items() if mean == choose(defined)]


def _title(metric: str) -> str:
    each = METRICS[metric]
    return f"{each.label}, {each.unit}" if each.unit else each.label


def _bold(text: str, latex: bool) -> str:
    return f"\\textbf{{{text}}}" if latex else f"**{text}**"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, latex: bool) -> str:
    if not latex:
        return format_table(header, rows)
    lines = [" & ".join(map(_escape, row)) + r" \\" for row in (header, *rows)]
    columns = "l" + "r" * (len(header) - 1)
    body = [lines[0], r"\midrule", *lines[1:]]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]
    )


def _escape(text: str) -> str:
    """Text for LaTeX, in which `_bold` has already marked what is bold."""
    for plain in "&%#_":
        text = text.replace(plain, f"\\{plain}")
    return text.replace("±", r"$\pm$").replace("–", "--")


def main() -> None:
    """Read the command line and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.tools.compare", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[LABEL=]RUN",
        help="folder of a test; runs of one label are one row (default: RUN)",
    )
    parser.add_argument("--protocol", help="default: the first that all runs have")
    parser.add_argument("--metrics", nargs="+", choices=tuple(METRICS), metavar="METRIC")
    parser.add_argument("--method", help="method of the runs (default: the one they tested)")
    parser.add_argument("--latex", action="store_true", help="LaTeX (booktabs), not Markdown")
    parser.add_argument(
        "--same-data",
        action="store_true",
        help="the runs name different folders of data, which hold the same",
    )
    arguments = parser.parse_args()
    found = [read_run(word, arguments.protocol, arguments.method) for word in arguments.runs]
    sets = check_comparable(found, same_data=arguments.same_data)
    texts = (_format_set(name, chosen, arguments) for name, chosen in sets.items())
    sys.stdout.write("\n\n".join(texts) + "\n")


def _format_set(name: str, chosen: Sequence[TestedRun], arguments: argparse.Namespace) -> str:
    """Title and tables of one test set."""
    runs: dict[str, list[TestedRun]] = {}
    for one in chosen:
        runs.setdefault(one.label, []).append(one)
    metrics = choose_metrics(runs, arguments.metrics)
    title = f"{'%' if arguments.latex else 'Protocol'} {chosen[0].protocol}"
    if name:
        title += f", test set {name}"
    parts = [title, format_means(runs, metrics, latex=arguments.latex)]
    if len(runs) > 1:
        parts.append(format_differences(runs, metrics, latex=arguments.latex))
    return "\n\n".join(parts)


if __name__ == "__main__":
    run(main)
