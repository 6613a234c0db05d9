"""How much memory a training step needs, said before training starts."""

import os

from torch import nn

from models.networks import network_class
from models.parts.device import free_memory
from models.parts.precision import is_lower
from utils.errors import InputError, says_memory_ran_out
from utils.options.flow_training import FlowTrainingOptions
from utils.options.training import TrainingOptions
from utils.training.experiment import Experiment

_GIGABYTE = 1e9
_OPTIMISED = 12  # bytes beside each weight: its gradient and AdamW's two moments
_JUDGED_PIXEL = 17_000  # flows by PWC-Net or RAFT, rebuilt inputs, features of VGG-19
_LOWER_PRECISION = 0.75  # of that in bfloat16

_CURES = (
    "lower datasets.train.patch_size or dataloader_batch_size, set train.precision to 'bfloat16' "
    "or, for a generator, train.gradient_checkpointing to true, or raise train.accumulation_steps"
)


def announce_step(network: nn.Module, experiment: Experiment) -> None:
    """Log about how much memory a step needs, and how much is free; not of the flow network.

    Raises:
        InputError: it needs more than that.
    """
    options, device = experiment.options, experiment.processes.device
    if isinstance(options, FlowTrainingOptions):
        return
    needed = estimate_step(options, network, world_size=experiment.processes.world_size)
    free = free_memory(device)
    if free is None:
        experiment.log.info("a step needs about %.1f GB", needed / _GIGABYTE)
        return
    found = f"a step needs about {needed / _GIGABYTE:.1f} GB; {free / _GIGABYTE:.1f} GB free"
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    if neighbours > 1:
        found += f" for {neighbours} processes"
    if needed * neighbours > free:
        raise InputError(f"{found}: {_CURES}")
    experiment.log.info("%s", found)


def estimate_step(options: TrainingOptions, network: nn.Module, *, world_size: int = 1) -> float:
    """About how many bytes one process needs beyond what it holds already.

    Args:
        options: of the run.
        network: in training.
        world_size: number of processes that share a batch.
    """
    data, step = options.datasets.train, options.train
    device = next(network.parameters()).device
    rows, columns = data.patch
    if step.objective == "distillation":
        rows, columns = rows - 2 * step.border, columns - 2 * step.border
    samples = max(1, data.dataloader_batch_size // (world_size * step.accumulation_steps))
    kind = network_class(options.netG.net_type)
    sizes = kind.step_bytes
    if options.train.gradient_checkpointing and kind.checkpointed_step_bytes is not None:
        sizes = kind.checkpointed_step_bytes
    fixed, growing = sizes
    made, judged = (fixed + growing * options.netG.width) * samples, 0
    if step.objective != "supervised" and options.path.pretrained_rsg != "dis":
        judged = _JUDGED_PIXEL * (1 if device.type == "cpu" else samples)
    share = _LOWER_PRECISION if is_lower(step.precision, device) else 1.0
    activations = share * (made + judged) * rows * columns
    weights = _OPTIMISED * sum(weight.numel() for weight in network.parameters())
    return weights + activations


def explain_exhaustion(error: RuntimeError) -> str | None:
    """One line for an error that says that memory ran out; None for other errors."""
    if says_memory_ran_out(error):
        return f"out of memory in a training step: {_CURES}"
    if "DataLoader worker" in str(error):
        return (
            "a loader worker was killed, as happens when memory runs out: lower "
            "datasets.train.dataloader_num_workers or dataloader_batch_size, or give a container "
            "more shared memory (--shm-size)"
        )
    return None
