"""Work shared among processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.helpers.script_runs import ROOT
from utils.errors import InputError
from utils.system import workers
from utils.system.distributed import Processes
from utils.system.workers import count_jobs, run_in_workers, split

ALONE = Processes(torch.device("cpu"))


def test_stretches_are_neighbours_and_the_last_are_longer() -> None:
    assert split(range(13), 2) == [range(6), range(6, 13)]
    assert split([1, 4, 5, 9], 3) == [[1], [4], [5, 9]]
    assert split([], 2) == [[], []]


@pytest.mark.parametrize(
    ("asked", "given", "jobs"),
    [
        ("auto", {}, 4),
        ("auto", {"pieces": 3}, 3),
        ("auto", {"pixels": 640 * 360 * 9}, 1),  # nine pairs of 640x360 pay for one process
        ("auto", {"pixels": 640 * 360 * 10}, 2),
        ("auto", {"bytes_each": 3e9}, 2),
        ("auto", {"bytes_each": 30e9}, 1),
        (2, {"pixels": 1, "bytes_each": 30e9}, 2),
        (100, {"pieces": 3}, 3),
        (1, {}, 1),
    ],
)
def test_jobs_are_as_many_as_pay(
    asked: int, given: dict[str, float], jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "free_memory", lambda _: 8e9)
    monkeypatch.setattr(workers, "_usable_cores", lambda: 4)
    work = {"pieces": 13, "pixels": 640 * 360 * 100, "bytes_each": 1e9} | given
    assert count_jobs(asked, ALONE, **work) == jobs


def test_a_gpu_and_a_launcher_have_one_job_unless_asked_for() -> None:
    work = {"pieces": 13, "pixels": 1 << 30, "bytes_each": 1.0}
    for processes in (Processes(torch.device("cuda")), Processes(torch.device("cpu"), 0, 2)):
        assert count_jobs("auto", processes, **work) == 1
        assert count_jobs(3, processes, **work) == 3


def describe(scale: int, share: Sequence[int], advance: Callable[[], object]) -> list[int]:
    """The share, scaled, then the number of threads and of the process."""
    for _ in share:
        advance()
    return [*(scale * number for number in share), torch.get_num_threads(), os.getpid()]


def fail(share: int, advance: Callable[[], object]) -> None:
    """Fail in the way of this number; the last one would never end."""
    if share == 0:
        raise InputError("a.png: damaged", "b.png: damaged, too")
    if share == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    advance()
    time.sleep(1000)


@pytest.mark.slow
def test_results_come_in_order_from_processes_of_their_own() -> None:
    steps: list[None] = []
    shares = split(range(5), 2)
    first, second = run_in_workers(partial(describe, 10), shares, lambda: steps.append(None))
    assert first[:2] == [0, 10] and second[:3] == [20, 30, 40]
    assert len(steps) == 5
    assert first[-2] == max(torch.get_num_threads() // 2, 1)
    assert len({first[-1], second[-1], os.getpid()}) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (0, "^a.png: damaged\nb.png: damaged, too$"),
        (1, r"a worker process ended unexpectedly \(status -9\); if memory ran out, lower --jobs"),
    ],
)
def test_a_failure_stops_all(number: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_in_workers(fail, [2, number])


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path: Path, end: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import signal\n"
        "from utils.options.command_line import run\n"
        # Where a shell runs the tests in the background, it has them ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def main():\n"
        "    from tests.utils.system.test_workers import fail\n"
        "    from utils.system.workers import run_in_workers\n"
        "    run_in_workers(fail, [2, 2], lambda: print('begun', flush=True))\n"
        "if __name__ == '__main__':\n"
        "    run(main)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        # Ctrl-C of a terminal goes to all processes of the group.
        (os.killpg if end == signal.SIGINT else os.kill)(process.pid, end)
        assert process.stdout.read() == ""  # ends when the last process has closed it
        said = process.stderr.read()
    assert said == ("interrupted\n" if end == signal.SIGINT else "")
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(end, -end)
