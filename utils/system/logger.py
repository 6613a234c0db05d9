"""The log of a run: on the console above the progress bar, and in a file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from utils.system.console import is_quiet

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
    stream = logging.StreamHandler()
    stream.setLevel(logging.WARNING if is_quiet() else logging.NOTSET)
    handlers: list[logging.Handler] = [stream]
    stream.setFormatter(logging.Formatter("%(message)s"))
    if file is not None:
        appending = logging.FileHandler(file, encoding="utf-8")
        appending.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(appending)
    log.handlers = handlers
    try:
        # The console handler that tqdm puts in place of ours would say all. Quiet runs have no bar.
        with nullcontext() if is_quiet() else logging_redirect_tqdm([log]):
            yield log
    finally:
        log.handlers = []
        for handler in handlers:
            handler.close()
