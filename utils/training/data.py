"""Build training and validation data from the options."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.layouts import SIMULATED, CaptureFolder, ends_of_sequences, open_captures
from data.real_pairs import RealPairs
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.training.crops import (
    FolderTrainingSet,
    SimulatedTrainingSet,
    TrainingSetSettings,
    find_frames,
)
from data.training.flow_pairs import FlowSetSettings
from data.training.loader import CachedSamples
from models.device_motion.estimation import takes_tensors
from models.networks import network_class
from utils.errors import InputError
from utils.metrics import PROTOCOLS
from utils.options.data import DataOptions, ValidationDataOptions
from utils.options.flow_training import FlowTrainingDataOptions
from utils.options.training import TrainingOptions

T_co = TypeVar("T_co", covariant=True)

_CPU = torch.device("cpu")
_FRAMES = 9  # true frames of a simulated capture, as in RS-GOPRO


class Captures(Protocol[T_co]):
    """Captures to validate on, with their truth if there is any."""

    def __len__(self) -> int:
        """Number of captures."""

    def __getitem__(self, index: int, /) -> T_co:
        """One capture."""


@dataclass(frozen=True)
class SimulatedCaptures:
    """Simulated captures of whole frames with nine true frames; capture i depends on seed + i."""

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


def finds_cues_by_batch(options: TrainingOptions, device: torch.device) -> bool:
    """Whether motion cues are found by tensors on the device, those of a batch in one call.

    Otherwise OpenCV finds them with each sample, in the loader's processes.

    Raises:
        InputError: the device cannot.
    """
    estimate, cached = options.train.motion_estimate, options.datasets.train.distinct_samples
    if not network_class(options.netG.net_type).needs_cues or (estimate == "auto" and cached):
        return False
    return takes_tensors(estimate, device)


def build_training_set(
    options: TrainingOptions, device: torch.device = _CPU
) -> Dataset[TrainingSample]:
    """The endless training samples of the options, to train on a device.

    Raises:
        InputError: a folder is missing or empty, captures lack what the objective needs, or the
            device cannot estimate motion.
    """
    with_cues = not finds_cues_by_batch(options, device)
    data = options.datasets.train
    network = network_class(options.netG.net_type)
    settings = TrainingSetSettings(
        patch_size=data.patch_size,
        times=data.times,
        augment=data.augment,
        seed=options.seed,
        with_truth=options.train.objective == "supervised",
        instants=options.netG.instants,
        with_flows=data.flows,
        find_cues=network.find_cues if network.needs_cues and with_cues else None,
        crops_per_scene=data.crops_per_scene,
        sensor_rows=data.sensor_rows,
    )
    samples: Dataset[TrainingSample]
    if data.dataset_type == SIMULATED:
        samples = SimulatedTrainingSet(load_scene_textures(data), data.scene.settings(), settings)
    else:
        samples = FolderTrainingSet(_open_training_captures(options), settings)
        samples[0]  # fails now, not in a worker, if captures are too small or unreadable
    count = data.distinct_samples
    return samples if count is None else CachedSamples(samples, count)


def build_validation_set(options: TrainingOptions) -> Captures[CapturePair] | None:
    """The validation captures of the options, or None.

    Raises:
        InputError: a folder is missing or empty, or captures lack what the objective needs.
    """
    data = options.datasets.valid
    if data is None:
        return None
    if data.dataset_type == SIMULATED:
        return SimulatedCaptures(
            load_scene_textures(data), data.scene.settings(), count=data.count or 0, seed=data.seed
        )
    found: CaptureFolder
    root = str(data.data_root or options.datasets.train.data_root)
    if data.every is not None:
        found = _open_training_captures(options, held_out=True)
    else:
        found = open_captures(data.dataset_type, root, data.split)
        _expect_others(found, options)
    if data.drop_ends:
        found = _without_ends(found, root)
    if options.netG.instants is not None:
        find_frames(options.netG.instants, found, 0)
    if options.train.objective == "supervised" and found.frame_count(0) == 0:
        raise InputError(f"{root}: validating 'supervised' needs true frames, there are none")
    return Choice(found, _choose(found, data))


def spread(count: int, chosen: int) -> list[int]:
    """Indices of `chosen` of `count` items, or of all if there are less, at equal distances."""
    chosen = min(count, chosen)
    return [(2 * number + 1) * count // (2 * chosen) for number in range(chosen)]


def _choose(captures: CaptureFolder, data: ValidationDataOptions) -> list[int]:
    """Indices of the captures to validate on.

    Raises:
        InputError: the protocol leaves out all of them.
    """
    indices = list(range(len(captures)))
    if captures.frame_count(0) and PROTOCOLS[data.protocol].drops_ends:
        indices = _middle_pairs(captures)
        if not indices:
            raise InputError(
                f"datasets.valid.protocol: '{data.protocol}' leaves out the first and last pair of "
                "each sequence, and no sequence has more than these; choose another protocol"
            )
    if data.count is None or data.choice == "first":
        return indices[: data.count]
    return [indices[place] for place in spread(len(indices), data.count)]


class Choice:
    """Some captures of a folder, as a `CaptureFolder`.

    Attributes:
        captures: all of them.
        indices: of those that are chosen.
        names: of those that are chosen.
    """

    def __init__(self, captures: CaptureFolder, indices: Sequence[int]) -> None:
        """Choose captures by their index."""
        self.captures = captures
        self.indices = indices
        self.names = [captures.names[index] for index in indices]

    def __len__(self) -> int:
        """Number of chosen captures."""
        return len(self.indices)

    def __getitem__(self, index: int) -> CapturePair:
        """Read a capture with all its true frames."""
        return self.captures[self.indices[index]]

    def frame_count(self, index: int) -> int:
        """Number of true frames of a capture."""
        return self.captures.frame_count(self.indices[index])

    def load(self, index: int, frames: Sequence[int] = ()) -> CapturePair:
        """Read a capture with some of its true frames."""
        return self.captures.load(self.indices[index], frames)


def _middle_pairs(captures: CaptureFolder) -> list[int]:
    """Indices of all captures but the first and last of each sequence."""
    ends = ends_of_sequences(captures)
    return [index for index, name in enumerate(captures.names) if name not in ends]


def _without_ends(captures: CaptureFolder, root: str) -> Choice:
    """The captures but the first and last of each sequence.

    Raises:
        InputError: none are left.
    """
    middle = _middle_pairs(captures)
    if not middle:
        raise InputError(
            f"{root}: drop_ends leaves out the first and last pair of each sequence, and no "
            "sequence has more than these; set it to false"
        )
    return Choice(captures, middle)


def _open_training_captures(options: TrainingOptions, *, held_out: bool = False) -> Choice:
    """The captures to train on, or those that `datasets.valid.every` holds out.

    Raises:
        InputError: a folder is missing or empty, or there are too few captures to hold any out.
    """
    data, valid = options.datasets.train, options.datasets.valid
    root, with_truth = str(data.data_root), options.train.objective == "supervised"
    captures = open_captures(data.dataset_type, root, data.split, with_truth=with_truth)
    if data.drop_ends:
        captures = _without_ends(captures, root)
    every = None if valid is None else valid.every
    if every is None:
        return Choice(captures, range(len(captures)))
    if len(captures) < every:
        raise InputError(
            f"{root}: datasets.valid.every is {every}, but there are only "
            f"{len(captures)} captures, so none would be held out; record more or lower it"
        )
    indices = range(len(captures))
    return Choice(captures, [i for i in indices if (i % every == every - 1) == held_out])


def _expect_others(captures: CaptureFolder, options: TrainingOptions) -> None:
    """Check that no capture is used for both training and validation.

    Raises:
        InputError: one is.
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
    """Load the textures of simulated scenes.

    Raises:
        InputError: the folder of photos is missing or empty.
    """
    return load_textures(data.data_root, procedural=data.procedural_textures)


def scene_crops(data: FlowTrainingDataOptions, seed: int) -> FlowSetSettings:
    """Which crops of simulated scenes the flow network or an interpolator is trained on."""
    return FlowSetSettings(
        patch_sizes=tuple(data.patch_sizes),
        batch=data.dataloader_batch_size,
        augment=data.augment,
        seed=seed,
        crops_per_scene=data.crops_per_scene,
        first_strength=data.first_strength,
        ramp=data.ramp_steps * data.dataloader_batch_size,
    )
