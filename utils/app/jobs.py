"""Corrections in processes of their own: cancelling is real, and their memory is freed."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from data.files.folders import remove
from utils.app.request import ROOT
from utils.errors import InputError

SCRIPT = ROOT / "main_test_real.py"

_TICK = 0.5  # seconds between two reports of a job that says nothing
_PATIENCE = 10.0  # seconds for a job to end by itself
_LOG_LINES = 2000


class Report(NamedTuple):
    """Where a job stands.

    Attributes:
        stage: as `utils.system.console.stage` names it.
        seconds: since its start.
        bar: of the stage as `--progress lines` writes it, None where it has none.
    """

    stage: str
    seconds: float
    bar: dict[str, Any] | None = None


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        status: exit status of the script.
        summary: its JSON object; empty if it ended without one.
        log: its last lines on stderr.
        cancelled: whether it was cancelled.
    """

    status: int
    summary: dict[str, Any]
    log: list[str]
    cancelled: bool


@dataclass
class _Job:
    folder: Path
    process: subprocess.Popen[str] | None = None
    cancelled: bool = False


@dataclass
class Jobs:
    """The jobs of a page; each owner, which is an open page in a browser, has one folder at a time.

    Attributes:
        root: where the folders of the jobs are made.
    """

    root: Path
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open_folder(self, owner: str) -> Path:
        """A new folder for an owner; the one before is removed with all that is in it.

        Raises:
            InputError: the owner has a job that runs.
            OSError: no space left.
        """
        with self._lock:
            earlier = self._jobs.get(owner)
            if earlier is not None and earlier.process is not None:
                raise InputError("your last correction still runs: wait for it or cancel it")
            if earlier is not None:
                remove(earlier.folder)
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.root))
            self._jobs[owner] = _Job(folder)
            return folder

    def run(self, owner: str, words: Sequence[str]) -> Generator[Report, None, Outcome]:
        """Run `main_test_real.py` in the owner's folder, and report until it has ended.

        Closing the generator ends the job.
        """
        job, begin = self._jobs[owner], time.monotonic()
        messages = ["--json", "--progress", "lines"]
        lines: queue.Queue[str] = queue.Queue()
        log: list[str] = []
        with (job.folder / "summary.json").open("w+", encoding="utf-8") as summary:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *words, *messages],
                cwd=job.folder,
                stdin=subprocess.DEVNULL,
                stdout=summary,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # its ffmpeg ends with it
            )
            with self._lock:
                job.process = process
            reader = threading.Thread(target=_read_lines, args=(process, lines), daemon=True)
            reader.start()
            report = Report("starting", 0.0)
            try:
                while process.poll() is None or not lines.empty():
                    yield report._replace(seconds=time.monotonic() - begin)
                    report = _next_report(report, lines, log)
                    if job.cancelled:
                        _end(process)
            finally:
                _end(process)
                reader.join(_PATIENCE)
                with self._lock:
                    job.process = None
            summary.seek(0)
            return Outcome(process.returncode, _parse(summary.read()), log, job.cancelled)

    def cancel(self, owner: str) -> bool:
        """End the owner's job; whether there was one."""
        with self._lock:
            job = self._jobs.get(owner)
            if job is None or job.process is None:
                return False
            job.cancelled = True
            _signal(job.process, signal.SIGTERM)
            return True

    def forget(self, owner: str, folder: Path | None = None) -> None:
        """End the owner's job and remove its folder.

        Args:
            owner: who started it.
            folder: of the job that is meant, by default the owner's last one; a later job of the
                same owner stays.
        """
        with self._lock:
            job = self._jobs.get(owner)
            if job is None or folder not in (None, job.folder):
                return
            del self._jobs[owner]
        job.cancelled = True
        if job.process is not None:
            _end(job.process)
        remove(job.folder)

    def close(self) -> None:
        """End all jobs and remove their folders."""
        for owner in [*self._jobs]:
            self.forget(owner)


def _next_report(report: Report, lines: "queue.Queue[str]", log: list[str]) -> Report:
    """The report after the next line; the same one if none comes."""
    try:
        line = lines.get(timeout=_TICK)
    except queue.Empty:
        return report
    state = _parse(line).get("progress") if line.startswith('{"progress"') else None
    if not isinstance(state, dict):
        log.append(line)
        del log[:-_LOG_LINES]
        return report
    if "stage" in state:
        return Report(str(state["stage"]), report.seconds)
    return report._replace(bar=state)


def _read_lines(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    assert process.stderr is not None
    with process.stderr as stream:
        for line in stream:
            lines.put(line.rstrip("\n"))


def _parse(text: str) -> dict[str, Any]:
    """The JSON object of a text, {} if it holds none: a killed job leaves nothing or a part."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask a job to end, then end it."""
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process: "subprocess.Popen[str]", number: int) -> None:
    """Signal a job and what it has started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, number)
