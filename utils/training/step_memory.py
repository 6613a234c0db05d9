"""Memory that a training step needs: estimated before training starts."""

import os

from torch import nn

from models.networks import memory_factor, network_class
from models.parts.device import free_memory
from models.parts.precision import is_lower
from utils.errors import InputError, says_memory_ran_out
from utils.options.training import TrainingOptions
from utils.training.experiment import Experiment

_GIGABYTE = 1e9
_WEIGHT_BYTES = 12  # besides each weight: its gradient and AdamW's two moments
_OBJECTIVE_BYTES = 17_000  # per pixel: flow by PWC-Net or RAFT, rebuilt inputs, VGG-19 features
_INTERPOLATION_BYTES = 38_000  # per pixel: twelve interpolations, VGG-19 features
_LOWER_PRECISION = 0.75  # factor on activations in bfloat16

_CURES = (
    "lower datasets.train.patch_size or dataloader_batch_size, set train.precision to 'bfloat16' "
    "or, for a generator, train.gradient_checkpointing to true, or raise train.accumulation_steps"
)


def announce_step(network: nn.Module, experiment: Experiment) -> None:
    """Log the memory that a step needs and the memory that is free; of correction networks only.

    Raises:
        InputError: it needs more than is free.
    """
    options, device = experiment.options, experiment.processes.device
    if not isinstance(options, TrainingOptions):
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
    """Estimate the bytes that a step needs in one process, in addition to those in use.

    Args:
        options: of the run.
        network: the network in training.
        world_size: number of processes that share a batch.
    """
    data, step = options.datasets.train, options.train
    device = next(network.parameters()).device
    rows, columns = data.patch
    if step.objective == "distillation":
        rows, columns = rows - 2 * step.border, columns - 2 * step.border
    samples = max(1, data.dataloader_batch_size // (world_size * step.accumulation_steps))
    kind = network_class(options.netG.net_type)
    checkpointed = kind.checkpointed_step_bytes if step.gradient_checkpointing else None
    fixed, per_width = checkpointed or kind.step_bytes
    pixel_bytes = (fixed + per_width * options.netG.width) * samples
    pixel_bytes *= memory_factor(options.netG.num_frames)
    # Cues of a batch (`train.motion_estimate`) are found before and take less: 1,700 per pixel.
    by_interpolation = step.rebuilding == "interpolation"
    by_network = by_interpolation or options.path.pretrained_rsg != "dis"
    if step.objective != "supervised" and by_network:
        bytes_of_sample = _INTERPOLATION_BYTES if by_interpolation else _OBJECTIVE_BYTES
        pixel_bytes += bytes_of_sample * (1 if device.type == "cpu" else samples)
    if is_lower(step.precision, device):
        pixel_bytes *= _LOWER_PRECISION
    weights = sum(weight.numel() for weight in network.parameters())
    return _WEIGHT_BYTES * weights + pixel_bytes * rows * columns


def explain_exhaustion(error: RuntimeError) -> str | None:
    """One line for an out-of-memory error; None for other errors."""
    if says_memory_ran_out(error):
        return f"out of memory in a training step: {_CURES}"
    if "DataLoader worker" in str(error):
        return (
            "a loader worker was killed, as happens when memory runs out: lower "
            "datasets.train.dataloader_num_workers or dataloader_batch_size, or give a container "
            "more shared memory (--shm-size)"
        )
    return None
