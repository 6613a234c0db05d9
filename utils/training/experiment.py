"""The folder of a training run: its files, and the checkpoint to resume from."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from data.files.folders import lock_folder, prepare_output_folder, remove_unfinished, replacing
from data.files.versions import find_versions, uncommitted_changes
from models.losses.table import full_gradient_terms
from utils.checkpoint import latest, latest_sound
from utils.errors import InputError
from utils.options.flow_training import FlowTrainingOptions
from utils.options.interpolator_training import AnyTrainingOptions, InterpolatorTrainingOptions
from utils.options.seeds import SEED_FOLDER
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.system.logger import open_log

Options = TypeVar("Options", TrainingOptions, FlowTrainingOptions, InterpolatorTrainingOptions)


@dataclass(frozen=True)
class Experiment:
    """Options, processes, folder and log of a training run.

    Attributes:
        options: of the run.
        processes: that train together.
        folder: `path.root`/`task`.
        checkpoint: the training checkpoint to resume from, if any.
        versions: of Python, packages and code; number of processes and their devices.
        log: of this process.
    """

    options: AnyTrainingOptions
    processes: Processes
    folder: Path
    checkpoint: Path | None
    versions: dict[str, str]
    log: logging.Logger

    @property
    def checkpoints(self) -> Path:
        """The folder of the training checkpoints and the best weights."""
        return self.folder / "checkpoints"

    def record_start(self, step: int) -> None:
        """Write options and versions, and add a line to `history.jsonl`; if steps are taken.

        Changes of the code that no commit has are kept in `uncommitted_HASH.diff`.

        Args:
            step: finished steps at the start.

        Raises:
            InputError: no space left or no permission.
        """
        options = self.options.model_dump(mode="json")
        if "uncommitted" in self.versions:
            path = self.folder / f"uncommitted_{self.versions['uncommitted']}.diff"
            with replacing(path) as temporary:
                temporary.write_text(uncommitted_changes() + "\n", encoding="utf-8")
        write_json(self.folder / "options.json", options)
        write_json(self.folder / "versions.json", self.versions)
        start = {"step": step, "options": options, "versions": self.versions}
        history = self.folder / "history.jsonl"
        try:
            with history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(start) + "\n")
        except OSError as error:
            raise InputError(f"{history}: cannot write there: {error.strerror}") from error

    def record_early_end(self, step: int) -> None:
        """Correct `train.iterations` in the record of a run that is ended at `step`.

        Raises:
            InputError: no space left or no permission.
        """
        self.log.info("ended early, after %d steps", step)
        write_json(self.folder / "options.json", self.options.model_dump(mode="json"))


def with_epochs(options: Options, epoch_steps: int | None) -> Options:
    """Replace `train.epoch_steps` "auto" by the steps of an epoch.

    Raises:
        InputError: there are no epochs.
    """
    if options.train.epoch_steps != "auto":
        return options
    if epoch_steps is None:
        raise InputError(
            "train.epoch_steps: 'auto' needs captures in a folder, without distinct_samples; give "
            "a number of steps"
        )
    train = options.train.model_copy(update={"epoch_steps": epoch_steps})
    return options.model_copy(update={"train": train})


@contextmanager
def open_experiment(
    options: AnyTrainingOptions, processes: Processes, *, resume: str
) -> Iterator[Experiment]:
    """Create and lock `path.root`/`task`, choose the checkpoint, and open the log.

    Args:
        options: of the run.
        processes: only the main one writes.
        resume: "auto" resumes from the newest checkpoint in the folder, if any; "never" moves an
            earlier folder aside and starts over; a path resumes from that checkpoint.

    Raises:
        InputError: the processes cannot share a batch, the folder cannot be written or is in use
            by another run, or the checkpoint is missing or belongs to another run than the folder.
    """
    _check_processes(options, processes.world_size)
    folder = Path(options.path.root) / options.task
    moved, checkpoint = None, None
    notes: list[str] = []
    with ExitStack() as stack:
        if processes.is_main:
            moved = _move_aside(folder) if resume == "never" else None
            checkpoint = _choose_checkpoint(folder, resume)
            prepare_output_folder(folder / "checkpoints")
            stack.enter_context(lock_folder(folder))
            remove_unfinished(folder / "checkpoints")
            if resume == "auto":
                checkpoint = _pass_over_damaged(folder / "checkpoints", notes)
        checkpoint = processes.from_main(checkpoint)
        is_main = processes.is_main
        log = stack.enter_context(
            open_log(folder / "train.log" if is_main else None, quiet=not is_main)
        )
        if moved is not None:
            log.info("starting over; the earlier run is kept at %s", moved)
        for note in notes:
            log.warning("%s", note)
        versions = find_versions()
        versions["processes"] = str(processes.world_size)
        versions["devices"] = ", ".join(processes.device_names())
        yield Experiment(options, processes, folder, checkpoint, versions, log)


def _check_processes(options: AnyTrainingOptions, world_size: int) -> None:
    """Check that processes can share a batch, and that every weight gets a gradient in each.

    Raises:
        InputError: the batch cannot be split equally, or several processes would wait forever for
            the gradients of weights that no loss term reaches.
    """
    batch = options.datasets.train.dataloader_batch_size
    micro_batches = options.train.accumulation_steps
    if batch % (world_size * micro_batches):
        raise InputError(
            f"datasets.train.dataloader_batch_size: expected a multiple of the number of processes "
            f"times train.accumulation_steps ({world_size} x {micro_batches}), got {batch}"
        )
    needed = full_gradient_terms(options.train.objective)
    if world_size > 1 and not set(needed) & set(options.train.loss_weights):
        raise InputError(
            f"train.G_lossfn_type: expected {' or '.join(needed)} among its terms to train on "
            f"several processes, got {options.train.G_lossfn_type!r}"
        )


def _choose_checkpoint(folder: Path, resume: str) -> Path | None:
    """The checkpoint to resume from, if any.

    Raises:
        InputError: the given path is missing, the folder is that of a study, or it has a newer or
            another checkpoint: resuming from this one would mix two runs.
    """
    if resume != "never" and any(folder.glob(f"{SEED_FOLDER}*/options.json")):
        raise InputError(
            f"{folder}: holds the runs of a study with several seeds; choose another task, or name "
            "its seeds by --seeds"
        )
    newest = latest(folder / "checkpoints")
    if resume in ("auto", "never"):
        return newest
    chosen = Path(resume)
    if not chosen.is_file():
        raise InputError(f"--resume {resume}: no such checkpoint; expected auto, never or a file")
    if newest is not None and newest.resolve() != chosen.resolve():
        raise InputError(
            f"--resume {resume}: {folder} has its own run up to {newest.name}; "
            f"choose another task, or remove its checkpoints"
        )
    return chosen


def _pass_over_damaged(checkpoints: Path, notes: list[str]) -> Path | None:
    """The newest sound checkpoint, if any; newer damaged ones are renamed and noted.

    Renamed, they are neither resumed from nor counted among those to keep.

    Raises:
        InputError: there are checkpoints, and all are damaged; or one cannot be renamed.
    """
    sound, damaged = latest_sound(checkpoints)
    for path, problem in damaged.items():
        kept = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(kept)
        except OSError as error:
            raise InputError(f"{path}: cannot be renamed: {error.strerror}") from error
        notes.append(f"{problem}; it is kept as {kept.name}, going back to the one before")
    return sound


def _move_aside(folder: Path) -> Path | None:
    """Rename a folder, unless it is empty, to the first free NAME.1, NAME.2, ...

    Raises:
        InputError: it is in use by another run, or cannot be renamed.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    number = 1
    while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    try:
        with lock_folder(folder):
            return folder.rename(kept)
    except OSError as error:
        raise InputError(f"{folder}: cannot be moved to {kept}: {error.strerror}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, replaced whole.

    Raises:
        InputError: no space left or no permission.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
