"""What a run says before its first step: data, processes, network, length."""

import math
from collections.abc import Sequence

from torch import nn

from data.layouts import SIMULATED, CaptureFolder
from data.simulator.settings import SceneSettings
from data.training.crops import FolderTrainingSet
from data.training.loader import CachedSamples
from utils.options.data import DataOptions
from utils.options.training import TrainingOptions
from utils.training.data import Captures, Choice
from utils.training.experiment import Experiment

_NAMED = 12  # captures of a validation that are named


def count_captures(captures: CaptureFolder) -> str:
    """Count sequences, pairs and true frames, such as "2 sequences, 4 pairs, 12 true frames"."""
    sequences = {name.rpartition("/")[0] for name in captures.names}
    truth = sum(captures.frame_count(index) for index in range(len(captures)))
    frames = f"{truth} true frames" if truth else "no true frames read"
    return f"{len(sequences)} sequences, {len(captures)} pairs, {frames}"


def describe_training_set(options: TrainingOptions, samples: object) -> list[str]:
    """Lines on the training data: where they come from, how many, steps per epoch."""
    data = options.datasets.train
    if isinstance(samples, CachedSamples):
        steps = samples.count / data.dataloader_batch_size
        repeated = f"{samples.count} samples are repeated, every {steps:.4g} steps"
        return [*describe_training_set(options, samples.dataset), repeated]
    if not isinstance(samples, FolderTrainingSet):
        return [f"training on {describe_scenes(data)}"]
    captures, epoch = samples.captures, samples.epoch_samples
    steps = epoch / data.dataloader_batch_size
    counted = options.train.epoch_steps
    total = options.train.iterations * (math.ceil(steps) if counted == "auto" else counted)
    return [
        f"training on {_place(data, data.split)}: {count_captures(captures)}",
        f"an epoch is {epoch} crops, {steps:.4g} steps; {total} steps are "
        f"{total / steps:.4g} epochs",
    ]


def describe_validation_set(
    options: TrainingOptions, captures: Captures[object] | None
) -> list[str]:
    """Lines on the validation data: how many are scored of how many, which, and the protocol."""
    data = options.datasets.valid
    if data is None or captures is None:
        return ["no validation"]
    if not isinstance(captures, Choice):
        return [f"validating on {len(captures)} captures of {describe_scenes(data)}"]
    place = _place(data, data.split) if data.data_root else f"every {data.every}th training capture"
    how = "spread over the sequences" if data.choice == "spread" else "in order"
    if len(captures) == len(captures.captures):
        how = "all"
    return [
        f"validating on {place}: {count_captures(captures.captures)}",
        f"scored are {len(captures)} pairs ({how}), protocol '{data.protocol}': "
        f"{_first_few(captures.names)}",
    ]


def describe_scenes(data: DataOptions) -> str:
    """What the scenes show, and how large they are."""
    settings: SceneSettings = data.scene.settings()
    photos = data.data_root or "scikit-image's photos"
    return f"{SIMULATED} scenes of {settings.width}x{settings.height} pixels from {photos}"


def announce_run(network: nn.Module, experiment: Experiment, lines: Sequence[str]) -> None:
    """Log the data, the processes with their devices, and the number of parameters.

    Args:
        network: the network in training.
        experiment: of the run.
        lines: on the data.
    """
    for line in lines:
        experiment.log.info("%s", line)
    weights = list(network.parameters())
    total = sum(weight.numel() for weight in weights)
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    count = f"{total:,} parameters" + (f", {trained:,} of them trained" if trained < total else "")
    experiment.log.info("%s: %s", type(network).__name__, count)
    experiment.log.info(
        "processes: %s, on %s", experiment.versions["processes"], experiment.versions["devices"]
    )


def format_duration(seconds: float) -> str:
    """A duration as "2 d 03:04:05" or "03:04:05"; "?" if it is not known."""
    if not math.isfinite(seconds):
        return "?"
    days, rest = divmod(round(seconds), 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock


def _place(data: DataOptions, split: str) -> str:
    return f"{data.data_root}/{split}" if data.has_splits else str(data.data_root)


def _first_few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if names[_NAMED:] else "")
