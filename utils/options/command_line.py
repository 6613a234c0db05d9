"""Command line of the scripts: shared arguments, and errors in one line."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable

from utils.errors import InputError, explain_lacked_operation, one_line, says_memory_ran_out
from utils.options.parts.texts import with_home

MEMORY_RAN_OUT = "out of memory; ask for fewer frames, or for smaller ones"

_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # how a user may have chosen


def parse_arguments(
    description: str,
    *,
    extra: Callable[[argparse.ArgumentParser], None] | None = None,
    default_options: str | None = None,
) -> argparse.Namespace:
    """Parse the command line of a script.

    Args:
        description: what the script does; its first line is shown by `--help`.
        extra: adds the script's own arguments.
        default_options: option file used without `--opt`; by default `--opt` is required.

    Returns:
        `.opt` (file name), `.set` (list of "key.path=value") and what `extra` added; "~" at the
        beginning of texts is the home folder.

    Raises:
        InputError: there are more paths than arguments, as from a pattern without quotes.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--opt",
        metavar="FILE",
        required=default_options is None,
        default=default_options,
        help="option file, JSON with // comments",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="override an option: key.path=value, repeatable",
    )
    # torch.distributed.launch and the released commands pass these; rank and world size are read
    # from the launcher's environment variables instead.
    parser.add_argument("--dist", choices=("True", "False"), help=argparse.SUPPRESS)
    parser.add_argument("--local-rank", "--local_rank", type=int, help=argparse.SUPPRESS)
    if extra is not None:
        extra(parser)
    arguments, rest = parser.parse_known_args()
    files = [word for word in rest if os.path.exists(word)]
    if files:
        raise InputError(
            f"{files[0]}: expected one path for each argument, got {len(files)} more; if the shell "
            "has expanded a pattern, quote it, as in --t2b 'left/*.png'"
        )
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return argparse.Namespace(**with_home(vars(arguments)))


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--resume auto|never|PATH`, `--seeds N ...` and what chooses the messages."""
    parser.add_argument(
        "--resume",
        metavar="auto|never|PATH",
        default="auto",
        help="auto (default): resume from the newest checkpoint of the task, if any; never: "
        "start over in an empty folder; PATH: resume from this checkpoint",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        nargs="+",
        help="train once with each of these seeds, one after the other, into TASK/seed_N",
    )
    add_console_arguments(parser)


def add_console_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--quiet`, `--json` and `--progress`, for `utils.system.console.console`."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        "--quiet",
        action="store_true",
        help="say warnings, errors and the last line only; no progress",
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="write one JSON object to stdout at the end: results, notes, errors, status, seconds; "
        "everything else goes to stderr",
    )
    group.add_argument(
        "--progress",
        choices=("auto", "lines"),
        default="auto",
        help="auto (default): bars on a terminal; lines: lines of JSON on stderr, for programs",
    )


def wait_without_spinning() -> None:
    """Let idle threads of PyTorch sleep, unless the user has chosen how they wait.

    By default they spin for a while, and on busy cores take time from the threads they wait for.
    Must be called before PyTorch is imported, which reads the setting then.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def run(main: Callable[[], None]) -> None:
    """Call a script's `main` and turn bad input into one line on stderr and exit status 1.

    SIGTERM exits the same way, so that unfinished files are removed. `main` itself imports what
    takes time, so that an interrupt meanwhile is one line, too.
    """
    wait_without_spinning()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have any characters
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        main()
        sys.stdout.flush()
        return
    except BrokenPipeError:
        _discard_output()  # the reader has closed the pipe
        sys.exit(1)
    except (OSError, InputError, MemoryError, RuntimeError, KeyboardInterrupt) as error:
        explained = explain_failure(error)
        if explained is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            _discard_output()
    message, status = explained
    sys.stderr.write(f"{message}\n")
    sys.exit(status)


def explain_failure(error: BaseException) -> tuple[str, int] | None:
    """The message of a failure and the exit status of the script; None for a defect of the code."""
    if isinstance(error, OSError):
        # No permission, a name too long, a full disk.
        said = one_line(f"{error.filename or 'output'}: {error.strerror or error}")
        return f"error: {said}", 1
    if isinstance(error, InputError):
        return f"error: {error}", 1
    if says_memory_ran_out(error):
        return f"error: {MEMORY_RAN_OUT}", 1
    if lacked := explain_lacked_operation(error):
        return f"error: {lacked}", 1
    if isinstance(error, KeyboardInterrupt):  # with what is kept, where somebody knows it
        return f"interrupted{f': {error}' if error.args else ''}", 130
    return None


def _discard_output() -> None:
    """Redirect stdout to /dev/null: flushing its buffer at exit would raise the error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
