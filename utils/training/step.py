"""One optimisation step, the same in all processes, and its learning rate."""

import math
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from data.capture import Sample, split_batch
from models.losses.objective import Objective
from models.parts.precision import is_lower
from utils.options.training import LoopOptions
from utils.system.stopping import StopRequest
from utils.training.experiment import Experiment


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        step: finished steps, including skipped ones.
        skipped: steps whose loss or gradient was not finite.
        skipped_in_a_row: number of skipped steps since the last one that was not.
        best: highest validation score so far.
        best_average: the same of the averaged weights.
        sums: losses by name, summed since they were last reported.
        summed: number of steps in these sums.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best: float | None = None
    best_average: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0

    def count(self, losses: Mapping[str, float], *, skipped: bool) -> None:
        """Count a step; skipped ones add nothing to the sums."""
        self.step += 1
        if skipped:
            self.skipped += 1
            self.skipped_in_a_row += 1
            return
        self.skipped_in_a_row = 0
        self.summed += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take_means(self) -> dict[str, float]:
        """Return and reset the mean losses; empty if all steps were skipped."""
        means = {name: value / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means


@dataclass
class Training:
    """State of a training run.

    Attributes:
        network: the network in training.
        parallel: the same, wrapped to average gradients over the processes.
        objective: (network, batch) -> total loss and named, weighted terms.
        optimizer: of the network's parameters.
        experiment: options, processes, folder and log.
        stop: the request to stop, if there was one.
        progress: counters.
        architecture: description of the network that weights must match.
        average: moving average of the network's weights, if wanted.
    """

    network: nn.Module
    parallel: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    experiment: Experiment
    stop: StopRequest
    progress: Progress = field(default_factory=Progress)
    architecture: dict[str, Any] = field(default_factory=dict)
    average: AveragedModel | None = None


class StepResult(NamedTuple):
    """Result of a step.

    Attributes:
        losses: total, weighted terms and gradient norm before clipping, by name; means over the
            processes.
        rate: learning rate.
        skipped: whether a loss or gradient was not finite, so that the weights were kept.
        stop_signal: number of the signal that asked any process to stop, else 0.
    """

    losses: dict[str, float]
    rate: float
    skipped: bool
    stop_signal: int


def build_optimizer(
    network: nn.Module, options: LoopOptions, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW; on a GPU in one kernel for all weights, equal but for rounding."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.G_optimizer_lr,
        weight_decay=options.G_optimizer_wd,
        fused=True if device.type == "cuda" else None,
    )


def take_step(training: Training, batch: Sample) -> StepResult:
    """Take a step on this process's share of a batch and count it.

    If the loss or gradient of any process is not finite, all skip the step: weights and optimiser
    keep their state.
    """
    options = training.experiment.options.train
    progress, optimizer = training.progress, training.optimizer
    rate = learning_rate(progress.step, options)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    losses = _differentiate(training, batch)
    losses["gradient_norm"] = clip_grad_norm_(
        training.network.parameters(), options.G_optimizer_clipgrad
    )
    means, stop_signal = _average(losses, training)
    skipped = not all(math.isfinite(value) for value in means.values())
    if not skipped:
        optimizer.step()
        if training.average is not None:
            training.average.update_parameters(training.network)
    progress.count(means, skipped=skipped)
    return StepResult(means, rate, skipped, stop_signal)


def _differentiate(training: Training, batch: Sample) -> dict[str, Tensor]:
    """Accumulate the gradients of a batch over micro-batches; return total loss and terms."""
    options, device = training.experiment.options.train, training.experiment.processes.device
    parallel, count = training.parallel, options.accumulation_steps
    wrapped = parallel if isinstance(parallel, DistributedDataParallel) else None
    losses: dict[str, Tensor] = {}
    for number, part in enumerate(split_batch(batch, count), start=1):
        # Gradients are averaged over the processes in the last backward pass only.
        with wrapped.no_sync() if wrapped and number < count else nullcontext():
            with torch.autocast(device.type, torch.bfloat16, is_lower(options.precision, device)):
                total, terms = training.objective(parallel, part)
            (total / count).backward()
        for name, value in {"total": total.detach(), **terms}.items():
            share = value / count
            losses[name] = losses[name] + share if name in losses else share
    return losses


def _average(losses: Mapping[str, Tensor], training: Training) -> tuple[dict[str, float], int]:
    """Mean losses over the processes, and the signal that asked any of them to stop, or 0."""
    received = training.stop.signal_number
    values = [value.float() for value in losses.values()]
    values.append(torch.full_like(values[0], float(received > 0)))
    *means, share_stopping = training.experiment.processes.mean(torch.stack(values)).tolist()
    # SIGTERM if only other processes received a signal.
    stop_signal = received or (signal.SIGTERM if share_stopping else 0)
    return dict(zip(losses, means, strict=True)), stop_signal


def learning_rate(step: int, options: LoopOptions) -> float:
    """Learning rate of a step: cosine annealing with warm restarts, times a linear warmup.

    Args:
        step: number of finished steps; 0 for the first.
        options: `G_optimizer_lr`, `G_scheduler_eta_min`, `G_scheduler_periods`, `epoch_steps`,
            `warmup_steps`.
    """
    epoch = step // int(options.epoch_steps)
    position = (epoch % options.G_scheduler_periods) / options.G_scheduler_periods
    highest, lowest = options.G_optimizer_lr, options.G_scheduler_eta_min
    annealed = lowest + (highest - lowest) * (1 + math.cos(math.pi * position)) / 2
    warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    return warmup * annealed
