"""Save a training run to a checkpoint, resume it, and say how to."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from models.architecture import expect_architecture
from models.weight_files import load_strictly
from utils.checkpoint import TrainingState, latest, load_training, prune, save_training
from utils.errors import InputError, says_memory_ran_out
from utils.options.files import changed_options, with_defaults
from utils.system.random_state import random_state, restore_random_state
from utils.training.experiment import Experiment
from utils.training.step import Progress, Training

_OF_THE_FOLDER = ("task", "path.root")
"""Options that name the folder: it may be renamed."""

_CURES = "start over by --resume never, which keeps the earlier run aside, or choose another task"


def save(training: Training) -> None:
    """Write a checkpoint of all processes and keep the newest `keep_last`.

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
        network=training.network.state_dict(),
        teacher=None if teacher is None else teacher.state_dict(),
        optimizer=training.optimizer.state_dict(),
        progress=asdict(training.progress),
        random=states,
        options=experiment.options.model_dump(mode="json"),
        versions=experiment.versions,
        average=None if training.average is None else training.average.state_dict(),
    )
    path = save_training(experiment.checkpoints, state)
    prune(experiment.checkpoints, experiment.options.train.keep_last)
    experiment.log.info("step %d: saved %s", state.step, path)


def restore(training: Training) -> None:
    """Resume from the checkpoint of the experiment, if any, with the options of the experiment.

    Raises:
        InputError: the checkpoint cannot be read, belongs to another network or objective, or has
            options that cannot be changed any more.
    """
    experiment = training.experiment
    path = experiment.checkpoint
    if path is None:
        return
    elsewhere = path.parent.resolve() != experiment.checkpoints.resolve()
    state = load_training(path)
    try:
        changes = _restore_parts(training, state, path, elsewhere=elsewhere)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RuntimeError) as error:
        if says_memory_ran_out(error):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: damaged checkpoint: {reason}; resume another one") from error
    experiment.log.info("resuming at step %d from %s", state.step, path)
    _log_changes(experiment, state, changes)


def _restore_parts(
    training: Training, state: TrainingState, path: Path, *, elsewhere: bool
) -> list[str]:
    """Set the parts of a run, and return how its options differ from those of the checkpoint.

    A checkpoint with wrong values inside raises almost any error.
    """
    experiment = training.experiment
    wanted = experiment.options.model_dump(mode="json")
    expect_architecture(state.architecture, training.architecture, path)
    _expect_objective(training, state, path)
    found = with_defaults(state.options, type(experiment.options))
    # The weights' channel order is compared above; the option may name it or leave it to them.
    changes = [c for c in changed_options(found, wanted) if _key(c) != "netG.channels"]
    if elsewhere:
        _expect_steps(experiment, state, path)
    else:
        _expect_same_run(experiment, state, changes)
    load_strictly(training.network, state.network, path)
    _restore_frozen(training, state, path)
    training.optimizer.load_state_dict(state.optimizer)
    for group in training.optimizer.param_groups:
        group["weight_decay"] = experiment.options.train.G_optimizer_wd
    for parameter, moments in training.optimizer.state.items():
        for name, value in moments.items():
            if getattr(value, "ndim", 0) and value.shape != parameter.shape:
                raise ValueError(f"optimizer: {name} of shape {tuple(value.shape)}")
    read = TypeAdapter(Progress).validate_python(state.progress)
    training.progress = replace(read, skipped_in_a_row=0)
    if elsewhere or found["datasets"]["valid"] != wanted["datasets"]["valid"]:
        # The best weights are in another folder, or their score is of other captures.
        training.progress.best = training.progress.best_average = None
    rank, device = experiment.processes.rank, experiment.processes.device
    if rank < len(state.random):
        restore_random_state(state.random[rank], device)
    return changes


def _restore_frozen(training: Training, state: TrainingState, path: Path) -> None:
    """Load what no gradient reaches: the teacher, and the average of the weights."""
    if training.objective.teacher is not None and state.teacher is not None:
        load_strictly(training.objective.teacher, state.teacher, path)
    if training.average is not None and state.average is not None:
        load_strictly(training.average, state.average, path)
    elif training.average is not None:  # starts now
        load_strictly(training.average.module, state.network, path)


def _log_changes(experiment: Experiment, state: TrainingState, options: Sequence[str]) -> None:
    """Log which options and versions differ from those of the checkpoint."""
    for change in options:
        experiment.log.info("changed option %s", change)
    for change in changed_options(state.versions, experiment.versions):
        if not change.startswith("command:"):
            experiment.log.info("changed version of %s", change)


def _expect_steps(experiment: Experiment, state: TrainingState, path: Path) -> None:
    """Check that a checkpoint of another folder has steps left to take.

    Raises:
        InputError: it has none: the folder would hold weights that its options did not make.
    """
    iterations = experiment.options.train.iterations
    if state.step >= experiment.options.train.steps:
        raise InputError(
            f"--resume {path}: it has {state.step} steps already and train.iterations is "
            f"{iterations}; raise train.iterations to go on"
        )


def _expect_same_run(experiment: Experiment, state: TrainingState, changes: Sequence[str]) -> None:
    """Check that the options which differ from those of the folder's run may still be changed.

    Any may be that acts on the steps to come. Without steps to come none may, except that a run can
    be ended early by the number of its steps.

    Raises:
        InputError: others are changed.
    """
    cures, path = _CURES, experiment.checkpoint
    steps, keys = experiment.options.train.steps, [_key(change) for change in changes]
    start = "path.pretrained_rsg" if "netF" in state.options else "path.pretrained_netG"
    if state.step < steps:
        wrong = [change for change in changes if _key(change) in ("seed", start)]
        why = f"has taken {state.step} steps; these cannot be changed on the way"
        cures = f"go on in another folder by another task and --resume {path}, or {_CURES}"
    else:
        others = [key for key in keys if key not in (*_OF_THE_FOLDER, "train.iterations")]
        if "train.iterations" in keys and steps == state.step and not others:
            if experiment.processes.is_main:
                experiment.record_early_end(state.step)
            return
        wrong = [change for change in changes if _key(change) not in _OF_THE_FOLDER]
        recorded = state.options["train"]
        planned = recorded["iterations"] * recorded.get("epoch_steps", 1)
        why = f"has taken {state.step} of {planned} steps"
        iterations = experiment.options.train.iterations
        why += f", and train.iterations is {iterations}: no step is left for other options"
    if wrong:
        raise InputError(f"{experiment.folder}: its run {why}: {'; '.join(wrong)}; {cures}")


def _key(change: str) -> str:
    """The option of a line of `changed_options`."""
    return change.partition(":")[0]


def _expect_objective(training: Training, state: TrainingState, path: Path) -> None:
    """Check that a checkpoint has the objective of the run, and a teacher if the run has one.

    Raises:
        InputError: they differ.
    """
    cure = "choose another task, and name the weights to start from in path.pretrained_netG"
    wanted = training.experiment.options.train.objective
    found = state.options["train"].get("objective", "flow")
    if found != wanted:
        raise InputError(
            f"{path}: checkpoint of the objective {found!r} cannot be resumed as {wanted!r}; {cure}"
        )
    if (training.objective.teacher is None) != (state.teacher is None):
        stages = ("without", "with") if state.teacher is None else ("with", "without")
        raise InputError(
            f"{path}: checkpoint of a stage {stages[0]} a teacher cannot be resumed as one "
            f"{stages[1]}; {cure}"
        )


def stop_run(training: Training, number: int) -> None:
    """Log how to resume, and exit with status 128 plus the signal's number."""
    how = "the same command with --resume auto resumes from there"
    if training.progress.skipped_in_a_row:
        checkpoint = latest(training.experiment.checkpoints)
        how = "this step had no finite loss and was not saved"
        how += f"; --resume auto resumes from {checkpoint}" if checkpoint is not None else ""
    training.experiment.log.warning(
        "stopped by %s after step %d; %s", signal.Signals(number).name, training.progress.step, how
    )
    sys.exit(128 + number)


def explain_skips(training: Training) -> str:
    """One line on steps in a row without a finite loss, and where to start again."""
    checkpoint = latest(training.experiment.checkpoints)
    cure = "lower train.G_optimizer_lr or check the data, and start again"
    if checkpoint is not None:
        cure += f": from {checkpoint}, the last one before, or from the beginning (--resume never)"
    return (
        f"step {training.progress.step}: stopped after {training.progress.skipped_in_a_row} steps "
        f"in a row without a finite loss and gradient; {cure}"
    )
