"""Pairs of frames with their exact flow, from simulated scenes: what a flow network learns from.

As in `data.training.crops`, sample number n is a pure function of (seed, n).
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.simulator.drawing import SceneSettings, draw_scene
from data.simulator.scene import Scene
from utils.errors import InputError

# The last word of a seed keeps the draws for different purposes apart.
_SAMPLE_DRAWS, _SCENE, _SIZE = 1, 2, 3

_GAIN, _TINT = 0.15, 0.04  # largest relative change of brightness, and of each channel besides
_NOISE = 0.02  # largest standard deviation of the noise added to both frames


class FlowSample(NamedTuple):
    """Two frames and what moved between them, or a batch of these with a leading batch axis.

    Attributes:
        first: (3, H, W) RGB in [0, 1].
        second: (3, H, W).
        flow: (2, H, W) displacement (dx, dy) in pixels from each pixel of `first` to where its
            point is at the time of `second`.
        visible: (1, H, W), 1 where that point is seen in `second`, else 0: hidden there by a nearer
            object, or outside.
    """

    first: Tensor
    second: Tensor
    flow: Tensor
    visible: Tensor


@dataclass(frozen=True)
class FlowSetSettings:
    """How samples are drawn.

    Attributes:
        patch_sizes: (rows, columns) to choose from for the crops, which lie at random places. A
            network that sees one size alone learns where its borders are, and fails on others.
        batch: how many consecutive samples have the same size.
        augment: whether to flip crops either way, each with probability 1/2, and to change
            brightness, tint and noise of the two frames apart from each other.
        seed: not negative; decides every draw.
        crops_per_scene: how many consecutive samples show the same scene, at other instants.
        first_strength: share of the scenes' motion that sample 0 has.
        ramp: number of samples over which it grows to all of it.
    """

    patch_sizes: tuple[tuple[int, int], ...]
    batch: int = 1
    augment: bool = True
    seed: int = 0
    crops_per_scene: int = 1
    first_strength: float = 1.0
    ramp: int = 0


class FlowTrainingSet(Dataset[FlowSample]):
    """Crops of two global-shutter frames of a scene at random instants, in either order."""

    def __init__(
        self, textures: Sequence[Tensor], scene: SceneSettings, settings: FlowSetSettings
    ) -> None:
        """Take the photos that scenes are made of (`data.simulator.textures.load_textures`).

        Raises:
            InputError: the crop is larger than the scenes.
        """
        for rows, width in settings.patch_sizes:
            if rows > scene.height or width > scene.width:
                raise InputError(
                    f"patch_sizes: {rows}x{width} is larger than the scenes, "
                    f"{scene.height}x{scene.width}; choose a smaller patch"
                )
        self.textures = textures
        self.scene = scene
        self.settings = settings
        self._latest: tuple[int, Scene] | None = None

    def __getitem__(self, number: int) -> FlowSample:
        """Sample `number`, any number from 0 on."""
        settings = self.settings
        rows, width = self._size_of(number // settings.batch)
        rng = np.random.default_rng((settings.seed, number, _SAMPLE_DRAWS))
        room = (self.scene.height - rows + 1, self.scene.width - width + 1)
        top, left = (int(value) for value in rng.integers(0, room))
        start, end = rng.uniform(0, 1, size=2)
        sample = image_pair(
            self._draw_scene(number // settings.crops_per_scene),
            (float(start), float(end)),
            (top, left, rows, width),
        )
        return _augmented(sample, rng) if settings.augment else sample

    def _size_of(self, batch: int) -> tuple[int, int]:
        """Rows and columns of the samples of a batch."""
        rng = np.random.default_rng((self.settings.seed, batch, _SIZE))
        return self.settings.patch_sizes[rng.integers(len(self.settings.patch_sizes))]

    def _draw_scene(self, number: int) -> Scene:
        """Scene `number`; the latest one is kept for its further crops."""
        if self._latest is None or self._latest[0] != number:
            seed = (self.settings.seed, number, _SCENE)
            self._latest = number, draw_scene(self.textures, self._settings_of(number), seed)
        return self._latest[1]

    def _settings_of(self, number: int) -> SceneSettings:
        """The settings of scene `number`: its motion grows with the number of the samples."""
        progress = number * self.settings.crops_per_scene / max(self.settings.ramp, 1)
        share = min(
            1.0, self.settings.first_strength + (1 - self.settings.first_strength) * progress
        )
        low, high = self.scene.range_of("strength")
        return replace(self.scene, strength=(share * low, share * high))


@dataclass(frozen=True)
class FlowPairs(Dataset[FlowSample]):
    """Whole frames of scenes to score a flow network on; pair i is a function of (seed, i).

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
        """Number of pairs."""
        return self.count

    def __getitem__(self, index: int) -> FlowSample:
        """Pair `index`, from 0 on: between instants that are 1/4 to 1 of the readout apart."""
        scene = draw_scene(self.textures, self.scene, (self.seed, index, _SCENE))
        rng = np.random.default_rng((self.seed, index, _SAMPLE_DRAWS))
        length = rng.uniform(0.25, 1)
        start = rng.uniform(0, 1 - length)
        return image_pair(scene, (start, start + length), (0, 0, scene.height, scene.width))


def image_pair(
    scene: Scene, instants: tuple[float, float], window: tuple[int, int, int, int]
) -> FlowSample:
    """Two global-shutter frames of a scene and the flow between them, in a window.

    Args:
        scene: what to image.
        instants: of the first and the second frame, in [0, 1].
        window: top, left, rows and width of the part of the frame; what leaves it is not visible.
    """
    top, left, rows, width = window
    times = torch.tensor(instants)[:, None].expand(-1, rows)
    first, second = scene.render(times, top=top, left=left, width=width)
    flow, visible = scene.motion(*instants, top=top, left=left, rows=rows, width=width)
    return FlowSample(first, second, flow, visible * stays_inside(flow))


def stays_inside(flow: Tensor) -> Tensor:
    """(1, H, W), 1 where a pixel's target by a flow (2, H, W) lies inside its image, else 0."""
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


def _augmented(sample: FlowSample, rng: np.random.Generator) -> FlowSample:
    for horizontal in (True, False):
        if rng.random() < 0.5:
            sample = flip(sample, horizontal=horizontal)
    noise = rng.uniform(0, _NOISE)
    first, second = (_vary(image, noise, rng) for image in sample[:2])
    return sample._replace(first=first, second=second)


def _vary(image: Tensor, noise: float, rng: np.random.Generator) -> Tensor:
    """Another brightness and tint, and noise of a standard deviation."""
    gain = rng.uniform(1 - _GAIN, 1 + _GAIN) * rng.uniform(1 - _TINT, 1 + _TINT, size=(3, 1, 1))
    grain = noise * rng.standard_normal(tuple(image.shape), dtype=np.float32)
    return (image * torch.from_numpy(gain).float() + torch.from_numpy(grain)).clamp(0, 1)
