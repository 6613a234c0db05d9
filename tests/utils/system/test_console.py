"""What scripts say: everything, the last line, or one JSON object."""

import argparse
import json
import sys

import pytest

from utils.errors import InputError
from utils.options.command_line import add_console_arguments
from utils.system.console import (
    console,
    is_quiet,
    note,
    progress_bar,
    record,
    repeat_warning,
    stage,
    tell_error,
)


def chosen(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_console_arguments(parser)
    return parser.parse_args(words)


def say_everything() -> None:
    sys.stdout.write("figures\n  warning: too dark\n")
    repeat_warning("street: too dark")
    note("three frames have no partner")
    note("warning: a frame is missing")
    stage("correcting")
    record(name="street", files=["video.mp4"])
    sys.stdout.write("street: 9 frames\n")


def test_by_default_all_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with console(chosen()):
        say_everything()
    said = capsys.readouterr()
    assert said.out == "figures\n  warning: too dark\nstreet: 9 frames\n"
    assert said.err == "three frames have no partner\nwarning: a frame is missing\n"


def test_quiet_leaves_warnings_and_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with console(chosen("--quiet")):
        assert is_quiet()
        say_everything()
    said = capsys.readouterr()
    assert said.out == "street: 9 frames\n"
    assert said.err == "warning: street: too dark\nwarning: a frame is missing\n"
    assert not is_quiet()


def test_json_is_all_that_stdout_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with console(chosen("--json")):
        say_everything()
    said = capsys.readouterr()
    made = json.loads(said.out)
    assert made.pop("seconds") >= 0
    assert made == {
        "status": 0,
        "results": [{"name": "street", "files": ["video.mp4"]}],
        "notes": ["three frames have no partner", "warning: a frame is missing"],
        "errors": [],
        "text": ["figures", "  warning: too dark", "street: 9 frames"],
    }
    assert "figures" in said.err and "street: 9 frames" in said.err
    with console(chosen("--json", "--quiet")):
        say_everything()
    said = capsys.readouterr()
    assert json.loads(said.out)["results"] == made["results"]
    assert said.err == "warning: street: too dark\nwarning: a frame is missing\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("a.png: no such image"), 1, ["a.png: no such image"]),
        (OSError(28, "No space left on device", "/full"), 1, ["/full: No space left on device"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (ZeroDivisionError("by nothing"), 1, ["ZeroDivisionError: by nothing"]),
        (SystemExit(3), 3, []),
    ],
)
def test_json_tells_how_a_run_failed(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: list[str]
) -> None:
    with pytest.raises(type(error)), console(chosen("--json")):
        record(name="first")
        tell_error("second: damaged")
        raise error
    made = json.loads(capsys.readouterr().out)
    assert made["status"] == status and made["errors"] == ["second: damaged", *said]
    assert made["results"] == [{"name": "first"}]


def test_a_failed_quiet_run_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError), console(chosen("--quiet")):
        sys.stdout.write("figures\n")
        raise InputError("no")
    assert capsys.readouterr().out == ""


def test_other_processes_write_no_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with console(chosen("--json")):
        record(name="street")
    assert capsys.readouterr().out == ""


def test_progress_as_lines_ends_at_the_last_step(capsys: pytest.CaptureFixture[str]) -> None:
    with console(chosen("--progress", "lines")):
        stage("correcting")
        for _ in progress_bar(iterable=range(4), desc="clip", unit="pair"):
            pass
        with progress_bar(shown=False, total=2, desc="hidden", unit="pair") as bar:
            bar.update()
    first, *bars = (json.loads(line)["progress"] for line in capsys.readouterr().err.splitlines())
    assert first == {"stage": "correcting"}
    assert bars[0]["done"] == 0 and bars[0]["seconds_left"] is None
    assert bars[-1] == {
        **{"name": "clip", "unit": "pair", "done": 4, "total": 4, "seconds_left": 0.0},
    }


@pytest.mark.parametrize("words", [(), ("--quiet",)])
def test_bars_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with console(chosen(*words)), progress_bar(total=2, desc="clip", unit="pair") as bar:
        bar.update(2)
    assert ("clip" in capsys.readouterr().err) == (not words)
