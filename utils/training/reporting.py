"""Show and record a training run while it goes."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from data.files.folders import replacing
from utils.errors import InputError
from utils.training.experiment import Experiment
from utils.training.step import Progress, StepResult


class Reporter:
    """Progress bar, log and records of the main process; the others' are silent."""

    def __init__(self, experiment: Experiment, progress: Progress) -> None:
        """Open the records at the step that the run starts from.

        Raises:
            InputError: the records cannot be written.
        """
        self._experiment = experiment
        main = experiment.processes.is_main
        self._recorder = Recorder(experiment.folder, progress.step) if main else None
        self._bar = tqdm(
            total=experiment.options.train.iterations,
            initial=progress.step,
            unit="step",
            dynamic_ncols=True,
            disable=None if main else True,  # None: only on a terminal
        )
        self._batch_size = experiment.options.datasets.train.dataloader_batch_size
        self._last = (progress.step, time.perf_counter())

    def step(self, progress: Progress, result: StepResult) -> None:
        """Report a step; every `checkpoint_print` steps, the mean losses since the last time.

        Raises:
            InputError: the records cannot be written.
        """
        if result.skipped:
            self._experiment.log.warning(
                "step %d: skipped, its loss or gradient is not finite (%d in a row)",
                progress.step,
                progress.skipped_in_a_row,
            )
        self._bar.update()
        if not self._bar.disable:
            self._bar.set_postfix(self._shown(result), refresh=False)
        if progress.step % self._experiment.options.train.checkpoint_print == 0:
            self._record(progress, result)

    def values(self, step: int, values: Mapping[str, float]) -> None:
        """Report named numbers of a step.

        Raises:
            InputError: the records cannot be written.
        """
        if self._recorder is not None:
            self._recorder.write(step, values)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._experiment.log.info("step %d: %s", step, shown)

    def image(self, step: int, strip: Tensor) -> None:
        """Record a (3, H, W) strip of images of a step."""
        if self._recorder is not None:
            self._recorder.show(step, "inputs, frames, reference", strip)

    def close(self) -> None:
        """Write out what is pending."""
        self._bar.close()
        if self._recorder is not None:
            self._recorder.close()

    def _record(self, progress: Progress, result: StepResult) -> None:
        values = progress.take_means()
        values["learning_rate"] = result.rate
        values["samples_per_second"] = self._pace(progress.step)
        values["skipped"] = progress.skipped
        self.values(progress.step, values)

    def _pace(self, step: int) -> float:
        """Samples per second since this was last asked."""
        (last_step, last_time), now = self._last, time.perf_counter()
        self._last = (step, now)
        return self._batch_size * (step - last_step) / (now - last_time)

    def _shown(self, result: StepResult) -> dict[str, str]:
        """What stands beside the progress bar."""
        steps_per_second = self._bar.format_dict["rate"] or 0.0
        losses = {name: f"{value:.4g}" for name, value in result.losses.items()}
        pace = f"{self._batch_size * steps_per_second:.3g}"
        return losses | {"learning_rate": f"{result.rate:.3g}", "samples/s": pace}


class Recorder:
    """Appends to the records of an experiment, from the step it resumed at."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open the records and drop those beyond `first_step`, which will be written again.

        Raises:
            InputError: the records cannot be written.
        """
        self.path = folder / "metrics.jsonl"
        _drop_beyond(self.path, first_step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step; those that are not finite become null.

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
        """Write out what is pending."""
        self._board.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records of a `metrics.jsonl`; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            records.append(json.loads(line))
    return records


def _drop_beyond(path: Path, step: int) -> None:
    """Keep the records up to and including `step`; none of them if that is 0, a new start."""
    kept = [record for record in read_records(path) if step and record["step"] <= step]
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
