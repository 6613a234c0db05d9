"""The learning rate as a function of the step, so that resuming needs nothing but the step."""

import math

from utils.options.training import LoopOptions


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
