"""Pairs of simulated frames with exact flow, to train and score flow networks.

As in `data.training.crops`, sample number n is a pure function of (seed, n).
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.training.crops import check_crop, draw_corner
from data.training.latest import Latest

# Last word of the seeds: draws for different purposes are independent.
_SAMPLE_DRAWS, _SCENE, _SIZE = 1, 2, 3

_MAX_GAIN, _MAX_TINT = 0.15, 0.04  # relative change of brightness, and of each channel
_MAX_NOISE = 0.02  # standard deviation


class FlowSample(NamedTuple):
    """Two frames and the motion between them, or a batch of these with a leading batch axis.

    Attributes:
        first: (3, H, W) RGB in [0, 1].
        second: (3, H, W).
        flow: (2, H, W) displacement (dx, dy) in pixels of each pixel of `first` to `second`.
        visible: (1, H, W), 1 where the target is visible, 0 where it is occluded or outside.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    visible: Tensor


@dataclass(frozen=True)
class FlowSetSettings:
    """How samples are drawn.

    Attributes:
        patch_sizes: (rows, columns) of the crops, to choose from. A network trained on one size
            learns where its borders are, and fails on others.
        batch: number of consecutive samples of one size.
        augment: whether to flip crops horizontally and vertically, each with probability 1/2, and
            to change brightness, tint and noise of each frame.
        seed: of all draws, not negative.
        crops_per_scene: number of consecutive samples of one scene, at different instants.
        first_strength: share of the scenes' motion in sample 0.
        ramp: number of samples over which that share grows to 1.
    """

    patch_sizes: tuple[tuple[int, int], ...]
    batch: int = 1
    augment: bool = True
    seed: int = 0
    crops_per_scene: int = 1
    first_strength: float = 1.0
    ramp: int = 0


class SceneCrops:
    """Crops of simulated scenes: sample number n is one of a scene, in a window of its frame."""

    def __init__(
        self, textures: Sequence[Tensor], scene: SceneSettings, settings: FlowSetSettings
    ) -> None:
        """Set the textures of the scenes (`data.simulator.textures.load_textures`).

        Raises:
            InputError: a crop is larger than the scenes.
        """
        self._frame_size = scene.height, scene.width
        for patch in settings.patch_sizes:
            check_crop(patch, self._frame_size, name="simulated scenes")
        self.textures = textures
        self.scene = scene
        self.settings = settings
        self._scene = Latest(self._draw_scene)

    def draw(self, number: int) -> tuple[Scene, Window, np.random.Generator]:
        """Scene and window of sample `number`, and the generator of its further draws."""
        settings = self.settings
        patch = self._size_of(number // settings.batch)
        rng = np.random.default_rng((settings.seed, number, _SAMPLE_DRAWS))
        top, left = draw_corner(rng, patch, self._frame_size, name="simulated scenes")
        return self._scene(number // settings.crops_per_scene), Window(top, left, *patch), rng

    def _size_of(self, batch: int) -> tuple[int, int]:
        """Rows and columns of the samples of a batch."""
        rng = np.random.default_rng((self.settings.seed, batch, _SIZE))
        return self.settings.patch_sizes[rng.integers(len(self.settings.patch_sizes))]

    def _draw_scene(self, number: int) -> Scene:
        """Draw scene `number`; its motion grows along the ramp."""
        progress = number * self.settings.crops_per_scene / max(self.settings.ramp, 1)
        first = self.settings.first_strength
        share = min(1.0, first + (1 - first) * progress)
        low, high = self.scene.range_of("strength")
        settings = replace(self.scene, strength=(share * low, share * high))
        return draw_scene(self.textures, settings, (self.settings.seed, number, _SCENE))


class FlowTrainingSet(SceneCrops, Dataset[FlowSample]):
    """Crops of two global-shutter frames of a scene at random instants, in either order."""

    def __getitem__(self, number: int) -> FlowSample:
        """Sample `number`, from 0 without end."""
        scene, window, rng = self.draw(number)
        start, end = rng.uniform(0, 1, size=2)
        sample = image_pair(scene, (float(start), float(end)), window)
        return _augment(sample, rng) if self.settings.augment else sample


@dataclass(frozen=True)
class WholeScenes:
    """Scenes to score a network on, whole frames; scene i is a function of (seed, i)."""

    textures: Sequence[Tensor]
    scene: SceneSettings
    _: KW_ONLY
    count: int
    seed: int

    def __len__(self) -> int:
        """Number of scenes."""
        return self.count

    def draw(self, index: int) -> tuple[Scene, np.random.Generator]:
        """Scene `index`, and the generator of further draws."""
        scene = draw_scene(self.textures, self.scene, (self.seed, index, _SCENE))
        return scene, np.random.default_rng((self.seed, index, _SAMPLE_DRAWS))


@dataclass(frozen=True)
class FlowPairs(WholeScenes, Dataset[FlowSample]):
    """Pairs of whole frames to score a flow network on; pair i is a function of (seed, i)."""

    def __getitem__(self, index: int) -> FlowSample:
        """Pair `index`, of instants that are 1/4 to 1 of the readout apart."""
        scene, rng = self.draw(index)
        length = rng.uniform(0.25, 1)
        start = rng.uniform(0, 1 - length)
        return image_pair(scene, (start, start + length), scene.frame)


def image_pair(scene: Scene, instants: tuple[float, float], window: Window) -> FlowSample:
    """Image two global-shutter frames of a scene and the flow between them.

    Args:
        scene: the scene.
        instants: of the first and the second frame, in [0, 1].
        window: part of the frame; points that leave it are not visible.
    """
    times = torch.tensor(instants)[:, None].expand(-1, window.rows)
    first, second = scene.render(times, window)
    flow, visible = scene.motion(*instants, window)
    return FlowSample(first, second, flow, visible * stays_inside(flow))


def stays_inside(flow: Tensor) -> Tensor:
    """(1, H, W), 1 where the target of a flow (2, H, W) lies inside the image, else 0."""
    rows, width = flow.shape[1:]
    x = torch.arange(width).to(flow) + flow[0]
    y = torch.arange(rows).to(flow)[:, None] + flow[1]
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= rows - 1))[None].to(flow)


def flip(sample: FlowSample, *, horizontal: bool) -> FlowSample:
    """Mirror a sample, left to right or else top to bottom."""
    axis = -1 if horizontal else -2
    first, second, flow, visible = (value.flip(axis) for value in sample)
    mirrored = flow.new_tensor((-1.0, 1.0) if horizontal else (1.0, -1.0))
    return FlowSample(first, second, flow * mirrored[:, None, None], visible)


def _augment(sample: FlowSample, rng: np.random.Generator) -> FlowSample:
    for horizontal in (True, False):
        if rng.random() < 0.5:
            sample = flip(sample, horizontal=horizontal)
    noise = rng.uniform(0, _MAX_NOISE)
    first, second = (_vary_image(image, noise, rng) for image in sample[:2])
    return sample._replace(first=first, second=second)


def _vary_image(image: Tensor, noise: float, rng: np.random.Generator) -> Tensor:
    """Change brightness and tint, and add noise of a standard deviation."""
    gain = rng.uniform(1 - _MAX_GAIN, 1 + _MAX_GAIN)
    tint = rng.uniform(1 - _MAX_TINT, 1 + _MAX_TINT, size=(3, 1, 1))
    grain = noise * rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return (image * torch.from_numpy(gain * tint).float() + torch.from_numpy(grain)).clamp(0, 1)
