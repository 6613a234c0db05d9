"""Findings, errors and progress in plain words, as HTML: all that users give is escaped."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.app.jobs import Outcome, Report
from utils.app.request import Request, shown_name
from utils.options.command_line import MEMORY_RAN_OUT

CURES: Mapping[str, str] = {
    "swap": "Swap the views",
    "--align": "Align the cameras",
    "--match-colour": "Match the colours",
    "--offset": "Find which frames belong together",
}
"""What a click does, by the name of the cure (`utils.real.check_report.cure_of`)."""

_STAGES = {
    "starting": "Starting",
    "reading": "Reading the recordings",
    "checking": "Checking the views",
    "correcting": "Correcting",
    "writing": "Writing video and page",
    "packing": "Packing the downloads",
}
_IN_PLAIN_WORDS = (
    (re.compile(r"; swap them$"), f"; press “{CURES['swap']}”"),
    (re.compile(r"pass --align\b"), f"press “{CURES['--align']}”"),
    (re.compile(r"pass --match-colour\b"), f"press “{CURES['--match-colour']}”"),
    (re.compile(r"give --offset \S+$"), f"press “{CURES['--offset']}”"),
    (re.compile(r"--align\b"), "alignment"),
    (re.compile(r" ?\(--offset\)"), ""),
    (re.compile(r"; applied: --offset \S+$"), "; they are paired accordingly"),
    (re.compile(r"see --readout-ratio\b"), "see the readout ratio under Timing"),
    (re.compile(r"^warning: "), ""),
    (re.compile(r"^\S+: cannot write there: (.+); .*$"), r"the server cannot write: \1"),
)


_FIRST_WORD = re.compile(r"^[a-z]+(?=[ :,])")  # no file's name


def tell_progress(report: Report) -> str:
    """A bar, what happens now, and the time: left where it is known, else gone."""
    said = [_STAGES.get(report.stage, report.stage)]
    share = ""
    if report.bar is not None and report.bar.get("total"):
        done, total = report.bar["done"], report.bar["total"]
        said.append(f"{done} of {total} {report.bar['unit']}s")
        share = f' value="{done}" max="{total}"'
        if report.bar.get("seconds_left") is not None and done < total:
            said.append(f"{_duration(report.bar['seconds_left'])} left")
    said.append(f"{_duration(report.seconds)} gone")
    return f'<progress{share}></progress><p id="state">{html.escape(", ".join(said))}</p>'


def tell_findings(summary: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The check's warnings, or that there are none."""
    results = summary.get("results") or []
    found = [warning["text"] for result in results for warning in result["warnings"]]
    notes = (line for line in summary.get("notes", []) if line.startswith("warning: "))
    found += [line for line in notes if line.removeprefix("warning: ") not in found]
    if not found:
        return _paragraph("The check found nothing that would impair the correction.", "good")
    items = "".join(f"<li>{html.escape(_in_plain_words(text, names))}</li>" for text in found)
    return f'<div class="warned"><p>The check found:</p><ul>{items}</ul></div>'


def cures_in(summary: Mapping[str, Any], request: Request) -> set[str]:
    """The cures that findings name and that this input can have."""
    results = summary.get("results") or []
    named = {warning["cure"] for result in results for warning in result["warnings"]}
    if any("give --offset" in line for line in summary.get("notes", [])):
        named.add("--offset")
    if not request.is_clip or request.layout is not None:
        named.discard("--offset")
    return {name for name in CURES if name in named}


def tell_failure(outcome: Outcome, names: Mapping[str, str]) -> str:
    """A sentence on why a job made nothing."""
    if outcome.cancelled:
        return tell_error(["Cancelled. Nothing of it is kept."])
    if outcome.status == -9:
        return tell_error([MEMORY_RAN_OUT])
    errors = outcome.summary.get("errors") or outcome.log[-1:] or ["it ended without a message"]
    return tell_error([_in_plain_words(line, names) for line in errors])


def tell_error(lines: Iterable[str]) -> str:
    """An error that the user can do something about."""
    return "".join(_paragraph(_FIRST_WORD.sub(_capitalised, line), "failed") for line in lines)


def tell_checked(summary: Mapping[str, Any]) -> str:
    """That a check is done."""
    return _paragraph(f"Checked in {_duration(summary['seconds'])}.", "good")


def tell_success(summary: Mapping[str, Any]) -> str:
    """What was made."""
    [result] = summary["results"]
    count, seconds = result["frames"], summary["seconds"]
    rate = f" at {result['fps']:.4g} per second" if "fps" in result else ""
    return _paragraph(
        f"{count} frame{'s'[: count > 1]}{rate}, made in {_duration(seconds)}.", "good"
    )


def describe_figures(summary: Mapping[str, Any]) -> str:
    """What the check and the check of results measured, as text."""
    lines = [*summary.get("notes", []), *summary.get("text", [])]
    return "\n".join(line for line in lines if " in /" not in line)


def names_of(request: Request, inputs: Sequence[Path]) -> dict[str, str]:
    """What users call their files, by what messages call them."""
    named: dict[str, str] = {}
    for path, upload in zip(inputs, request.uploads, strict=True):
        named |= {str(path): shown_name(upload)}
    return named


def frame_page(page: str) -> str:
    """An HTML page within the page: it may run its script, and reach nothing around it."""
    return f'<iframe id="viewer" sandbox="allow-scripts" srcdoc="{html.escape(page)}"></iframe>'


def _in_plain_words(text: str, names: Mapping[str, str]) -> str:
    for pattern, words in _IN_PLAIN_WORDS:
        text = pattern.sub(words, text)
    for path, name in names.items():
        text = text.replace(path, name)
    return text


def _capitalised(word: re.Match[str]) -> str:
    return word[0].capitalize()


def _paragraph(text: str, kind: str) -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>'


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
