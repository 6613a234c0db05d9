"""A training run small enough for tests: a few thousand weights, 32x32 simulated scenes."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from models.parts.network import CorrectionNetwork
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.system.random_state import seed_everything
from utils.training.correction_network import build_subject
from utils.training.experiment import open_experiment
from utils.training.loop import run_training

SCENE = {"camera_motion": 4, "object_motion": 4, "max_objects": 1}


def tiny_options(
    root: Path,
    *,
    task: str = "tiny",
    pretrained: Path | None = None,
    width: float = 0.04,
    size: int = 32,
    **train: Any,
) -> TrainingOptions:
    """Supervised training on scenes of `size` pixels, with `train` options overridden."""
    scene = SCENE | {"height": size, "width": size}
    step = {
        "objective": "supervised",
        "G_lossfn_type": "1*Charbonnier|1e-1*Variation",
        "iterations": 4,
        "G_optimizer_lr": 1e-3,
        "G_scheduler_periods": 4,
        "checkpoint_print": 2,
        "checkpoint_save": 2,
        "checkpoint_test": 3,
        "threads": 1,
    }
    data = {
        "dataset_type": "simulated",
        "patch_size": size,
        "dataloader_batch_size": 2,
        "dataloader_num_workers": 0,
        "scene": scene,
    }
    valid = {"dataset_type": "simulated", "count": 1, "images": 0, "scene": scene}
    return TrainingOptions.model_validate(
        {
            "task": task,
            "device": "cpu",
            "path": {
                "root": str(root),
                "pretrained_rsg": "dis",
                "pretrained_netG": None if pretrained is None else str(pretrained),
            },
            "datasets": {"train": data, "valid": valid},
            "netG": {"n_feats": 8, "width": width},
            "train": step | train,
        }
    )


@contextmanager
def undrawn_curves() -> Iterator[None]:
    """Trainings leave no picture of their curves: drawing takes as long as six tiny steps."""
    with patch("utils.training.loop.plot_curves"):
        yield


def train(
    options: TrainingOptions,
    *,
    objective: nn.Module | None = None,
    resume: str = "auto",
    curves: bool = False,
) -> CorrectionNetwork:
    """Run a training as the scripts do, in this process; return the trained network.

    Simulated validation captures have three true frames instead of nine.
    """
    processes = Processes(torch.device("cpu"))
    seed_everything(options.seed)
    subject = build_subject(options, processes)
    if objective is not None:
        subject = replace(subject, objective=objective)
    drawing = nullcontext() if curves else undrawn_curves()
    few_frames = patch("utils.training.data._FRAMES", 3)
    with drawing, few_frames, open_experiment(options, processes, resume=resume) as experiment:
        run_training(subject, experiment)
    assert isinstance(subject.network, CorrectionNetwork)
    return subject.network


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )
