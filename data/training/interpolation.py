"""Samples to train and score an interpolator on: two frames, and the image between them.

They are what `models.plusplus.rebuilding` asks of an interpolator: the frames are at 0 and 1, 0 and
t, or t and 1, in either order; the rows of the image are exposed as those of one of the two views.
As in `data.training.crops`, sample number n is a pure function of (seed, n).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.time_maps import scan_time
from data.training.flow_pairs import SceneCrops, WholeScenes, stays_inside


class InterpolationSample(NamedTuple):
    """Two frames and the image between them, or a batch with a leading batch axis.

    Attributes:
        first: (3, H, W) RGB in [0, 1], the frame at position 0.
        second: (3, H, W), the frame at position 1.
        position: (H,) of the image's rows, in [0, 1].
        target: (3, H, W) the image.
        flows: (4, H, W) displacement (dx, dy) in pixels of each pixel of the image to `first`, then
            to `second`.
        visible: (2, H, W), 1 where the point is visible in `first`, and in `second`, else 0.
    """

    first: Tensor
    second: Tensor
    position: Tensor
    target: Tensor
    flows: Tensor
    visible: Tensor


class InterpolationTrainingSet(SceneCrops, Dataset[InterpolationSample]):
    """Crops, flipped at random with `augment`."""

    def __getitem__(self, number: int) -> InterpolationSample:
        """Sample `number`, from 0 without end."""
        scene, window, rng = self.draw(number)
        sample = draw_sample(scene, window, rng)
        if self.settings.augment:
            for horizontal in (True, False):
                if rng.random() < 0.5:
                    sample = flip(sample, horizontal=horizontal)
        return sample


class InterpolationScenes(WholeScenes, Dataset[InterpolationSample]):
    """Whole frames to score an interpolator on; sample i is a function of (seed, i)."""

    def __getitem__(self, index: int) -> InterpolationSample:
        """Sample `index`: the whole readout from the frames at its two ends."""
        scene, _ = self.draw(index)
        return image_between(scene, (0.0, 1.0), scan_time(scene.height), scene.frame)


def draw_sample(scene: Scene, window: Window, rng: np.random.Generator) -> InterpolationSample:
    """Draw the view, t, and one of the legs 0 -> 1, 0 -> t and t -> 1 on which rows lie."""
    exposed = scan_time(scene.height, rows=window.rows, top=window.top)
    if rng.random() < 0.5:
        exposed = 1 - exposed
    t = float(rng.uniform())
    legs = [(0.0, 1.0), (0.0, t), (t, 1.0)]
    crossed = [leg for leg in legs if bool(((exposed > leg[0]) & (exposed < leg[1])).any())]
    leg = (crossed or legs[:1])[int(rng.integers(len(crossed or legs[:1])))]
    sample = image_between(scene, leg, exposed, window)
    return swap(sample) if rng.random() < 0.5 else sample


def image_between(
    scene: Scene, leg: tuple[float, float], exposed: Tensor, window: Window
) -> InterpolationSample:
    """Image the frames at the ends of a leg, and the rows between them.

    Args:
        scene: the scene.
        leg: instants of the frames in [0, 1], the later one second.
        exposed: (rows,) exposure times of the window's rows; those beyond the leg are taken at its
            nearer end.
        window: part of the frame; points that leave it are not visible.
    """
    start, end = leg
    position = ((exposed.double() - start) / (end - start)).clamp(0, 1)
    instants = (start + (end - start) * position).clamp(0, 1)
    ends = instants.new_tensor(leg)[:, None].expand(-1, window.rows)
    first, second, target = scene.render(torch.cat((ends, instants[None])), window)
    motions = [scene.motion(instants, instant, window) for instant in leg]
    visible = [motion.visible * stays_inside(motion.flow) for motion in motions]
    flows = torch.cat([motion.flow for motion in motions])
    return InterpolationSample(first, second, position.float(), target, flows, torch.cat(visible))


def swap(sample: InterpolationSample) -> InterpolationSample:
    """The sample with its frames in the other order."""
    return InterpolationSample(
        sample.second,
        sample.first,
        1 - sample.position,
        sample.target,
        sample.flows.roll(2, dims=0),
        sample.visible.flip(0),
    )


def flip(sample: InterpolationSample, *, horizontal: bool) -> InterpolationSample:
    """Mirror a sample, left to right or else top to bottom."""
    axis = -1 if horizontal else -2
    first, second, target, flows, visible = (
        part.flip(axis) for part in sample if part is not sample.position
    )
    position = sample.position if horizontal else sample.position.flip(0)
    mirrored = flows.new_tensor((-1.0, 1.0) if horizontal else (1.0, -1.0)).repeat(2)
    flows = flows * mirrored[:, None, None]
    return InterpolationSample(first, second, position, target, flows, visible)
