"""Jobs are processes that report, end when they are cancelled, and leave nothing."""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from data.files.videos import write_video
from tests.helpers.clips import moving_clip
from utils.app import jobs as module
from utils.app.jobs import Jobs, Outcome, Report
from utils.errors import InputError

SPEAKS = """
import json, sys
def say(**state): sys.stderr.write(json.dumps({"progress": state}) + "\\n"); sys.stderr.flush()
say(stage="checking")
sys.stderr.write("a remark\\n")
say(stage="correcting")
say(name="x", unit="pair", done=1, total=2, seconds_left=1.0)
json.dump({"results": [sys.argv[1]], "words": sys.argv[2:]}, sys.stdout)
sys.exit(3)
"""
WAITS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
sys.stderr.write(f"child {child.pid}\\n"); sys.stderr.flush()
open("half written", "w").close()
time.sleep(60)
"""
DOES_NOT_LISTEN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for `main_test_real.py`."""
    path = tmp_path / "script.py"
    monkeypatch.setattr(module, "SCRIPT", path)
    monkeypatch.setattr(module, "_TICK", 0.05)
    return path


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    root = tmp_path / "root"
    root.mkdir()
    return Jobs(root)


def finish(run: Generator[Report, None, Outcome]) -> tuple[list[Report], Outcome]:
    reports = []
    while True:
        try:
            reports.append(next(run))
        except StopIteration as end:
            return reports, end.value


def is_running(number: int) -> bool:
    """Whether a process is neither gone nor only not yet waited for."""
    stat = Path(f"/proc/{number}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_job_reports_and_gives_its_summary(jobs: Jobs, script: Path) -> None:
    script.write_text(SPEAKS)
    folder = jobs.open_folder("one")
    reports, outcome = finish(jobs.run("one", ["left.png"]))
    assert [*dict.fromkeys(report.stage for report in reports)][0] == "starting"
    assert {report.stage for report in reports} <= {"starting", "checking", "correcting"}
    assert outcome.status == 3 and outcome.log == ["a remark"] and not outcome.cancelled
    assert outcome.summary == {
        "results": ["left.png"],
        "words": ["--json", "--progress", "lines"],
    }
    assert folder.is_dir()
    jobs.forget("one")
    assert not any(jobs.root.iterdir())


def start_waiting(
    jobs: Jobs, script: Path, owner: str, *, before: str = ""
) -> tuple[Generator[Report, None, Outcome], int]:
    """A job that has begun and its process; it would take a minute."""
    script.write_text(before + WAITS)
    folder = jobs.open_folder(owner)
    run = jobs.run(owner, [])
    end = time.monotonic() + 60
    while not (folder / "half written").exists():
        next(run)
        assert time.monotonic() < end
    process = jobs._jobs[owner].process
    assert process is not None
    return run, process.pid


def test_cancelling_ends_the_process_and_what_it_started(jobs: Jobs, script: Path) -> None:
    run, number = start_waiting(jobs, script, "one")
    assert jobs.cancel("one")
    _, outcome = finish(run)
    assert outcome.cancelled and outcome.status == -signal.SIGTERM and outcome.summary == {}
    [child] = [int(line.split()[1]) for line in outcome.log if line.startswith("child")]
    end = time.monotonic() + 10
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_running(number) and not is_running(child)
    assert not jobs.cancel("one")
    jobs.forget("one")
    assert not any(jobs.root.iterdir())


def test_closing_the_reports_ends_the_job(jobs: Jobs, script: Path) -> None:
    run, number = start_waiting(jobs, script, "one")
    run.close()
    assert not is_running(number)
    jobs.close()
    assert not any(jobs.root.iterdir())


def test_a_job_that_does_not_listen_is_killed(
    jobs: Jobs, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    run, number = start_waiting(jobs, script, "one", before=DOES_NOT_LISTEN)
    assert jobs.cancel("one")
    _, outcome = finish(run)
    assert outcome.status == -signal.SIGKILL and outcome.cancelled and not is_running(number)


def test_each_owner_has_one_folder(jobs: Jobs, script: Path) -> None:
    first = jobs.open_folder("one")
    (first / "result").touch()
    other = jobs.open_folder("other")
    second = jobs.open_folder("one")
    assert not first.exists() and other.exists() and second.exists()
    run, _ = start_waiting(jobs, script, "one")
    with pytest.raises(InputError, match="still runs: wait for it or cancel it"):
        jobs.open_folder("one")
    run.close()
    jobs.close()
    assert not any(jobs.root.iterdir())


def test_a_killed_job_has_no_summary(jobs: Jobs, script: Path) -> None:
    run, number = start_waiting(jobs, script, "one")
    os.killpg(number, signal.SIGKILL)
    _, outcome = finish(run)
    assert (outcome.status, outcome.summary, outcome.cancelled) == (-9, {}, False)


def test_forgetting_an_earlier_job_leaves_the_later_one(jobs: Jobs, script: Path) -> None:
    earlier = jobs.open_folder("one")
    run, number = start_waiting(jobs, script, "one")
    jobs.forget("one", earlier)
    assert is_running(number)
    jobs.forget("one")
    assert not is_running(number) and not any(jobs.root.iterdir())
    assert finish(run)[1].cancelled


def group_of(number: int) -> list[int]:
    """The processes of a process group that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(group) == number and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cancelled_clip_leaves_no_workers_and_no_files(jobs: Jobs, tmp_path: Path) -> None:
    t2b, b2t = zip(*moving_clip(40), strict=True)
    for name, frames in (("l", t2b), ("r", b2t)):
        write_video(tmp_path / f"{name}.mp4", frames, 25)
    folder = jobs.open_folder("one")
    words = ["--t2b", str(tmp_path / "l.mp4"), "--b2t", str(tmp_path / "r.mp4")]
    words += ["--output", str(folder / "out"), "--frames", "9", "--set", "jobs=2"]
    run = jobs.run("one", words)
    for report in run:
        if report.bar and report.bar["done"] > 1:
            break
    process = jobs._jobs["one"].process
    assert process is not None and len(group_of(process.pid)) >= 3, "expected two workers"
    assert [*folder.rglob("part_*")] or [*folder.rglob(".*")]
    assert jobs.cancel("one")
    _, outcome = finish(run)
    assert outcome.cancelled and outcome.status == 128 + signal.SIGTERM
    assert group_of(process.pid) == []
    jobs.forget("one")
    assert not any(jobs.root.iterdir())
