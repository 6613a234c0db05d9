"""Random crops to train on, from folders or simulated on the fly.

Sample number n is a pure function of (seed, n), whatever the number of workers or ranks and
whatever was drawn before: whoever resumes only needs to know the number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair, TrainingSample
from data.layouts import CaptureFolder
from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.transforms import crop, flip_horizontal, flip_vertical, reverse_time
from utils.errors import InputError

Times = Literal["released", "continuous"]

_RELEASED_INTERVALS = 8
_FLOW_STRIDE = 2  # the generator's flows have half the size of the images
# The last word of a seed keeps the draws for different purposes apart.
_SAMPLE_DRAWS, _EPOCH_ORDER, _SCENE = 1, 2, 3


@dataclass(frozen=True)
class TrainingSetSettings:
    """How samples are drawn.

    Attributes:
        patch_size: (rows, columns) of the crops, at random places; one number for square ones.
        times: "released" draws t from {1..7}/8, "continuous" uniformly from [0, 1]. With truth from
            a folder t is the instant of one of the frames between the first and the last.
        augment: whether to flip either way and to reverse time, each with probability 1/2.
        seed: not negative; decides every draw.
        with_truth: whether samples carry the true frames at 0, t, 1.
        with_flows: whether samples carry exact displacements; only for simulated scenes.
        find_cues: (capture, t) -> motion cues (3, C, h, w) of the frames at 0, t and 1, if samples
            carry them.
        crops_per_scene: how many consecutive samples show the same scene or capture.
        sensor_rows: (low, high) share of a simulated sensor's rows that crops are taken from; in
            the upper half the motion between the inputs has one sign and is learned sooner.
    """

    patch_size: int | tuple[int, int] = 256
    times: Times = "released"
    augment: bool = True
    seed: int = 0
    with_truth: bool = False
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
    """Crops of captures on disk; every epoch takes each capture in turn, in an order of its own."""

    def __init__(self, captures: CaptureFolder, settings: TrainingSetSettings) -> None:
        """Check that the captures have what the settings ask for.

        Raises:
            InputError: they lack flows, or truth of at least 3 frames.
        """
        if settings.with_flows:
            raise InputError("flows: exact ones exist for simulated scenes only; set it to false")
        if settings.with_truth:
            fewest = min(captures.frame_count(index) for index in range(len(captures)))
            if fewest < 3:
                raise InputError(
                    f"training with truth needs at least 3 true frames per capture, got {fewest}; "
                    "train without truth or add GS frames"
                )
        self.captures = captures
        self.settings = settings
        self._latest: tuple[tuple[int, tuple[int, ...]], CapturePair] | None = None

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number`, any number from 0 on.

        Raises:
            InputError: an image cannot be read or is smaller than the crop.
        """
        index = self._capture_index(number // self.settings.crops_per_scene)
        rng = _random(self.settings, number, _SAMPLE_DRAWS)
        t, frames = self._draw_instant(rng, index)
        capture = self._load(index, frames)
        patch = self.settings.patch
        top, left = _draw_corner(rng, patch, (capture.height, capture.width), name=capture.name)
        capture = crop(capture, top=top, left=left, height=patch[0], width=patch[1])
        return _sample(capture, t, rng, self.settings)

    def _load(self, index: int, frames: tuple[int, ...]) -> CapturePair:
        """Read a capture; the latest one is kept for its further crops."""
        if self._latest is None or self._latest[0] != (index, frames):
            self._latest = (index, frames), self.captures.load(index, frames)
        return self._latest[1]

    def _capture_index(self, turn: int) -> int:
        epoch, position = divmod(turn, len(self.captures))
        order = _random(self.settings, epoch, _EPOCH_ORDER).permutation(len(self.captures))
        return int(order[position])

    def _draw_instant(self, rng: np.random.Generator, index: int) -> tuple[float, tuple[int, ...]]:
        """Draw t, and which true frames to read for it."""
        if not self.settings.with_truth:
            return _draw_instant(rng, self.settings.times), ()
        last = self.captures.frame_count(index) - 1
        middle = int(rng.integers(1, last))
        return middle / last, (0, middle, last)


class SimulatedTrainingSet(Dataset[TrainingSample]):
    """Crops of simulated scenes, `crops_per_scene` of each; only the crops are rendered."""

    def __init__(
        self, textures: Sequence[Tensor], scene: SceneSettings, settings: TrainingSetSettings
    ) -> None:
        """Take the photos that scenes are made of (`data.simulator.textures.load_textures`).

        Raises:
            InputError: the crop is larger than the scenes.
        """
        self._first_row, last_row = (round(share * scene.height) for share in settings.sensor_rows)
        self._size = (last_row - self._first_row, scene.width)
        _check_crop(settings.patch, self._size, name="simulated scenes")
        self.textures = textures
        self.scene = scene
        self.settings = settings
        self._latest: tuple[int, Scene] | None = None

    def __getitem__(self, number: int) -> TrainingSample:
        """Sample `number`, any number from 0 on."""
        rng = _random(self.settings, number, _SAMPLE_DRAWS)
        t = _draw_instant(rng, self.settings.times)
        (rows, width), name = self.settings.patch, f"simulated/{number:08d}"
        top, left = _draw_corner(rng, (rows, width), self._size, name=name)
        capture = self._draw_scene(number // self.settings.crops_per_scene).capture(
            (0.0, t, 1.0) if self.settings.with_truth or self.settings.with_flows else (),
            Window(self._first_row + top, left, rows, width),
            with_flows=self.settings.with_flows,
            flow_stride=_FLOW_STRIDE,
            name=name,
        )
        return _sample(capture, t, rng, self.settings)

    def _draw_scene(self, number: int) -> Scene:
        """Scene `number`; the latest one is kept for its further crops."""
        if self._latest is None or self._latest[0] != number:
            seed = (self.settings.seed, number, _SCENE)
            self._latest = number, draw_scene(self.textures, self.scene, seed)
        return self._latest[1]


def _random(settings: TrainingSetSettings, number: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng((settings.seed, number, purpose))


def _draw_instant(rng: np.random.Generator, times: Times) -> float:
    if times == "continuous":
        return float(rng.uniform())
    return int(rng.integers(1, _RELEASED_INTERVALS)) / _RELEASED_INTERVALS


def _draw_corner(
    rng: np.random.Generator, patch: tuple[int, int], size: tuple[int, int], *, name: str
) -> tuple[int, int]:
    """Row and column of a crop's top left corner."""
    _check_crop(patch, size, name=name)
    top, left = rng.integers(0, (size[0] - patch[0] + 1, size[1] - patch[1] + 1))
    return int(top), int(left)


def _check_crop(patch: tuple[int, int], size: tuple[int, int], *, name: str) -> None:
    if patch[0] > size[0] or patch[1] > size[1]:
        raise InputError(
            f"{name}: patch_size {patch[0]}x{patch[1]} is larger than the image, "
            f"{size[0]}x{size[1]} (rows x columns); choose a smaller patch"
        )


def _sample(
    capture: CapturePair, t: float, rng: np.random.Generator, settings: TrainingSetSettings
) -> TrainingSample:
    """Apply random symmetries, and keep what training needs."""
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
