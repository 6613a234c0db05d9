"""Texts in options: backslashes that would vanish, control characters, and the home folder."""

from pathlib import Path

import pytest

from utils.errors import InputError
from utils.options.files import load_options
from utils.options.parts.texts import (
    swallowed_backslashes,
    texts_with_control_characters,
    with_home,
)
from utils.options.real import RealOptions

OPTIONS = Path(__file__).parents[4] / "options" / "test_real.json"


@pytest.mark.parametrize(
    ("written", "is_refused"),
    [
        (r'"C:\temp\new"', True),
        (r'"C:\Users"', True),
        (r'"caps\day 1"', True),
        (r"'caps\day 1'", True),
        (r'"C:\\temp\\new"', False),
        (r'"C:/temp"', False),
        (r'"\\\\server\\share"', False),
        (r'"a \" quote, \u00e9 and // no comment"', False),
        (r'"a" // in C:\temp', False),
        (r'/* C:\Users "x\day" */ "a"', False),
    ],
)
def test_backslashes_that_json_would_swallow(written: str, *, is_refused: bool) -> None:
    found = [*swallowed_backslashes(f'{{\n  "root": {written}\n}}')]
    assert found == ([(2, written)] if is_refused else [])


def test_a_windows_path_in_an_option_file_is_one_line(tmp_path: Path) -> None:
    text = OPTIONS.read_text(encoding="utf-8")
    file = tmp_path / "mine.json"
    file.write_text(text.replace('"task": "test_real"', r'"task": "C:\temp"'), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_options(file, (), RealOptions)
    assert str(caught.value) == (
        r'mine.json, line 3: "C:\temp": a single backslash is not kept; write paths with "/", or '
        "each backslash twice"
    )


def test_control_characters_are_refused() -> None:
    [(key, problem)] = texts_with_control_characters({"path": {"root": "a\temp"}})
    assert key == "path.root" and "without control characters, got 'a\\temp'" in problem


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = {"a": "~/x", "b": ["~", "x/~", "~x"], "c": {"d": 1}}
    expected = {"a": "/home/me/x", "b": ["/home/me", "x/~", "~x"], "c": {"d": 1}}
    assert with_home(given) == expected
    options = load_options(OPTIONS, ["path.root=~/results"], RealOptions)
    assert options.path.root == "/home/me/results"
