"""The training scripts as users start, kill and restart them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import main_train_stage1
import main_train_stage2
from utils.checkpoint import latest, load_generator, load_training
from utils.options.command_line import run
from utils.training.reporting import read_records

ROOT = Path(__file__).parents[2]
STAGE1, STAGE2 = "main_train_stage1.py", "main_train_stage2.py"
SMOKE, SMOKE_STAGE2 = "options/smoke.json", "options/smoke_stage2.json"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
LAUNCH = ["-m", "torch.distributed.launch", "--standalone", "--nproc_per_node=2"]

STEPS = 28
# Many quick steps, so that a kill finds the run in the middle.
QUICK = [
    *("netG.n_feats=8", "netG.width=0.04", "datasets.valid=null"),
    *(f"train.iterations={STEPS}", "train.threads=1", "train.checkpoint_print=1"),
    *("train.checkpoint_save=7", "train.checkpoint_test=1000", "train.G_scheduler_periods=28"),
    *("train.objective=supervised", "train.G_optimizer_lr=1e-3"),
]


def command(root: Path, *, launcher: Sequence[str] = (), dist: bool = False) -> list[str]:
    words = [sys.executable, *launcher, STAGE1, "--opt", SMOKE]
    words += ["--set", f"path.root={root}", "task=quick", *QUICK]
    return [*words, "--dist", "True"] if dist else words


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def complete(words: Sequence[str]) -> None:
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)


def interrupt(
    words: Sequence[str], root: Path, number: int, *, after: int, worker: bool = False
) -> int:
    """Start a run, send a signal after a step, return its exit status."""
    with subprocess.Popen(words, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL) as process:
        while len(read_records(root / "quick" / "metrics.jsonl")) < after:
            assert process.poll() is None, "the run ended before it could be interrupted"
            time.sleep(0.01)
        os.kill(first_child(process.pid) if worker else process.pid, number)
        return process.wait(timeout=60)


def first_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        pytest.skip("finding a launcher's processes needs Linux's /proc")
    return int(children.read_text().split()[0])


def assert_equal_runs(root: Path, other: Path) -> None:
    one, two = (
        load_training(folder / "quick" / "checkpoints" / f"step_{STEPS:08d}.pt")
        for folder in (root, other)
    )
    for name, weight in one.network.items():
        assert torch.equal(weight, two.network[name]), name
    steps = [record["step"] for record in read_records(root / "quick" / "metrics.jsonl")]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_terminated_killed_and_resumed_equals_the_unbroken_run(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    complete(command(unbroken))
    words = command(broken)
    assert interrupt(words, broken, signal.SIGTERM, after=8) == 128 + signal.SIGTERM
    newest = latest(broken / "quick" / "checkpoints")
    assert newest is not None
    assert 8 <= load_training(newest).step < STEPS
    assert "stopped by SIGTERM" in (broken / "quick" / "train.log").read_text()
    assert interrupt(words, broken, signal.SIGKILL, after=16) == -signal.SIGKILL
    newest = latest(broken / "quick" / "checkpoints")
    assert newest is not None
    assert load_training(newest).step in (14, 21)
    complete(words)
    assert_equal_runs(broken, unbroken)


@pytest.mark.slow
def test_two_processes_terminated_killed_and_resumed_equal_the_unbroken_run(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    complete(command(unbroken, launcher=LAUNCH, dist=True))
    words = command(broken, launcher=TORCHRUN)
    assert interrupt(words, broken, signal.SIGTERM, after=8) != 0
    assert "stopped by SIGTERM" in (broken / "quick" / "train.log").read_text()
    assert interrupt(words, broken, signal.SIGKILL, after=16, worker=True) != 0
    newest = latest(broken / "quick" / "checkpoints")
    assert newest is not None
    state = load_training(newest)
    assert state.step in (14, 21)
    assert len(state.random) == 2
    complete(words)
    assert_equal_runs(broken, unbroken)


@pytest.mark.slow
def test_smoke_options_train_both_stages(tmp_path: Path) -> None:
    root, stage1 = f"path.root={tmp_path}", tmp_path / "smoke_stage1" / "generator.safetensors"
    start = time.monotonic()
    complete([sys.executable, STAGE1, "--opt", SMOKE, "--set", root])
    set_stage2 = [root, f"path.pretrained_netG={stage1}"]
    complete([sys.executable, STAGE2, "--opt", SMOKE_STAGE2, "--set", *set_stage2])
    assert time.monotonic() - start < 60
    folder = tmp_path / "smoke_stage2"
    assert load_generator(folder / "generator.safetensors").width == 0.25
    newest = latest(folder / "checkpoints")
    assert newest is not None
    state, teacher = load_training(newest), load_generator(stage1).state_dict()
    assert state.teacher is not None
    assert all(torch.equal(weight, teacher[name]) for name, weight in state.teacher.items())
    recorded = read_records(folder / "metrics.jsonl")
    assert {"total", "Charbonnier", "TeacherCharbonnier"} < recorded[1].keys()
    assert json.loads((folder / "options.json").read_text())["task"] == "smoke_stage2"


@pytest.mark.parametrize(
    ("script", "file", "overrides", "message"),
    [
        (main_train_stage1, SMOKE, ["train.iteratons=3"], "did you mean 'train.iterations'?"),
        (main_train_stage1, SMOKE, ["train.iterations=0"], "must be greater than 0, got 0"),
        (main_train_stage1, SMOKE, ["datasets.train.patch_size=256"], "larger than the scene"),
        (main_train_stage1, "none.json", [], "none.json: cannot read the option file"),
        (main_train_stage1, SMOKE_STAGE2, [], "must be 'cycle' or 'supervised' for this script"),
        (main_train_stage2, SMOKE, [], "must be 'distillation' for this script, got 'cycle'"),
        (
            main_train_stage1,
            SMOKE,
            ["path.pretrained_netG=none.pth"],
            "none.pth: expected a weight",
        ),
        (main_train_stage2, SMOKE_STAGE2, ["path.pretrained_netG=none.pth"], "no such file"),
        (main_train_stage1, SMOKE, ["path.pretrained_rsg=none.pth"], "none.pth: expected"),
        (main_train_stage1, SMOKE, ["datasets.train.data_root=none"], "none: expected a folder"),
        (main_train_stage1, "options/train_stage1.json", ["device=cpu"], "datasets/RS-GOPRO"),
        (main_train_stage1, SMOKE, ["device=cuda"], "'cuda' asked for, but PyTorch finds no CUDA"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, script, file, overrides, message
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    overrides = [f"path.root={tmp_path / 'out'}", *overrides]
    monkeypatch.setattr(sys, "argv", [script.__file__, "--opt", file, "--set", *overrides])
    with pytest.raises(SystemExit) as caught:
        run(script.main)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
