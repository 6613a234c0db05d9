"""Random crops to train on, from folders or simulated on the fly.

Sample number n is a pure function of (seed, n). It does not depend on workers, ranks or earlier
samples, so resuming only needs the number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.layouts import CaptureFolder, frame_at
from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.training.latest import Latest
from data.transforms import crop, flip_horizontal, flip_vertical, reverse_time
from utils.errors import InputError

Times = Literal["released", "continuous"]

_RELEASED_INTERVALS = 8
_MIDDLE = 0.5
_FLOW_STRIDE = 2  # the networks' flows have half the size of the images
# Last word of the seeds: draws for different purposes are independent.
_SAMPLE_DRAWS, _EPOCH_ORDER, _SCENE = 1, 2, 3


@dataclass(frozen=True)
class TrainingSetSettings:
    """How samples are drawn.

    Attributes:
        patch_size: (rows, columns) of the crops, at random places; one number for square ones.
        times: "released" draws t from {1..7}/8, "continuous" uniformly from [0, 1]. With truth from
            a folder t is the instant of one of the frames between the first and the last.
        augment: whether to flip horizontally and vertically and to reverse time, each with
            probability 1/2.
        seed: seed of all draws, not negative.
        with_truth: whether samples have the true frames at 0, t, 1, or at `instants`.
        instants: fixed instants of the true frames; None: 0, t and 1. They are symmetric in time.
        with_flows: whether samples have exact displacements; only for simulated scenes.
        find_cues: (capture, t) -> motion cues (3, C, h, w) of the frames at 0, t and 1; None for
            samples without cues.
        crops_per_scene: number of consecutive samples of one scene or capture.
        sensor_rows: (low, high) share of a simulated sensor's rows that crops are taken from; in
            the upper half the motion between the inputs has one sign and is learned sooner.
    """

    patch_size: int | tuple[int, int] = 256
    times: Times = "released"
    augment: bool = True
    seed: int = 0
    with_truth: bool = False
    instants: tuple[float, ...] | None = None
    with_flows: bool = False
    find_cues: Callable[[CapturePair, float], Tensor] | None = None
    crops_per_scene: int = 1
    sensor_rows: tuple[float, float] = (0.0, 1.0)

    @property
    def patch(self) -> tuple[int, int]:
        """Rows and columns of the crops."""
        if isinstance(self.patch_size, int):
            return self.patch_size, self.patch_size
        return self.patch_size


class FolderTrainingSet(Dataset[TrainingSample]):
    """Crops of captures on disk; each epoch takes every capture once, in a new random order."""

    def __init__(self, captures: CaptureFolder, settings: TrainingSetSettings) -> None:
        """Check that the captures fit the settings.

        Raises:
            InputError: the settings ask for flows, or for truth and a capture has less than 3
                frames or none at an instant.
        """
        if settings.with_flows:
            raise InputError("flows: exact ones exist for simulated scenes only; set it to false")
        if settings.with_truth and settings.instants is not None:
            for index in range(len(captures)):
                find_frames(settings.instants, captures, index)
        elif settings.with_truth:
            fewest = min(captures.frame_count(index) for index in range(len(captures)))
            if fewest < 3:
                raise InputError(
                    f"training with truth needs at least 3 true frames per capture, got {fewest}; "
                    "train without truth or add GS frames"
                )
        self.captures = captures
        self.settings = settings
        self._load = Latest(captures.load)

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number`, from 0 without end.

        Raises:
            InputError: an image cannot be read or is smaller than the crop.
        """
        index = self._capture_index(number // self.settings.crops_per_scene)
        rng = np.random.default_rng((self.settings.seed, number, _SAMPLE_DRAWS))
        t, frames = self._draw_frames(rng, index)
        capture = self._load(index, frames)
        patch = self.settings.patch
        top, left = draw_corner(rng, patch, (capture.height, capture.width), name=capture.name)
        capture = crop(capture, top=top, left=left, height=patch[0], width=patch[1])
        return _make_sample(capture, t, rng, self.settings)

    @property
    def epoch_samples(self) -> int:
        """Samples of one pass over all captures."""
        return len(self.captures) * self.settings.crops_per_scene

    def _capture_index(self, turn: int) -> int:
        epoch, position = divmod(turn, len(self.captures))
        rng = np.random.default_rng((self.settings.seed, epoch, _EPOCH_ORDER))
        return int(rng.permutation(len(self.captures))[position])

    def _draw_frames(self, rng: np.random.Generator, index: int) -> tuple[float, tuple[int, ...]]:
        """Draw t, and the indices of the true frames to read for it."""
        if not self.settings.with_truth:
            return _draw_instant(rng, self.settings.times), ()
        if self.settings.instants is not None:
            return _MIDDLE, find_frames(self.settings.instants, self.captures, index)
        last = self.captures.frame_count(index) - 1
        middle = int(rng.integers(1, last))
        return middle / last, (0, middle, last)


class SimulatedTrainingSet(Dataset[TrainingSample]):
    """Crops of simulated scenes, `crops_per_scene` of each; only the crops are rendered."""

    def __init__(
        self, textures: Sequence[Tensor], scene: SceneSettings, settings: TrainingSetSettings
    ) -> None:
        """Set the textures of the scenes (`data.simulator.textures.load_textures`).

        Raises:
            InputError: the crop is larger than the scenes.
        """
        self._first_row, last_row = (round(share * scene.height) for share in settings.sensor_rows)
        self._size = (last_row - self._first_row, scene.width)
        check_crop(settings.patch, self._size, name="simulated scenes")
        self.textures = textures
        self.scene = scene
        self.settings = settings
        self._scene = Latest(self._draw_scene)

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number`, from 0 without end."""
        rng = np.random.default_rng((self.settings.seed, number, _SAMPLE_DRAWS))
        t = _draw_instant(rng, self.settings.times)
        (rows, width), name = self.settings.patch, f"simulated/{number:08d}"
        top, left = draw_corner(rng, (rows, width), self._size, name=name)
        times = self.settings.instants or (0.0, t, 1.0)
        capture = self._scene(number // self.settings.crops_per_scene).capture(
            times if self.settings.with_truth or self.settings.with_flows else (),
            Window(self._first_row + top, left, rows, width),
            with_flows=self.settings.with_flows,
            flow_stride=_FLOW_STRIDE,
            name=name,
        )
        return _make_sample(capture, t, rng, self.settings)

    def _draw_scene(self, number: int) -> Scene:
        return draw_scene(self.textures, self.scene, (self.settings.seed, number, _SCENE))


def find_frames(instants: Sequence[float], captures: CaptureFolder, index: int) -> tuple[int, ...]:
    """Indices of a capture's true frames at some instants.

    Raises:
        InputError: there is no frame at one of them.
    """
    count = captures.frame_count(index)
    found = [frame_at(t, count) for t in instants]
    frames = tuple(frame for frame in found if frame is not None)
    if len(frames) < len(found):
        wanted = ", ".join(f"{t:g}" for t in instants)
        raise InputError(
            f"{captures.names[index]}: expected true frames at t = {wanted}, got {count} from 0 to "
            "1; choose another netG.num_frames or other data"
        )
    return frames


def _draw_instant(rng: np.random.Generator, times: Times) -> float:
    if times == "continuous":
        return float(rng.uniform())
    return int(rng.integers(1, _RELEASED_INTERVALS)) / _RELEASED_INTERVALS


def draw_corner(
    rng: np.random.Generator, patch: tuple[int, int], size: tuple[int, int], *, name: str
) -> tuple[int, int]:
    """Draw the row and column of a crop's top left pixel.

    Raises:
        InputError: the crop is larger than the image, which the message calls `name`.
    """
    check_crop(patch, size, name=name)
    top, left = rng.integers(0, (size[0] - patch[0] + 1, size[1] - patch[1] + 1))
    return int(top), int(left)


def check_crop(patch: tuple[int, int], size: tuple[int, int], *, name: str) -> None:
    """Check that a crop (rows, columns) fits into images of a size.

    Raises:
        InputError: it does not.
    """
    if patch[0] > size[0] or patch[1] > size[1]:
        raise InputError(
            f"{name}: patch_size {patch[0]}x{patch[1]} is larger than the image, "
            f"{size[0]}x{size[1]} (rows x columns); choose a smaller patch"
        )


def _make_sample(
    capture: CapturePair, t: float, rng: np.random.Generator, settings: TrainingSetSettings
) -> TrainingSample:
    """Apply random symmetries to a crop, and pack it for training."""
    mirrored, upside_down, backwards = (rng.random(3) < 0.5) & settings.augment
    if mirrored:
        capture = flip_horizontal(capture)
    if upside_down:
        capture = flip_vertical(capture)
    if backwards:
        capture, t = reverse_time(capture), 1 - t
    return TrainingSample(
        pair=capture.pair,
        scan_time=capture.scan_time,
        t=torch.tensor(t, dtype=torch.float32),
        truth=capture.truth if settings.with_truth else None,
        truth_flows=capture.truth_flows,
        cues=settings.find_cues(capture, t) if settings.find_cues else None,
    )
