"""The folder of a training run: what is in it, and where the run goes on from."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files.folders import lock_folder, prepare_output_folder, remove_unfinished, replacing
from data.files.versions import find_versions
from models.losses.table import full_gradient_terms
from utils.checkpoint import latest
from utils.errors import InputError
from utils.options.flow_training import FlowTrainingOptions
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.system.logger import open_log


@dataclass(frozen=True)
class Experiment:
    """A training run's surroundings.

    Attributes:
        options: its options.
        processes: the processes that take part.
        folder: `path.root`/`task`.
        checkpoint: the training checkpoint to go on from, if any.
        versions: versions of what runs it.
        log: where this process says what happens.
    """

    options: TrainingOptions | FlowTrainingOptions
    processes: Processes
    folder: Path
    checkpoint: Path | None
    versions: dict[str, str]
    log: logging.Logger

    @property
    def checkpoints(self) -> Path:
        """The folder of the training checkpoints and the best weights."""
        return self.folder / "checkpoints"

    def record_options(self) -> None:
        """Write the options and versions now in force; not before a checkpoint is accepted.

        Raises:
            InputError: no space left or no permission.
        """
        write_json(self.folder / "options.json", self.options.model_dump(mode="json"))
        write_json(self.folder / "versions.json", self.versions)


@contextmanager
def open_experiment(
    options: TrainingOptions | FlowTrainingOptions, processes: Processes, *, resume: str
) -> Iterator[Experiment]:
    """Prepare `path.root`/`task`: sub-folders and log.

    Args:
        options: names the folder.
        processes: only the main one writes.
        resume: "auto" goes on from the folder's newest checkpoint if there is one; "never" starts
            over and moves aside what the folder holds; a path goes on from that checkpoint.

    Raises:
        InputError: the batch cannot be shared equally, the folder cannot be written, another run is
            at work there, or the checkpoint is missing or would mix two runs in one folder.
    """
    _check_parts(options, processes)
    _check_terms(options, processes)
    folder = Path(options.path.root) / options.task
    moved, checkpoint, versions = None, None, find_versions()
    with ExitStack() as stack:
        if processes.is_main:
            moved = _move_aside(folder) if resume == "never" else None
            checkpoint = _choose_checkpoint(folder, resume)
            prepare_output_folder(folder / "checkpoints")
            stack.enter_context(lock_folder(folder))
            remove_unfinished(folder / "checkpoints")
        checkpoint = processes.from_main(checkpoint)
        is_main = processes.is_main
        log = stack.enter_context(
            open_log(folder / "train.log" if is_main else None, quiet=not is_main)
        )
        if moved is not None:
            log.info("starting over; the earlier run is kept at %s", moved)
        yield Experiment(options, processes, folder, checkpoint, versions, log)


def _check_parts(options: TrainingOptions | FlowTrainingOptions, processes: Processes) -> None:
    """Make sure that every process can take its share of a batch in equal parts.

    Raises:
        InputError: it cannot.
    """
    batch = options.datasets.train.dataloader_batch_size
    parts = options.train.accumulation_steps
    if batch % (processes.world_size * parts):
        raise InputError(
            f"datasets.train.dataloader_batch_size: expected a multiple of the number of processes "
            f"times train.accumulation_steps ({processes.world_size} x {parts}), got {batch}"
        )


def _check_terms(options: TrainingOptions | FlowTrainingOptions, processes: Processes) -> None:
    """Make sure that every weight has a gradient: processes wait for each other's.

    Raises:
        InputError: no term of the loss needs the whole network.
    """
    objective = "flow"
    if isinstance(options, TrainingOptions):
        objective = options.train.objective
    needed = full_gradient_terms(objective)
    if processes.world_size > 1 and not set(needed) & set(options.train.loss_weights):
        raise InputError(
            f"train.G_lossfn_type: expected {' or '.join(needed)} among its terms where several "
            f"processes train, got {options.train.G_lossfn_type!r}"
        )


def _choose_checkpoint(folder: Path, resume: str) -> Path | None:
    """Where to go on from.

    Raises:
        InputError: a path is given that is missing, or that is not the newest of a folder which
            has checkpoints: going on from there would mix two runs.
    """
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


def _move_aside(folder: Path) -> Path | None:
    """Rename a folder that holds anything to the first free NAME.1, NAME.2, ...

    Raises:
        InputError: another run is at work there, or it cannot be renamed.
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
    """Write a JSON file whole or not at all.

    Raises:
        InputError: no space left or no permission.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
