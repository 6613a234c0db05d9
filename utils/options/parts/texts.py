"""Texts in options: what none can take, backslashes that JSON swallows, and the home folder."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from utils.errors import one_line

_LONGEST = 4096  # characters, of a path
_SHOWN = 80  # characters of a text in a message

# Comments and texts of an option file; a text that lasts to the end of its line is JSON's error.
_PARTS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:\\(?!\\)")
_UNKNOWN_ESCAPE = re.compile(r"""(?:\\\\|[^\\]|\\["'/bfnrtu\n])*(\\[^"'/bfnrtu\\\n])""")


def odd_values(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of values that no option can take, whatever its type."""
    for key, value in _all_values(options):
        problem = ""
        if isinstance(value, str) and len(value) > _LONGEST:
            problem = f"expected at most {_LONGEST} characters, got {len(value)}"
        elif isinstance(value, str) and ("\0" in value or _has_surrogates(value)):
            problem = f"expected text without NUL characters and surrogates, got {value!r}"
        elif isinstance(value, int) and abs(value) >= 1 << 128:
            problem = f"expected a number below 2^128, got one of {value.bit_length()} bits"
        if problem or _has_surrogates(key):
            yield key, problem or "expected a key without surrogates"


def texts_with_control_characters(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of texts with tabs, line breaks and the like, as backslashes make them."""
    for key, value in _all_values(options):
        if isinstance(value, str) and any(character < " " for character in value):
            yield (
                key,
                f"expected text without control characters, got '{one_line(value, _SHOWN)}'; in "
                "JSON write each backslash of a path twice",
            )


def swallowed_backslashes(text: str) -> Iterator[tuple[int, str]]:
    r"""(line, text) of the texts in an option file whose backslashes would vanish or change.

    Those are paths such as "C:\temp", where \t is a tab, and escapes that JSON does not have.
    """
    for part in _PARTS.finditer(text):
        written = part.group()
        inner = written[1:-1]
        if written[0] != "/" and (_DRIVE.match(inner) or _UNKNOWN_ESCAPE.match(inner)):
            yield text.count("\n", 0, part.start()) + 1, one_line(written, _SHOWN)


def with_home(options: Any) -> Any:  # noqa: ANN401
    """The same options, with "~" and "~/" at the beginning of texts replaced by the home folder."""
    if isinstance(options, Mapping):
        return {key: with_home(value) for key, value in options.items()}
    if isinstance(options, list):
        return [*map(with_home, options)]
    is_home = isinstance(options, str) and (options == "~" or options.startswith("~/"))
    return os.path.expanduser(options) if is_home else options


def _all_values(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [*options.items()]
    while found:
        key, value = found.pop()
        if isinstance(value, (Mapping, list)):
            numbered = value.items() if isinstance(value, Mapping) else enumerate(value)
            found += [(f"{key}.{name}", item) for name, item in numbered]
        yield key, value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
