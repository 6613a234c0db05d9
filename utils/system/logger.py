"""What a run says: to the console through the progress bar, and to a file."""

import logging
import sys
from pathlib import Path

from tqdm import tqdm

_NAME = "dual_reversed_rs"


class _ConsoleHandler(logging.Handler):
    """Prints above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def open_log(file: Path | None, *, quiet: bool = False) -> logging.Logger:
    """The log of this process; calling again replaces its outputs.

    Args:
        file: where to append, if anywhere.
        quiet: say nothing on the console below a warning (processes other than the main one).
    """
    log = logging.getLogger(_NAME)
    close_log()
    log.setLevel(logging.INFO)
    log.propagate = False
    console = _ConsoleHandler(logging.WARNING if quiet else logging.INFO)
    console.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(console)
    if file is not None:
        appending = logging.FileHandler(file, encoding="utf-8")
        appending.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(appending)
    return log


def close_log() -> None:
    """Close the outputs of this process's log."""
    log = logging.getLogger(_NAME)
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
