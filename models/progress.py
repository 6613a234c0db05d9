"""Who is told how much of a correction is done; by default nobody. Each thread has its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watcher = Callable[[float], object]
"""Called with the share of a correction that is done, which grows to 1."""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def tell_share(share: float) -> None:
    """Tell that a share of the correction is done, from 0 to 1."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(min(share, 1.0))


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell a watcher about the correction in this block."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def part_of(part: int, count: int) -> Iterator[None]:
    """Count what is corrected in this block as one of `count` equal parts of a correction."""
    outer = _watcher.get()
    if outer is None:
        yield
        return
    with watched_by(lambda share: outer((part + share) / count)):
        yield
