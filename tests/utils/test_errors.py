"""Messages stay one line."""

import pickle

import pytest

from utils.errors import InputError, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 日本 \u3000 naïve's \\n", "café 日本 \u3000 naïve's \\n"),
        ("a\nb\r\t\x00\x1b[31m", r"a\nb\r\t\x00\x1b[31m"),
        ("\ud800 \udcff \u2028 \u202e", r"\ud800 \udcff \u2028 \u202e"),
    ],
)
def test_texts_are_shown_in_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert one_line(shown) == shown
    assert str(InputError(text)) == shown
    shown.encode()


def test_long_texts_lose_their_middle() -> None:
    shown = one_line("head" + "x" * 10**6 + "tail", 80)
    assert shown.startswith("headxxx") and shown.endswith("xxxtail")
    assert "[... 999935 characters ...]" in shown
    assert len(str(InputError("x" * 10**6))) < 2100


def test_several_problems_are_a_line_each() -> None:
    assert str(InputError("a\nb", "c")) == "a\\nb\nc"


def test_lines_stay_apart_on_the_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(InputError("first", "sec\nond")))
    assert type(error) is InputError and str(error) == "first\nsec\\nond"
