"""A cache of one value, for consecutive samples of the same scene or capture."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """A function that remembers its latest result. Unlike `lru_cache` it can be pickled."""

    def __init__(self, compute: Callable[..., Value]) -> None:
        """Wrap `compute`."""
        self._compute = compute
        self._latest: tuple[tuple[Hashable, ...], Value] | None = None

    def __call__(self, *arguments: Hashable) -> Value:
        """Result for the arguments, computed unless they are the latest ones."""
        if self._latest is None or self._latest[0] != arguments:
            self._latest = arguments, self._compute(*arguments)
        return self._latest[1]
