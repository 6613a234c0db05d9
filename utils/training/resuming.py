"""Write a training run into a checkpoint, and go on from one."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.architecture import expect_architecture
from models.weight_files import load_strictly
from utils.checkpoint import TrainingState, load_training, prune, save_training
from utils.errors import InputError
from utils.options.files import changed_options
from utils.system.random_state import random_state, restore_random_state
from utils.training.step import Progress, Training


def save(training: Training) -> None:
    """Write a checkpoint of all processes and delete the oldest beyond `keep_last`.

    Raises:
        InputError: no space left or no permission.
    """
    experiment = training.experiment
    states = experiment.processes.gather(random_state(experiment.processes.device))
    if not experiment.processes.is_main:
        return
    teacher = training.objective.teacher
    state = TrainingState(
        step=training.progress.step,
        architecture=training.architecture,
        generator=training.generator.state_dict(),
        teacher=None if teacher is None else teacher.state_dict(),
        optimizer=training.optimizer.state_dict(),
        progress=asdict(training.progress),
        random=states,
        options=experiment.options.model_dump(mode="json"),
        versions=experiment.versions,
    )
    path = save_training(experiment.checkpoints, state)
    prune(experiment.checkpoints, experiment.options.train.keep_last)
    experiment.log.info("step %d: saved %s", state.step, path)


def restore(training: Training) -> None:
    """Go on from the experiment's checkpoint if it has one; options in force are the present ones.

    Raises:
        InputError: the checkpoint cannot be read or belongs to another network or objective.
    """
    experiment = training.experiment
    path = experiment.checkpoint
    if path is None:
        return
    elsewhere = path.parent.resolve() != experiment.checkpoints.resolve()
    try:
        state = load_training(path)
    except InputError as error:
        if elsewhere:
            raise
        others = sorted(experiment.checkpoints.glob("step_*.pt"))
        cure = "remove it to go on from the one before" if len(others) > 1 else "--resume never"
        raise InputError(f"{error}; {cure}") from error
    expect_architecture(state.architecture, training.architecture, path)
    wanted = experiment.options.model_dump(mode="json")
    _expect_objective(state.options["train"], wanted["train"], path)
    load_strictly(training.generator, state.generator, path)
    _restore_teacher(training, state, path)
    decay = [group["weight_decay"] for group in training.optimizer.param_groups]
    training.optimizer.load_state_dict(state.optimizer)
    for group, weight_decay in zip(training.optimizer.param_groups, decay, strict=True):
        group["weight_decay"] = weight_decay
    training.progress = Progress(**state.progress | {"skipped_in_a_row": 0})
    if elsewhere or state.options["datasets"]["valid"] != wanted["datasets"]["valid"]:
        # Those weights are in the other run's folder, or their score is of other captures.
        training.progress.best = None
    rank, device = experiment.processes.rank, experiment.processes.device
    if rank < len(state.random):
        restore_random_state(state.random[rank], device)
    experiment.log.info("resuming at step %d from %s", state.step, path)
    for change in changed_options(state.options, wanted):
        experiment.log.info("changed option %s", change)


def _expect_objective(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose objective is another; flow training has a single one.

    Raises:
        InputError: it differs.
    """
    names = [options.get("objective") for options in (found, wanted)]
    if names[0] != names[1]:
        raise InputError(
            f"{path}: checkpoint of the objective {names[0]!r} cannot go on as {names[1]!r}; "
            "choose another task, and name the weights to start from in path.pretrained_netG"
        )


def _restore_teacher(training: Training, state: TrainingState, path: Path) -> None:
    teacher = training.objective.teacher
    if (teacher is None) != (state.teacher is None):
        stages = ("without", "with") if state.teacher is None else ("with", "without")
        raise InputError(
            f"{path}: checkpoint of a stage {stages[0]} a teacher cannot go on as one "
            f"{stages[1]}; choose another task, and name the weights to start from in "
            f"path.pretrained_netG"
        )
    if teacher is not None and state.teacher is not None:
        load_strictly(teacher, state.teacher, path)
