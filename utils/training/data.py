"""Build the training and validation data that the options describe."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.layouts import SIMULATED, CaptureFolder, open_captures
from data.real_pairs import RealPairs
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.training.crops import FolderTrainingSet, SimulatedTrainingSet, TrainingSetSettings
from data.training.loader import CachedSamples
from models.networks import network_class
from utils.errors import InputError
from utils.options.data import DataOptions
from utils.options.training import TrainingOptions

_FRAMES = 9  # true frames of a simulated validation capture, as in RS-GOPRO


class ValidationCaptures(Protocol):
    """Captures to validate on."""

    def __len__(self) -> int:
        """Number of captures."""

    def __getitem__(self, index: int) -> CapturePair:
        """A capture, with its true frames if there are any."""


@dataclass(frozen=True)
class SimulatedCaptures:
    """Whole simulated captures with nine true frames; capture i is a function of (seed, i).

    Attributes:
        textures: photos that scenes are made of.
        scene: what scenes to draw.
        count: how many there are.
        seed: decides every draw.
    """

    textures: Sequence[Tensor]
    scene: SceneSettings
    _: KW_ONLY
    count: int
    seed: int

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
    drawn, count = _draw_training_set(options), options.datasets.train.distinct_samples
    return drawn if count is None else CachedSamples(drawn, count)


def _draw_training_set(options: TrainingOptions) -> Dataset[TrainingSample]:
    """Samples that never repeat.

    Raises:
        InputError: as `build_training_set`.
    """
    data = options.datasets.train
    network = network_class(options.netG.net_type)
    with_truth = options.train.objective == "supervised"
    settings = TrainingSetSettings(
        patch_size=data.patch_size,
        times=data.times,
        augment=data.augment,
        seed=options.seed,
        with_truth=with_truth,
        with_flows=data.flows,
        find_cues=network.find_cues if network.needs_cues else None,
        crops_per_scene=data.crops_per_scene,
        sensor_rows=data.sensor_rows,
    )
    if data.dataset_type == SIMULATED:
        return SimulatedTrainingSet(load_scene_textures(data), scene_settings(data), settings)
    captures = _split_captures(options).training
    training_set = FolderTrainingSet(captures, settings)
    training_set[0]  # tells at once if captures are too small or unreadable
    return training_set


def build_validation_set(options: TrainingOptions) -> ValidationCaptures | None:
    """The captures to validate on, if the options name any.

    Raises:
        InputError: a folder is missing or empty, or the objective needs truth that is not there.
    """
    data = options.datasets.valid
    if data is None:
        return None
    if data.dataset_type == SIMULATED:
        return SimulatedCaptures(
            load_scene_textures(data), scene_settings(data), count=data.count or 0, seed=data.seed
        )
    found: CaptureFolder
    root = str(data.data_root or options.datasets.train.data_root)
    if data.every is not None:
        found = _split_captures(options).held_out
    else:
        found = open_captures(data.dataset_type, root, data.split)
        _expect_others(found, options)
    if options.train.objective == "supervised" and found.frame_count(0) == 0:
        raise InputError(f"{root}: validating 'supervised' needs true frames, there are none")
    return _Chosen(found, range(len(found))[: data.count])


class _Chosen:
    """Some of other captures."""

    def __init__(self, captures: CaptureFolder, indices: Sequence[int]) -> None:
        self.captures = captures
        self.indices = indices
        self.names = [captures.names[index] for index in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> CapturePair:
        return self.captures[self.indices[index]]

    def frame_count(self, index: int) -> int:
        return self.captures.frame_count(self.indices[index])

    def load(self, index: int, frames: Sequence[int] = ()) -> CapturePair:
        return self.captures.load(self.indices[index], frames)


class _Split(NamedTuple):
    """A folder's captures to train on, and those held out."""

    training: _Chosen
    held_out: _Chosen


def _split_captures(options: TrainingOptions) -> _Split:
    """Every n-th capture of the training folder is held out, none where validation has its own.

    Raises:
        InputError: there are fewer than n captures.
    """
    data, valid = options.datasets.train, options.datasets.valid
    root, with_truth = str(data.data_root), options.train.objective == "supervised"
    captures = open_captures(data.dataset_type, root, data.split, with_truth=with_truth)
    every = None if valid is None else valid.every
    if every is None:
        return _Split(_Chosen(captures, range(len(captures))), _Chosen(captures, ()))
    if len(captures) < every:
        raise InputError(
            f"{root}: datasets.valid.every is {every}, but there are only "
            f"{len(captures)} captures, so none would be held out; record more or lower it"
        )
    held_out = range(every - 1, len(captures), every)
    rest = [index for index in range(len(captures)) if index not in held_out]
    return _Split(_Chosen(captures, rest), _Chosen(captures, held_out))


def _expect_others(captures: CaptureFolder, options: TrainingOptions) -> None:
    """Check that no capture serves for both training and validation.

    Raises:
        InputError: one does.
    """
    data = options.datasets.train
    if not isinstance(captures, RealPairs) or data.dataset_type != "captures":
        return
    common = captures.paths & RealPairs(str(data.data_root)).paths
    if common:
        raise InputError(
            f"datasets.valid.data_root: {min(common)} is one of the training captures; name "
            "others, or leave it out and hold some out of training by datasets.valid.every"
        )


def load_scene_textures(data: DataOptions) -> list[Tensor]:
    """What simulated scenes are made of.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    return load_textures(data.data_root, procedural=data.procedural_textures)


def scene_settings(data: DataOptions) -> SceneSettings:
    """What simulated scenes are like."""
    return SceneSettings(**data.scene.model_dump())
