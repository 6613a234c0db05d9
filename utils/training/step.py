"""One optimisation step, the same in all processes, and its learning rate.

A step is begun, and its losses are read later: on a GPU many steps later, so that the GPU never
waits for the host (`works_ahead`).
"""

import math
import signal
from collections.abc import Iterator, Mapping
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

_READ_TOGETHER = 10
"""Steps until several processes know that one of them was asked to stop."""


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


class BegunStep(NamedTuple):
    """A step whose losses have not been read.

    Attributes:
        names: of the losses.
        values: on the device: means of the losses over the processes, then the share of the
            processes that were asked to stop.
        rate: learning rate.
        received: number of the signal that asked this process to stop, else 0.
    """

    names: tuple[str, ...]
    values: Tensor
    rate: float
    received: int


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
        ahead: whether to decide on the device if a step is skipped, and read its losses later.
        begun: steps whose losses have not been read; `progress` does not count them.
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
    ahead: bool = False
    begun: list[BegunStep] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Number of steps taken, read or not."""
        return self.progress.step + len(self.begun)


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


def works_ahead(device: torch.device) -> bool:
    """Whether losses are read many steps later: where reading would make the device wait."""
    return device.type == "cuda"


def build_optimizer(
    network: nn.Module, options: LoopOptions, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW; on a GPU in one kernel for all weights, equal but for rounding."""
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.G_optimizer_lr,
        weight_decay=options.G_optimizer_wd,
        fused=True if works_ahead(device) else None,
    )


def take_step(training: Training, batch: Sample) -> StepResult:
    """Take a step on this process's share of a batch, read its losses and count it."""
    begin_step(training, batch)
    *_, result = read_steps(training)
    return result


def begin_step(training: Training, batch: Sample) -> None:
    """Take a step on this process's share of a batch; `read_steps` counts it.

    If the loss or gradient of any process is not finite, all skip the step: weights, their average
    and optimiser keep their state.
    """
    options, optimizer = training.experiment.options.train, training.optimizer
    rate = learning_rate(training.step, options)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    losses = _differentiate(training, batch)
    losses["gradient_norm"] = clip_grad_norm_(
        training.network.parameters(), options.G_optimizer_clipgrad
    )
    received = training.stop.signal_number
    values = _average(losses, received, training)
    finite = values.isfinite().all()
    if training.ahead:
        _update_where(finite, training)
    elif finite:
        optimizer.step()
        if training.average is not None:
            training.average.update_parameters(training.network)
    training.begun.append(BegunStep(tuple(losses), values, rate, received))


def reads_now(training: Training) -> bool:
    """Whether the steps begun are read now: always, or if `Training.ahead` when something is due.

    All processes of a run read at the same steps.
    """
    options, step = training.experiment.options.train, training.step
    if not training.ahead or step == options.steps:
        return True
    alone = training.experiment.processes.world_size == 1
    if alone and training.stop.signal_number:
        return True
    due = [options.checkpoint_print, options.checkpoint_save, options.checkpoint_test]
    due += [options.keep_weights_every or step + 1, step + 1 if alone else _READ_TOGETHER]
    return any(step % steps == 0 for steps in due)


def read_steps(training: Training) -> Iterator[StepResult]:
    """Read the losses of all steps begun, and count each step as its result is taken."""
    if not training.begun:
        return
    begun, training.begun = training.begun, []
    read = torch.cat([step.values for step in begun]).tolist()
    for names, _, rate, received in begun:
        (*values, share_stopping), read = read[: len(names) + 1], read[len(names) + 1 :]
        skipped = not all(map(math.isfinite, values))
        losses = dict(zip(names, values, strict=True))
        training.progress.count(losses, skipped=skipped)
        # SIGTERM if only other processes received a signal.
        stop_signal = received or (signal.SIGTERM if share_stopping else 0)
        yield StepResult(losses, rate, skipped, stop_signal)


def _update_where(finite: Tensor, training: Training) -> None:
    """Update weights and average where `finite`, (), is true, without reading it."""
    # The fused kernel changes nothing where this is 1: `torch.amp.GradScaler` skips steps by it.
    setattr(training.optimizer, "found_inf", (~finite).float())  # noqa: B010 - mypy knows it not
    training.optimizer.step()
    average, decay = training.average, training.experiment.options.train.average_decay
    if average is None or decay is None:
        return
    with torch.no_grad():
        # As `AveragedModel.update_parameters`, which would read its counter: the first is a copy.
        count = average.n_averaged = average.n_averaged.to(finite.device, non_blocking=True)
        share = torch.where(count == 0, 1.0, 1 - decay) * finite
        for own, new in zip(
            average.module.parameters(), training.network.parameters(), strict=True
        ):
            own.lerp_(new, share.to(own.dtype))
        buffers = zip(average.module.buffers(), training.network.buffers(), strict=True)
        for own_buffer, new_buffer in buffers:
            own_buffer.copy_(new_buffer)
        count.add_(finite)


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


def _average(losses: Mapping[str, Tensor], received: int, training: Training) -> Tensor:
    """Mean losses over the processes, then the share of those that received a stop signal."""
    values = [value.float() for value in losses.values()]
    values.append(torch.full_like(values[0], float(received > 0)))
    return training.experiment.processes.mean(torch.stack(values))


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
