"""The log of a run: on the console above the progress bar, and in a file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

_NAME = "dual_reversed_rs"


@contextmanager
def open_log(file: Path | None, *, quiet: bool = False) -> Iterator[logging.Logger]:
    """Open the log of this process.

    Args:
        file: where to append, if anywhere.
        quiet: log warnings only (processes other than the main one).
    """
    log = logging.getLogger(_NAME)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    console = logging.StreamHandler()
    handlers: list[logging.Handler] = [console]
    console.setFormatter(logging.Formatter("%(message)s"))
    if file is not None:
        appending = logging.FileHandler(file, encoding="utf-8")
        appending.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(appending)
    log.handlers = handlers
    try:
        with logging_redirect_tqdm([log]):
            yield log
    finally:
        log.handlers = []
        for handler in handlers:
            handler.close()
