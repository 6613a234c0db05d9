"""The training loop that both stages share.

A step is a function of the weights, the optimiser's state and the step's number: the number picks
the samples and the learning rate. So a run that goes on from a checkpoint equals one that was never
stopped, bit for bit where the device computes reproducibly.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing

import torch
from torch import nn
from torch.utils.data import Dataset

from data.capture import TrainingSample, to_device
from data.training_set import training_loader
from models.generator import Generator
from utils.checkpoint import (
    Architecture,
    expect_architecture,
    latest,
    load_generator,
    save_weights,
)
from utils.curves import plot_curves
from utils.errors import InputError
from utils.experiment import Experiment
from utils.options import TrainingOptions
from utils.records import read_records
from utils.reporting import Reporter
from utils.resuming import restore, save
from utils.stopping import StopRequest, stop_requests
from utils.training_data import Captures
from utils.training_step import Training, take_step
from utils.validation import preview, validate

MOST_SKIPPED_IN_A_ROW = 10


def build_generator(options: TrainingOptions) -> Generator:
    """The generator that the options describe, with `path.pretrained_netG`'s weights if named.

    Raises:
        InputError: the weights are missing, damaged or of another generator.
    """
    size = options.netG
    generator = Generator(3, size.n_feats, size.width, channels=size.channels)
    if options.path.pretrained_netG is not None:
        pretrained = load_generator(options.path.pretrained_netG)
        expect_architecture(Architecture.of(pretrained), generator, options.path.pretrained_netG)
        generator.load_state_dict(pretrained.state_dict())
    return generator


def fit(
    generator: Generator,
    objective: nn.Module,
    training_set: Dataset[TrainingSample],
    *,
    validation_set: Captures | None,
    experiment: Experiment,
) -> None:
    """Train to `train.iterations` steps, from the experiment's checkpoint if it has one.

    Every `checkpoint_save` steps, at the end and on SIGTERM or Ctrl-C a checkpoint is written; the
    two latter end with an exit status of 128 plus the signal's number, as shells have it.

    Args:
        generator: network to train.
        objective: (generator, batch) -> total loss and named terms, on the processes' device.
        training_set: sample n is a function of n.
        validation_set: scored every `checkpoint_test` steps; the best weights are kept.
        experiment: options, processes, folder and log.

    Raises:
        InputError: the checkpoint does not fit, a sample cannot be read, the folder cannot be
            written, or too many steps in a row had no finite loss.
        SystemExit: the run was asked to stop.
    """
    with stop_requests() as stop:
        training = _prepare(generator, objective, experiment, stop)
        with closing(Reporter(experiment, training.progress)) as reporter:
            _run(training, training_set, validation_set, reporter)
    if experiment.processes.is_main:
        save_weights(experiment.folder / "generator.safetensors", generator)
        records = read_records(experiment.folder / "metrics.jsonl")
        plot_curves(records, experiment.folder / "curves.png")
        experiment.log.info("finished: weights and curves are in %s", experiment.folder)


def _prepare(
    generator: Generator, objective: nn.Module, experiment: Experiment, stop: StopRequest
) -> Training:
    """Move the generator to its device, make its optimiser, and go on from a checkpoint."""
    options, processes = experiment.options.train, experiment.processes
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    generator.to(processes.device).train()
    optimizer = torch.optim.AdamW(
        generator.parameters(), lr=options.G_optimizer_lr, weight_decay=options.G_optimizer_wd
    )
    network = processes.wrap(generator)
    training = Training(generator, network, objective, optimizer, experiment, stop)
    restore(training)
    return training


def _run(
    training: Training,
    training_set: Dataset[TrainingSample],
    validation_set: Captures | None,
    reporter: Reporter,
) -> None:
    """Take the steps that are left, validating and saving when due."""
    options, progress = training.experiment.options.train, training.progress
    batches = _batches(training, training_set)
    while progress.step < options.iterations:
        batch = to_device(next(batches), training.experiment.processes.device)
        result = take_step(training, batch)
        reporter.step(progress, result)
        if progress.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            raise InputError(_explain_skips(training))
        finished = progress.step == options.iterations
        if progress.step % options.checkpoint_test == 0 or finished:
            _show(training, batch, reporter)
            _validate(training, validation_set, reporter)
        if progress.step % options.checkpoint_save == 0 or finished or result.stop_signal:
            save(training)
        if result.stop_signal and not finished:
            _stop(training, result.stop_signal)


def _batches(training: Training, training_set: Dataset[TrainingSample]) -> Iterator[TrainingSample]:
    """This process's share of the batches from the present step on."""
    options, processes = training.experiment.options.datasets.train, training.experiment.processes
    return training_loader(
        training_set,
        batch_size=options.dataloader_batch_size,
        first_step=training.progress.step,
        rank=processes.rank,
        world_size=processes.world_size,
        num_workers=options.dataloader_num_workers,
        device=processes.device,
    )


def _show(training: Training, batch: TrainingSample, reporter: Reporter) -> None:
    """Record what the generator makes of a training sample."""
    if training.experiment.processes.is_main:
        reporter.image(
            training.progress.step, preview(training.generator, training.objective, batch)
        )


def _validate(training: Training, captures: Captures | None, reporter: Reporter) -> None:
    """Score the generator, and keep its weights if they are the best so far."""
    if captures is None:
        return
    experiment, progress = training.experiment, training.progress
    values, score = validate(training.generator, training.objective, captures, experiment.processes)
    reporter.values(progress.step, values)
    if progress.best is None or score > progress.best:
        progress.best = score
        if experiment.processes.is_main:
            save_weights(experiment.checkpoints / "best.safetensors", training.generator)


def _stop(training: Training, number: int) -> None:
    """Say how to go on, and exit."""
    training.experiment.log.warning(
        "stopped by %s after step %d; the same command with --resume auto goes on from there",
        signal.Signals(number).name,
        training.progress.step,
    )
    sys.exit(128 + number)


def _explain_skips(training: Training) -> str:
    checkpoint = latest(training.experiment.checkpoints)
    kept = f"{checkpoint} is kept" if checkpoint else "there is no checkpoint yet"
    return (
        f"step {training.progress.step}: stopped after {MOST_SKIPPED_IN_A_ROW} steps in a row "
        f"without a finite loss and gradient; {kept}; lower train.G_optimizer_lr or check the data"
    )
