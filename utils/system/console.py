"""What a script says: everything, little (`--quiet`), or one JSON object at the end (`--json`).

Results go to stdout, messages and progress to stderr. The choice holds for the whole process, as
that of a log does.
"""

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

from utils.options.command_line import explain_failure

_LINE_INTERVAL = 0.5  # seconds between two lines of progress


@dataclass
class _Console:
    """How this process speaks, and what it keeps for the JSON object."""

    quiet: bool = False
    progress_lines: bool = False
    results: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


_console = _Console()


@contextmanager
def console(arguments: argparse.Namespace) -> Iterator[None]:
    """Speak as `utils.options.command_line.add_console_arguments` lets the user choose.

    With `--quiet` only the last line of stdout is written, at the end, and bars are left out. With
    `--json` what would go to stdout goes to stderr, and one object with `results`, `notes`, `text`,
    `errors`, `status` and `seconds` is written to stdout, also after an error. The main process
    writes it.
    """
    global _console
    before, begin = _console, time.perf_counter()
    _console = _Console(arguments.quiet, arguments.progress == "lines")
    stdout, said = sys.stdout, _Said(None if arguments.quiet else sys.stderr)
    errors = _console.errors
    status: int | str | None = 0
    try:
        with ExitStack() as stack:
            if arguments.json or arguments.quiet:
                stack.enter_context(redirect_stdout(said))
            if arguments.quiet:
                stack.enter_context(redirect_stderr(_NoTerminal(sys.stderr)))
            yield
    except SystemExit as error:
        status = error.code
        raise
    except BaseException as error:
        message, status = explain_failure(error) or (f"{type(error).__name__}: {error}", 1)
        errors += message.removeprefix("error: ").splitlines()
        raise
    finally:
        made, _console = _console, before
        lines = said.getvalue().splitlines()
        if os.environ.get("RANK", "0") == "0":
            if arguments.json:
                summary = {
                    "status": status,
                    "seconds": round(time.perf_counter() - begin, 3),
                    "results": made.results,
                    "notes": made.notes,
                    "errors": errors,
                    "text": lines,
                }
                stdout.write(f"{json.dumps(summary)}\n")
            elif arguments.quiet and lines and not errors:
                stdout.write(f"{lines[-1]}\n")


def record(**result: Any) -> None:  # noqa: ANN401
    """Keep what one input became, for `--json`; values as JSON can hold them."""
    _console.results.append(result)


def note(line: str) -> None:
    """Say a line on stderr, unless all but warnings is to be left out."""
    _console.notes.append(line)
    if not _console.quiet or line.startswith("warning: "):
        sys.stderr.write(f"{line}\n")


def tell_error(message: str) -> None:
    """Say an error on stderr that does not end the run."""
    _console.errors.append(message)
    sys.stderr.write(f"error: {message}\n")


def repeat_warning(line: str) -> None:
    """Say a warning on stderr where `--quiet` leaves out the text that holds it."""
    if _console.quiet:
        sys.stderr.write(f"warning: {line}\n")


def is_quiet() -> bool:
    """Whether only warnings, errors and the last line are to be said."""
    return _console.quiet


def stage(name: str) -> None:
    """Say what begins now, with `--progress lines` only."""
    if _console.progress_lines:
        _write_line({"stage": name})


def progress_bar(*, shown: bool = True, **settings: Any) -> "tqdm[NoReturn]":  # noqa: ANN401
    """A bar on a terminal, lines of JSON with `--progress lines`, else nothing.

    Args:
        shown: whether this process shows it.
        settings: of tqdm: `total`, `initial`, `desc`, `unit`.
    """
    if _console.progress_lines:
        return _LineBar(**settings, disable=not shown, mininterval=_LINE_INTERVAL)
    return tqdm(**settings, disable=None if shown else True)  # None: unless on a terminal


class _LineBar(tqdm):  # type: ignore[misc]
    """Progress as lines of JSON, for programs."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line."""
        state = self.format_dict
        done, total, rate = state["n"], state["total"], state["rate"]
        if rate is None and state["elapsed"] > 0:
            rate = (done - state["initial"]) / state["elapsed"]
        left = (total - done) / rate if total and rate else None
        _write_line(
            {
                "name": self.desc.removesuffix(": "),
                "unit": self.unit,
                "done": done,
                "total": total,
                "seconds_left": None if left is None else round(left, 1),
            }
        )

    def close(self) -> None:
        """Write the last line."""
        if not self.disable:
            self.display()
        self.disable: bool = True


class _Said(io.StringIO):
    """Keeps what is written, and passes it on."""

    def __init__(self, onward: TextIO | None) -> None:
        super().__init__()
        self._onward = onward

    def write(self, text: str) -> int:
        if self._onward is not None:
            self._onward.write(text)
        return super().write(text)


class _NoTerminal(io.TextIOBase):
    """A stream that is no terminal, whatever it leads to: bars are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False


def _write_line(state: dict[str, Any]) -> None:
    sys.stderr.write(f"{json.dumps({'progress': state})}\n")
    sys.stderr.flush()
