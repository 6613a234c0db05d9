"""Arguments shared by the scripts, and errors as one line."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from utils.errors import InputError
from utils.options.command_line import (
    add_training_arguments,
    explain_failure,
    parse_arguments,
    run,
    wait_without_spinning,
)


@pytest.fixture
def arguments(monkeypatch: pytest.MonkeyPatch):
    def give(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["script.py", *words])

    return give


def test_overrides_add_up(arguments) -> None:
    arguments("--opt", "a.json", "--set", "x=1", "y.z=2", "--set", "w=3")
    parsed = parse_arguments("What it does.")
    assert parsed.opt == "a.json"
    assert parsed.set == ["x=1", "y.z=2", "w=3"]


def test_options_are_required_unless_there_is_a_default(arguments, capsys) -> None:
    arguments()
    assert parse_arguments("What.", default_options="b.json").opt == "b.json"
    with pytest.raises(SystemExit) as caught:
        parse_arguments("What.")
    assert caught.value.code == 2
    assert "--opt" in capsys.readouterr().err


def test_a_pattern_that_the_shell_expanded_is_one_line(arguments, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in "abc"]
    for file in files:
        Path(file).touch()
    arguments("--opt", *files)
    with pytest.raises(InputError, match="/b: expected one path .*, got 2 more; .* quote it"):
        parse_arguments("What.")
    arguments("--opt", "x", "unknown")
    with pytest.raises(SystemExit):
        parse_arguments("What.")


def test_the_home_folder_in_arguments(arguments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    arguments("--opt", "~/x.json")
    assert parse_arguments("What.").opt == "/home/me/x.json"


@pytest.mark.parametrize("spelling", ["--local-rank", "--local_rank"])
def test_launcher_arguments_are_accepted(arguments, spelling: str) -> None:
    arguments(f"{spelling}=1", "--opt", "a.json", "--dist", "True")
    assert parse_arguments("What.").dist == "True"


def test_resume(arguments) -> None:
    arguments("--opt", "a.json")
    assert parse_arguments("What.", extra=add_training_arguments).resume == "auto"
    arguments("--opt", "a.json", "--resume", "x/step_00000010.pt")
    parsed = parse_arguments("What.", extra=add_training_arguments)
    assert parsed.resume == "x/step_00000010.pt"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_memory_that_runs_out_is_one_line(capsys, error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 1
    expected = "error: out of memory; ask for fewer frames, or for smaller ones\n"
    assert capsys.readouterr().err == expected


def test_an_operation_that_the_device_lacks_is_one_line(capsys) -> None:
    def cumulate() -> None:
        torch.zeros(2, 2).to_mkldnn().cumsum(0)

    with pytest.raises(SystemExit) as caught:
        run(cumulate)
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "error: the device MkldnnCPU lacks PyTorch's operation aten::cumsum.out; set device to "
        "'cpu'\n"
    )
    on_a_mac = "The operator 'aten::lu_solve' is not currently implemented for the MPS device. If"
    assert explain_failure(NotImplementedError(on_a_mac)) == (
        "error: the device MPS lacks PyTorch's operation aten::lu_solve; set device to 'cpu'",
        1,
    )
    assert explain_failure(NotImplementedError("a method of ours")) is None


def test_bad_input_is_one_line_and_status_1(capsys) -> None:
    def main() -> None:
        raise InputError("a.png: no such image")

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: a.png: no such image\n"


PROGRAM = """
import sys
from utils.options.command_line import run
from utils.errors import InputError

def main():
    for _ in range(int(sys.argv[1])):
        print("w\u00fcrzburg" * 1000)
    raise InputError("stra\u00dfe.png: no such image")

run(main)
"""


def test_names_beyond_the_terminal_s_characters_are_escaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "error: stra\\xdfe.png: no such image\n"
    assert done.stdout.startswith("w\\xfcrzburg")


def test_readers_may_leave_early() -> None:
    words = [sys.executable, "-c", PROGRAM, "1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        words = [
            sys.executable,
            "-c",
            "from utils.options.command_line import run; run(lambda: print('x'))",
        ]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: output: No space left on device\n")


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(lambda: open("x" * 300).close())
    assert capsys.readouterr().err == f"error: {'x' * 300}: File name too long\n"


def test_sigterm_cleans_up() -> None:
    program = """
import os, signal, tempfile
from utils.options.command_line import run

def main():
    with tempfile.TemporaryDirectory() as folder:
        print(folder, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

run(main)
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (KeyboardInterrupt(), "interrupted\n"),
        (KeyboardInterrupt("nothing is kept"), "interrupted: nothing is kept\n"),
    ],
)
def test_interrupt_is_status_130(capsys, stop: KeyboardInterrupt, said: str) -> None:
    def main() -> None:
        raise stop

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 130
    assert capsys.readouterr().err == said


def test_defects_keep_their_traceback() -> None:
    def main() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        run(main)


@pytest.mark.parametrize("chosen", [None, "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_threads_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "as it was")
        monkeypatch.delenv(name)
    if chosen is not None:
        monkeypatch.setenv(chosen, "mine")
    wait_without_spinning()
    expected = {None: "PASSIVE", "OMP_WAIT_POLICY": "mine"}.get(chosen)
    assert os.environ.get("OMP_WAIT_POLICY") == expected


@pytest.mark.parametrize("script", sorted(Path(__file__).parents[3].glob("main_*.py")), ids=str)
def test_scripts_import_inside_main_what_takes_time(script: Path) -> None:
    """An interrupt at start-up is one line, and PyTorch sees how its threads should wait."""
    statements = ast.parse(script.read_text(encoding="utf-8")).body
    imported = {each.module for each in statements if isinstance(each, ast.ImportFrom)}
    assert imported - {"pathlib"} == {"utils.options.command_line"}
