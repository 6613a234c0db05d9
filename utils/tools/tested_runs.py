"""Runs of main_test.py as `utils.tools.compare` reads them, and whether they are comparable."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.errors import InputError

SCORES = "scores.json"

Values = Mapping[str, float | None]
"""Scores by metric; None where it is not defined."""


class TestedRun(NamedTuple):
    """The scores of one method in one run, of one test set under one protocol.

    Attributes:
        path: the file they were read from.
        label: of the row that the run belongs to.
        set_name: of the test set; "" in a run of a single one.
        data: folder of the data, "ROOT/SPLIT".
        protocol: key of `utils.metrics.PROTOCOLS`.
        overall: over all pairs, with their number as "pairs".
        times: instants of the frames.
        sequences: by name of the sequence, like `overall`.
    """

    path: Path
    label: str
    set_name: str
    data: str
    protocol: str
    overall: Values
    times: tuple[float, ...]
    sequences: Mapping[str, Values]


def read_run(word: str, protocol: str | None, method: str | None) -> list[TestedRun]:
    """Read a run: the scores of a method of each test set under each protocol, or the one named.

    Args:
        word: "RUN" or "LABEL=RUN"; the folder of a test, which is its label by default.
        protocol: the only one to read.
        method: its name in the run; by default the one that was tested, which stands first.

    Raises:
        InputError: there are no scores, they cannot be read, or protocol or method is not in them.
    """
    label, separator, folder = word.partition("=")
    if not separator or Path(word).exists():
        label = folder = word
    path = Path(folder) / SCORES
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sets = content.get("sets", {"": content})
        found = [
            _choose(path, label, (set_name, _place(of_set)), (name, methods), method)
            for set_name, of_set in sets.items()
            for name, methods in of_set["protocols"].items()
            if protocol in (None, name)
        ]
        protocols = [name for of_set in sets.values() for name in of_set["protocols"]]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}; expected the folder of a test by "
            "main_test.py with true frames"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the scores of main_test.py ({error!r})") from error
    if not found:
        raise InputError(
            f"{path}: no protocol '{protocol}'; it has {', '.join(dict.fromkeys(protocols))}"
        )
    return found


def check_comparable(
    runs: Sequence[Sequence[TestedRun]], *, same_data: bool = False
) -> dict[str, list[TestedRun]]:
    """The runs by test set, under the first protocol that all have, if they are of the same data.

    Args:
        runs: as `read_run` returns each.
        same_data: whether folders of data with different names hold the same.

    Raises:
        InputError: no protocol is common to all, or test sets, data, frames or sequences differ.
    """
    sets = [[*dict.fromkeys(each.set_name for each in one)] for one in runs]
    for one, names in zip(runs, sets, strict=True):
        if sorted(names) != sorted(sets[0]):
            raise InputError(
                f"{one[0].path}: other test sets than {runs[0][0].path}: {_list(names)}, not "
                f"{_list(sets[0])}; compare folders of single sets, such as RUN/sets/NAME"
            )
    return {
        name: _check_set(
            [[each for each in one if each.set_name == name] for one in runs], same_data=same_data
        )
        for name in sets[0]
    }


def _check_set(runs: Sequence[Sequence[TestedRun]], *, same_data: bool) -> list[TestedRun]:
    """`check_comparable` of one test set."""
    names = [[each.protocol for each in one] for one in runs]
    shared = [name for name in names[0] if all(name in known for known in names)]
    if not shared:
        known = "; ".join(
            f"{one[0].path}: {', '.join(each.protocol for each in one)}" for one in runs
        )
        raise InputError(
            f"no protocol is common to all runs ({known}): test again under one (protocols)"
        )
    chosen = [next(each for each in one if each.protocol == shared[0]) for one in runs]
    first = chosen[0]
    for one in chosen[1:]:
        for title, mine, expected in (
            ("data", one.data, one.data if same_data else first.data),
            ("pairs", one.overall["pairs"], first.overall["pairs"]),
            ("instants", one.times, first.times),
            ("sequences", sorted(one.sequences), sorted(first.sequences)),
        ):
            if mine != expected:
                raise InputError(
                    f"{one.path}: other {title} than {first.path}: {_shorten(mine)}, not "
                    f"{_shorten(expected)}"
                    + ("; if both are the same, pass --same-data" if title == "data" else "")
                )
    return chosen


def _choose(
    path: Path,
    label: str,
    data: tuple[str, str],
    protocol: tuple[str, Mapping[str, Any]],
    method: str | None,
) -> TestedRun:
    name, methods = protocol
    tested = next(iter(methods)) if method is None else method
    if tested not in methods:
        raise InputError(f"{path}: no method '{tested}'; it has {', '.join(methods)}")
    scores = methods[tested]
    times = tuple(frame["time"] for frame in scores["frames"])
    overall, sequences = scores["overall"], scores["sequences"]
    return TestedRun(path, label, *data, name, overall, times, sequences)


def _place(of_set: Mapping[str, Any]) -> str:
    """Folder of the data of a test set; runs of earlier versions have it only in their options."""
    data = of_set["data"] if "data" in of_set else of_set["options"]["datasets"]["test"]
    return f"{data['data_root']}/{data['split']}"


def _list(names: Sequence[str]) -> str:
    """Names of test sets."""
    return ", ".join(names) if any(names) else "a single one"


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
