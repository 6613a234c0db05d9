"""Progress bar, log and records of a training run."""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from data.files.folders import replacing
from utils.errors import InputError
from utils.system.console import is_quiet, progress_bar, record
from utils.training.experiment import Experiment
from utils.training.records.announcement import format_duration
from utils.training.records.pictures import keep_picture
from utils.training.step import Progress, StepResult

_SHOWN_LINES = 5


class Reporter:
    """Progress bar, log and records; only the main process shows and writes them."""

    def __init__(self, experiment: Experiment, progress: Progress) -> None:
        """Open the records at the step that the run starts from.

        Raises:
            InputError: the records cannot be written.
        """
        self._experiment = experiment
        main = experiment.processes.is_main
        self._recorder = Recorder(experiment.folder, progress.step) if main else None
        if self._recorder is not None and self._recorder.note:
            experiment.log.warning("%s", self._recorder.note)
        self._bar = progress_bar(
            shown=main,
            total=experiment.options.train.steps,
            initial=progress.step,
            unit="step",
            dynamic_ncols=True,
        )
        self._batch_size = experiment.options.datasets.train.dataloader_batch_size
        self._last = (progress.step, time.perf_counter())

    def advance(self) -> None:
        """Show that a step was begun."""
        self._bar.update()

    def step(self, progress: Progress, result: StepResult) -> None:
        """Report a step's result; every `checkpoint_print` steps, mean losses since the last time.

        Raises:
            InputError: the records cannot be written.
        """
        if result.skipped:
            self._experiment.log.warning(
                "step %d: skipped, its loss or gradient is not finite (%d in a row)",
                progress.step,
                progress.skipped_in_a_row,
            )
        if not self._bar.disable:
            losses = {name: f"{value:.4g}" for name, value in result.losses.items()}
            pace = f"{self._batch_size * (self._bar.format_dict['rate'] or 0.0):.3g}"
            shown = losses | {"learning_rate": f"{result.rate:.3g}", "samples/s": pace}
            self._bar.set_postfix(shown, refresh=False)
        if progress.step % self._experiment.options.train.checkpoint_print == 0:
            (last_step, last_time), now = self._last, time.perf_counter()
            self._last = (progress.step, now)
            values = progress.take_means()
            values["learning_rate"] = result.rate
            values["samples_per_second"] = (
                self._batch_size * (progress.step - last_step) / (now - last_time)
            )
            values["skipped"] = progress.skipped
            seconds = (now - last_time) / (progress.step - last_step)
            left = seconds * (self._experiment.options.train.steps - progress.step)
            self.values(progress.step, values, note=f", time left {format_duration(left)}")

    def values(self, step: int, values: Mapping[str, float], *, note: str = "") -> None:
        """Report named numbers of a step; the note is for the log only.

        Raises:
            InputError: the records cannot be written.
        """
        if self._recorder is not None:
            self._recorder.write(step, values)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._experiment.log.info("step %d: %s%s", step, shown, note)

    def image(self, step: int, strip: Tensor) -> None:
        """Record a (3, H, W) strip of images of a step."""
        if self._recorder is not None:
            self._recorder.show(step, "inputs, frames, reference", strip)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Keep a (3, H, W) picture of a validation capture, in TensorBoard and on disk.

        Raises:
            InputError: no space left or no permission.
        """
        if self._recorder is not None:
            self._recorder.show(step, f"validation/{name}", picture)
            keep_picture(self._experiment.folder / "validation", name, step, picture)

    def close(self) -> None:
        """Flush records and close the progress bar."""
        self._bar.close()
        if self._recorder is not None:
            self._recorder.close()


class Recorder:
    """Appends to the records of an experiment: `metrics.jsonl` and TensorBoard.

    Attributes:
        path: of `metrics.jsonl`.
        note: one line about lines of it that could not be read and were dropped, or "".
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the records and drop those after `first_step`, whose steps will be repeated.

        Raises:
            InputError: the records cannot be written.
        """
        self.path = folder / "metrics.jsonl"
        # A new start, at step 0, keeps none.
        records, dropped = sift_records(self.path) if first_step else ([], [])
        self.note = _describe_dropped(self.path, dropped)
        kept = [record for record in records if record["step"] <= first_step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step; NaN and infinity become null.

        Raises:
            InputError: no space left or no permission.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **finite}) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot write there: {error.strerror}") from error
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def show(self, step: int, name: str, image: Tensor) -> None:
        """Record a (3, H, W) image in [0, 1] of a step."""
        self._board.add_image(name, image.clamp(0, 1), step)

    def close(self) -> None:
        """Flush the TensorBoard records."""
        self._board.close()


def report_end(experiment: Experiment, line: str) -> None:
    """Say how a run ended: in the log, as the last line with `--quiet`, and for `--json`."""
    experiment.log.info("%s", line)
    if is_quiet():
        sys.stdout.write(f"{line}\n")
    records = read_records(experiment.folder / "metrics.jsonl")
    steps = experiment.options.train.steps
    last = {name: value for each in records for name, value in each.items()}
    record(folder=str(experiment.folder), steps=steps, last=last)


def _describe_dropped(path: Path, lines: Sequence[int]) -> str:
    """One line about the lines of a file that were dropped, "" if none were."""
    if not lines:
        return ""
    shown = ", ".join(str(number) for number in lines[:_SHOWN_LINES])
    more = ", ..." if lines[_SHOWN_LINES:] else ""
    return f"{path}: {len(lines)} lines hold no record and are dropped (line {shown}{more})"


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a `metrics.jsonl`, without lines that cannot be read; see `sift_records`."""
    return sift_records(path)[0]


def sift_records(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The records of a `metrics.jsonl`, and the numbers of the lines that hold none.

    A kill or a power loss leaves a last line cut short, blank lines, NUL characters or garbage.

    Returns:
        Objects with a whole number "step" and numbers or nulls; line numbers count from 1.
    """
    if not path.exists():
        return [], []
    records, dropped = [], []
    *lines, rest = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        record = _parse_record(line)
        if record is None:
            dropped.append(number)
        else:
            records.append(record)
    if rest:
        dropped.append(len(lines) + 1)
    return records, dropped


def _parse_record(line: bytes) -> dict[str, Any] | None:
    """The record of a line, None if it holds none."""
    try:
        record = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):  # not UTF-8, or not JSON
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return None
    numbers = all(value is None or type(value) in (int, float) for value in record.values())
    return record if numbers else None
