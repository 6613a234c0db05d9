"""The training loop of all stages and networks.

A step depends only on the weights, the optimiser's state and the step's number, which decides
samples and learning rate. So a resumed run equals an uninterrupted one, bit for bit if the device
is deterministic.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from data.capture import Sample, to_device
from data.training.loader import training_loader
from models.losses.objective import Objective
from models.parts.device import reuse_memory
from models.parts.precision import slow_bfloat16
from utils.errors import InputError
from utils.system.compiling import explain_compilation
from utils.system.distributed import Processes
from utils.system.random_state import seed_everything
from utils.system.stopping import StopRequest, stop_requests
from utils.training.curves import plot_curves
from utils.training.experiment import Experiment, Options, open_experiment, with_epochs
from utils.training.records.announcement import announce_run
from utils.training.records.weights import file_of_average, keep_weights, write_weights
from utils.training.reporting import Reporter, read_records, report_end
from utils.training.resuming import explain_skips, restore, save, stop_run
from utils.training.step import (
    Training,
    begin_step,
    build_optimizer,
    read_steps,
    reads_now,
    works_ahead,
)
from utils.training.step_memory import announce_step, explain_exhaustion
from utils.training.validation import Validation

MAX_SKIPPED_IN_A_ROW = 10


@dataclass(frozen=True)
class Subject(Generic[Sample]):
    """A network to train with its objective, data and output files.

    Attributes:
        network: the network.
        objective: (network, batch) -> total loss and named terms, on the processes' device.
        training_set: sample n is a function of n.
        architecture: description of the network that weights must match.
        file: name of the weight file of a finished run.
        write: (path, network) writes its weights.
        preview: (batch) -> (3, H, W) image strip.
        validate: scores a network together with all processes; None without validation.
        pictures: names and pictures of validation captures, made with the network; None without.
        described: lines on the data, for the log.
        is_pretrained: whether to score the weights before the first step, too.
        epoch_steps: steps of one pass over the training captures; None if there is no such pass.
        compiled: the network as training steps call it, if it is compiled.
    """

    network: nn.Module
    objective: Objective
    training_set: Dataset[Sample]
    architecture: dict[str, Any]
    file: str
    write: Callable[[Path, Any], None]
    preview: Callable[[Sample], Tensor]
    validate: Callable[[Any], Validation] | None
    pictures: Callable[[], Iterator[tuple[str, Tensor]]] | None = None
    described: tuple[str, ...] = ()
    is_pretrained: bool = False
    epoch_steps: int | None = None
    compiled: nn.Module | None = None


def train(
    options: Options,
    build: Callable[[Options, Processes], Subject[Sample]],
    processes: Processes,
    *,
    resume: str,
) -> None:
    """Run a training from options to weights.

    Args:
        options: of the run.
        build: creates network, objective and data.
        processes: that train together; each calls this.
        resume: "auto", "never" or a checkpoint, as in `open_experiment`.

    Raises:
        InputError: data, weights or the folder cannot be used, or training failed.
        SystemExit: the run was asked to stop.
    """
    seed_everything(options.seed + processes.rank)
    subject = build(options, processes)
    options = with_epochs(options, subject.epoch_steps)
    with open_experiment(options, processes, resume=resume) as experiment:
        run_training(subject, experiment)


def run_training(subject: Subject[Sample], experiment: Experiment) -> None:
    """Train to `train.steps` steps, from the checkpoint of the experiment if there is one.

    Saves a checkpoint every `checkpoint_save` steps, at the end, and on SIGTERM or Ctrl-C, which
    exit with status 128 plus the signal's number. Scores the network every `checkpoint_test` steps
    and at the end, and keeps the best weights.

    Raises:
        InputError: the checkpoint does not fit, a sample cannot be read, the folder cannot be
            written, memory is short, or too many steps in a row had no finite loss.
        SystemExit: the run was asked to stop.
    """
    with stop_requests() as stop:
        training = _prepare(subject, experiment, stop)
        first_step = training.progress.step
        with closing(Reporter(experiment, training.progress)) as reporter:
            try:
                _run(subject, training, reporter)
            except RuntimeError as error:
                reason = explain_exhaustion(error) or explain_compilation(error)
                if reason is None:
                    raise
                raise InputError(reason) from error
    if experiment.processes.is_main:
        weights = experiment.folder / subject.file
        if training.progress.step == first_step and weights.exists():
            report_end(experiment, f"finished before: the files in {experiment.folder} stay")
            return
        write_weights(training, subject.write, weights)
        records = read_records(experiment.folder / "metrics.jsonl")
        plot_curves(records, experiment.folder / "curves.png")
        report_end(experiment, f"finished: weights and curves are in {experiment.folder}")


def _prepare(subject: Subject[Sample], experiment: Experiment, stop: StopRequest) -> Training:
    """Move the network to its device, create its optimiser, and load a checkpoint."""
    options, processes, network = experiment.options.train, experiment.processes, subject.network
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if processes.device.type == "cpu":
        reuse_memory()
    # channels_last is fastest. Set before the first step: scoring would set it later, and results
    # would change in their last bits mid-run.
    network.to(processes.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    announce_run(network, experiment, subject.described)
    announce_step(network, experiment)
    if note := slow_bfloat16(options.precision, processes.device):
        experiment.log.warning("%s", note)
    optimizer = build_optimizer(network, options, processes.device)
    parallel = processes.wrap(network if subject.compiled is None else subject.compiled)
    training = Training(
        network,
        parallel,
        subject.objective,
        optimizer,
        experiment,
        stop,
        architecture=subject.architecture,
        ahead=works_ahead(processes.device),
    )
    if options.average_decay is not None:
        decay = get_ema_multi_avg_fn(options.average_decay)
        training.average = AveragedModel(network, multi_avg_fn=decay).requires_grad_(False).eval()
    restore(training)
    return training


def _run(subject: Subject[Sample], training: Training, reporter: Reporter) -> None:
    """Take the remaining steps, validating and saving when due."""
    options, progress = training.experiment.options.train, training.progress
    processes, data = training.experiment.processes, training.experiment.options.datasets.train
    batches = training_loader(
        subject.training_set,
        batch_size=data.dataloader_batch_size,
        first_step=progress.step,
        rank=processes.rank,
        world_size=processes.world_size,
        num_workers=data.dataloader_num_workers,
        device=processes.device,
    )
    first_step = progress.step
    _record_start(training, first_step)
    if subject.is_pretrained and progress.step == 0:
        _validate(subject, training, reporter)
    while training.step < options.steps:
        batch = to_device(_next_batch(batches, training, reporter), processes.device)
        begin_step(training, batch)
        _record_start(training, first_step)
        reporter.advance()
        if not reads_now(training):
            continue
        stop_signal = _read(training, reporter)
        finished = progress.step == options.steps
        # Weights without a finite loss may be damaged: neither keep them nor resume from them.
        sound = not progress.skipped_in_a_row
        if (sound and progress.step % options.checkpoint_test == 0) or finished:
            if processes.is_main:
                reporter.image(progress.step, subject.preview(batch))
            _validate(subject, training, reporter)
        if processes.is_main and sound:
            keep_weights(training, subject.write)
        due = finished or stop_signal or progress.step % options.checkpoint_save == 0
        if due and (sound or finished):
            save(training)
        if stop_signal and not finished:
            stop_run(training, stop_signal)


def _read(training: Training, reporter: Reporter) -> int:
    """Read and report the steps begun; return the signal that asked any process to stop, or 0.

    Raises:
        InputError: too many steps in a row had no finite loss.
    """
    stop_signal, progress = 0, training.progress
    for result in read_steps(training):
        reporter.step(progress, result)
        stop_signal = stop_signal or result.stop_signal
        # One skipped step at the end may be due to its sample; two are not.
        finished = progress.step == training.experiment.options.train.steps
        if progress.skipped_in_a_row >= (2 if finished else MAX_SKIPPED_IN_A_ROW):
            raise InputError(explain_skips(training))
    return stop_signal


def _record_start(training: Training, first_step: int) -> None:
    """Record a new run at its start, and a resumed one once it has taken a step, not sooner."""
    due = first_step + 1 if first_step else 0
    steps_left = first_step < training.experiment.options.train.steps
    if training.experiment.processes.is_main and steps_left and training.step == due:
        training.experiment.record_start(first_step)


def _next_batch(batches: Iterator[Sample], training: Training, reporter: Reporter) -> Sample:
    """The next batch; if it cannot be read, save a checkpoint first.

    Not with several processes: the others are in the middle of a step and cannot save together.

    Raises:
        InputError: a sample cannot be read.
    """
    try:
        return next(batches)
    except InputError:
        alone, progress = training.experiment.processes.world_size == 1, training.progress
        if alone:
            _read(training, reporter)
            if progress.step and not progress.skipped_in_a_row:
                save(training)
        raise


def _validate(subject: Subject[Sample], training: Training, reporter: Reporter) -> None:
    """Score the network and its average, and keep the weights of either that are its best so far.

    The main process also keeps pictures of some captures.
    """
    if subject.validate is None:
        return
    experiment, progress = training.experiment, training.progress
    main, best = experiment.processes.is_main, experiment.checkpoints / "best.safetensors"
    values, score = subject.validate(training.network)
    reporter.values(progress.step, values)
    if progress.best is None or score > progress.best:
        progress.best = score
        if main:
            subject.write(best, training.network)
    if training.average is not None:
        values, score = subject.validate(training.average.module)
        reporter.values(progress.step, {f"average_{name}": v for name, v in values.items()})
        if progress.best_average is None or score > progress.best_average:
            progress.best_average = score
            if main:
                subject.write(file_of_average(best), training.average.module)
    if main and subject.pictures is not None:
        for name, picture in subject.pictures():
            reporter.picture(progress.step, name, picture)
