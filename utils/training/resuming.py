"""Save a training run to a checkpoint, and resume it."""

from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from models.architecture import expect_architecture
from models.weight_files import load_strictly
from utils.checkpoint import TrainingState, load_training, prune, save_training
from utils.errors import InputError, says_memory_ran_out
from utils.options.files import changed_options
from utils.system.random_state import random_state, restore_random_state
from utils.training.step import Progress, Training


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
    )
    path = save_training(experiment.checkpoints, state)
    prune(experiment.checkpoints, experiment.options.train.keep_last)
    experiment.log.info("step %d: saved %s", state.step, path)


def restore(training: Training) -> None:
    """Resume from the checkpoint of the experiment, if any, with the options of the experiment.

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
        others = len(list(experiment.checkpoints.glob("step_*.pt"))) - 1
        cure = "remove it to resume from the one before" if others else "--resume never"
        raise InputError(f"{error}; {cure}") from error
    wanted = experiment.options.model_dump(mode="json")
    try:
        _restore_parts(training, state, path, elsewhere=elsewhere)
        changes = list(changed_options(state.options, wanted))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RuntimeError) as error:
        if says_memory_ran_out(error):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: damaged checkpoint: {reason}; resume another one") from error
    experiment.log.info("resuming at step %d from %s", state.step, path)
    for change in changes:
        experiment.log.info("changed option %s", change)


def _restore_parts(
    training: Training, state: TrainingState, path: Path, *, elsewhere: bool
) -> None:
    """Set the parts of a run; a checkpoint with wrong values inside raises almost any error."""
    experiment = training.experiment
    now = experiment.options.model_dump(mode="json")
    expect_architecture(state.architecture, training.architecture, path)
    _expect_objective(training, state, path)
    load_strictly(training.network, state.network, path)
    if training.objective.teacher is not None and state.teacher is not None:
        load_strictly(training.objective.teacher, state.teacher, path)
    training.optimizer.load_state_dict(state.optimizer)
    for group in training.optimizer.param_groups:
        group["weight_decay"] = experiment.options.train.G_optimizer_wd
    for parameter, moments in training.optimizer.state.items():
        for name, value in moments.items():
            if getattr(value, "ndim", 0) and value.shape != parameter.shape:
                raise ValueError(f"optimizer: {name} of shape {tuple(value.shape)}")
    read = TypeAdapter(Progress).validate_python(state.progress)
    training.progress = replace(read, skipped_in_a_row=0)
    if elsewhere or state.options["datasets"]["valid"] != now["datasets"]["valid"]:
        # The best weights are in another folder, or their score is of other captures.
        training.progress.best = None
    rank, device = experiment.processes.rank, experiment.processes.device
    if rank < len(state.random):
        restore_random_state(state.random[rank], device)


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
