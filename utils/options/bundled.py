"""What comes with the code is found from any folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[2]
_BUNDLED = ("pretrained/", "data/samples")


def with_bundled_paths(options: dict[str, Any], file: Path) -> dict[str, Any]:
    """Options whose paths of bundled weights and captures lead to them from the current folder.

    Our own option files name them relative to the repository. All other paths, as those of data
    and results, are relative to the current folder, and so are those in option files elsewhere.

    Args:
        options: nested options, as read from `file`.
        file: the option file.
    """
    ours = _REPOSITORY / "options" in file.resolve().parents
    if not ours or Path.cwd() == _REPOSITORY:
        return options
    return {key: _absolute(value) for key, value in options.items()}


def _absolute(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _absolute(item) for key, item in value.items()}
    bundled = isinstance(value, str) and value.startswith(_BUNDLED)
    return str(_REPOSITORY / str(value)) if bundled else value
