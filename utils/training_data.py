"""Build the training and validation data that the options describe."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.real_pairs import RealPairs
from data.rs_gopro import RSGOPRO
from data.simulator import SceneSettings, draw_scene
from data.textures import load_textures
from data.training_set import FolderTrainingSet, SimulatedTrainingSet, TrainingSetSettings
from utils.errors import InputError
from utils.options import DataOptions, TrainingOptions

_FRAMES = 9  # true frames of a simulated validation capture, as in RS-GOPRO


class Captures(Protocol):
    """Captures to validate on."""

    def __len__(self) -> int:
        """Number of captures."""

    def __getitem__(self, index: int) -> CapturePair:
        """A capture, with its true frames if there are any."""


class SimulatedCaptures:
    """Whole simulated captures with nine true frames; capture i is a function of (seed, i)."""

    def __init__(
        self, textures: Sequence[Tensor], scene: SceneSettings, *, count: int, seed: int
    ) -> None:
        """Take the photos that scenes show, and how many scenes there are."""
        self.textures = textures
        self.scene = scene
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        """Number of captures."""
        return self.count

    def __getitem__(self, index: int) -> CapturePair:
        """Simulate capture `index`, from 0 on."""
        scene = draw_scene(self.textures, self.scene, self.seed + index)
        return scene.capture(torch.linspace(0, 1, _FRAMES), name=f"simulated/{index:04d}")


def build_training_set(options: TrainingOptions) -> Dataset[TrainingSample]:
    """The endless crops that the options describe.

    Raises:
        InputError: a folder is missing or empty, or what the objective needs is not there.
    """
    data = options.datasets.train
    with_truth = options.train.objective == "supervised"
    settings = TrainingSetSettings(
        patch_size=data.patch_size,
        times=data.times,
        augment=data.augment,
        seed=options.seed,
        with_truth=with_truth,
        with_flows=data.flows,
        crops_per_scene=data.crops_per_scene,
        sensor_rows=data.sensor_rows,
    )
    if data.dataset_type == "simulated":
        return SimulatedTrainingSet(load_scene_textures(data), scene_settings(data), settings)
    root = str(data.data_root)
    if data.dataset_type == "real":
        return FolderTrainingSet(RealPairs(root), settings)
    return FolderTrainingSet(RSGOPRO(root, data.split, with_truth=with_truth), settings)


def build_validation_set(options: TrainingOptions) -> Captures | None:
    """The captures to validate on, if the options name any.

    Raises:
        InputError: a folder is missing or empty, or the objective needs truth that is not there.
    """
    data = options.datasets.valid
    if data is None:
        return None
    if data.dataset_type == "simulated":
        return SimulatedCaptures(
            load_scene_textures(data), scene_settings(data), count=data.count or 0, seed=data.seed
        )
    root = str(data.data_root)
    found = RealPairs(root) if data.dataset_type == "real" else RSGOPRO(root, data.split)
    if options.train.objective == "supervised" and found.frame_count(0) == 0:
        raise InputError(f"{root}: validating 'supervised' needs true frames, there are none")
    return _First(found, len(found) if data.count is None else min(data.count, len(found)))


class _First:
    """The first `count` of other captures."""

    def __init__(self, captures: Captures, count: int) -> None:
        self.captures = captures
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> CapturePair:
        return self.captures[index]


def load_scene_textures(data: DataOptions) -> list[Tensor]:
    """What simulated scenes are made of.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    return load_textures(data.data_root, procedural=data.procedural_textures)


def scene_settings(data: DataOptions) -> SceneSettings:
    """What simulated scenes are like."""
    return SceneSettings(**data.scene.model_dump())
