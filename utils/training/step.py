"""One optimisation step, agreed among all processes."""

import math
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from data.capture import Sample, split_batch
from models.losses.objective import Objective
from models.parts.precision import is_lower
from utils.options.training import LoopOptions
from utils.system.stopping import StopRequest
from utils.training.experiment import Experiment


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: finished steps, the skipped ones included.
        skipped: steps whose loss or gradient was not finite.
        skipped_in_a_row: how many of them were the last ones.
        best: highest validation score so far.
        sums: losses by name, summed over the steps since they were last reported.
        summed: number of those steps.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0

    def count(self, losses: Mapping[str, float], *, skipped: bool) -> None:
        """Count a step; the losses of skipped ones are left out of the sums."""
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
        """Mean losses since this was last asked; empty if all steps were skipped."""
        means = {name: value / self.summed for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means


@dataclass
class Training:
    """What a training run works on.

    Attributes:
        generator: the network in training, whichever it is.
        network: the same, averaging its gradients over the processes.
        objective: (network, batch) -> total loss and named, weighted terms.
        optimizer: of the generator's parameters.
        experiment: options, processes, folder and log.
        stop: whether the run was asked to stop.
        progress: how far it is.
        architecture: what weights for it must agree on.
    """

    generator: nn.Module
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    experiment: Experiment
    stop: StopRequest
    progress: Progress = field(default_factory=Progress)
    architecture: dict[str, Any] = field(default_factory=dict)


class StepResult(NamedTuple):
    """What a step did.

    Attributes:
        losses: total, weighted terms and norm of the gradient before clipping, by name; means over
            the processes.
        rate: learning rate.
        skipped: whether the weights were left alone because a loss or gradient was not finite.
        stop_signal: number of the signal by which the processes were asked to stop, else 0.
    """

    losses: dict[str, float]
    rate: float
    skipped: bool
    stop_signal: int


def take_step(training: Training, batch: Sample) -> StepResult:
    """Take a step on this process's share of a batch and count it.

    Where the loss or the gradient of any process is not finite, all processes skip the step: the
    weights and the optimiser's state stay as they are.
    """
    options = training.experiment.options.train
    progress, optimizer = training.progress, training.optimizer
    rate = learning_rate(progress.step, options)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    losses = _differentiate(training, batch)
    losses["gradient_norm"] = clip_grad_norm_(
        training.generator.parameters(), options.G_optimizer_clipgrad
    )
    means, asked = _agree(losses, training)
    skipped = not all(math.isfinite(value) for value in means.values())
    if not skipped:
        optimizer.step()
    progress.count(means, skipped=skipped)
    return StepResult(means, rate, skipped, asked)


def _differentiate(training: Training, batch: Sample) -> dict[str, Tensor]:
    """Add up the gradient of a batch, part by part; its total loss and terms."""
    options, device = training.experiment.options.train, training.experiment.processes.device
    parts = split_batch(batch, options.accumulation_steps)
    losses: dict[str, Tensor] = {}
    for number, part in enumerate(parts, start=1):
        with _gradients_kept_apart(training.network, number < len(parts)):
            with torch.autocast(device.type, torch.bfloat16, is_lower(options.precision, device)):
                total, terms = training.objective(training.network, part)
            (total / len(parts)).backward()
        for name, value in {"total": total.detach(), **terms}.items():
            share = value / len(parts)
            losses[name] = losses[name] + share if name in losses else share
    return losses


def _gradients_kept_apart(network: nn.Module, apart: bool) -> AbstractContextManager[None]:
    """DDP's `no_sync` if gradients are to be kept apart: for all but the last accumulated part."""
    if apart and isinstance(network, DistributedDataParallel):
        return cast(AbstractContextManager[None], network.no_sync())
    return nullcontext()


def _agree(losses: Mapping[str, Tensor], training: Training) -> tuple[dict[str, float], int]:
    """Mean losses over the processes, and the signal if any of them was asked to stop."""
    asked = training.stop.signal_number
    values = [value.float() for value in losses.values()]
    values.append(torch.full_like(values[0], float(asked > 0)))
    *means, anyone_asked = training.experiment.processes.mean(torch.stack(values)).tolist()
    if anyone_asked and not asked:
        asked = signal.SIGTERM  # another process was asked
    return dict(zip(losses, means, strict=True)), asked


def learning_rate(step: int, options: LoopOptions) -> float:
    """Learning rate of a step: cosine annealing with warm restarts, after a linear warmup.

    Args:
        step: number of finished steps; 0 for the first.
        options: `G_optimizer_lr` falls to `G_scheduler_eta_min` over `G_scheduler_periods` steps
            and starts again; during the first `warmup_steps` it also rises in proportion.
    """
    position = (step % options.G_scheduler_periods) / options.G_scheduler_periods
    highest, lowest = options.G_optimizer_lr, options.G_scheduler_eta_min
    annealed = lowest + (highest - lowest) * (1 + math.cos(math.pi * position)) / 2
    warmth = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    return warmth * annealed
