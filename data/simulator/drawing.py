"""Random scenes of moving photos.

A scene is a photo under a moving camera, with cut-outs of other photos that move on their own. The
background continues beyond its photo by reflection.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.simulator.imaging import Imaging
from data.simulator.layers import Layer
from data.simulator.procedural_textures import draw_outline
from data.simulator.scene import Scene
from data.simulator.textures import cut_window
from data.simulator.trajectories import (
    Motion,
    draw_camera_motion,
    draw_object_motion,
    shift_and_scale,
)
from utils.errors import InputError

_REFERENCE_AREA = 540 * 960  # px, of the frame for which object sizes are stated
_OBJECT_SIZES = (80.0, 260.0)  # px across
_MAX_REDUCTION = 3  # of photos
_BACKGROUND_SCALES = (0.6, 1.25)  # texture pixels per frame pixel: neither blurred nor aliased
_IMAGING = 4  # last word of the imaging seeds: independent of all other draws
_LIMITS = {
    "height": (2, math.inf),
    "width": (1, math.inf),
    "camera_motion": (0, math.inf),
    "object_motion": (0, math.inf),
    "acceleration": (0, math.inf),
    "max_objects": (0, math.inf),
    "gamma": (1, 10),
    "view_difference": (0, 1),
}
RANGE_LIMITS = {
    "strength": (0, 10),
    "exposure": (0, 1),
    "shot_noise": (0, 1),
    "read_noise": (0, 1),
}
"""Minimum and maximum of the settings that may be a range to draw from."""

Range = float | tuple[float, float]
"""One number, or a range (low, high) to draw from per scene."""


@dataclass(frozen=True)
class SceneSettings:
    """Distribution of the scenes to draw; a `Range` is drawn from per scene."""

    height: int = 540  # sensor rows, at least 2
    width: int = 960  # sensor columns
    # Longest translations over the readout at strength 1, in px: of the camera (rotation, zoom and
    # perspective are proportional), and of objects relative to the background.
    camera_motion: float = 60.0
    object_motion: float = 90.0
    acceleration: float = 12.0  # largest deviation of either from uniform translation, in px
    max_objects: int = 4
    strength: Range = 1.0  # scales all motion, 0 to 10
    exposure: Range = 0.0  # exposure time of each row as a share of the readout, 0 to 1
    gamma: float = 2.2  # image values are light ** (1 / gamma), 1 to 10
    shot_noise: Range = 0.0  # standard deviation at white, as a share of white in light, 0 to 1
    read_noise: Range = 0.0  # standard deviation at black, likewise
    view_difference: float = 0.0  # largest difference of gains between t2b and b2t, 0 to 1
    parallax: tuple[float, float] = (0.0, 0.0)  # (x, y) px, content of b2t right and below t2b's

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a setting is out of range.
        """
        for name, (lowest, highest) in (_LIMITS | RANGE_LIMITS).items():
            value = getattr(self, name)
            low, high = self.range_of(name)
            if not (lowest <= low <= high <= highest and high < math.inf):
                expected = f"at least {lowest}" if highest == math.inf else f"{lowest} to {highest}"
                either = ", or a range (low, high) of that" if name in RANGE_LIMITS else ""
                raise InputError(f"scene: {name} must be {expected}{either}, got {value}")
        if len(self.parallax) != 2 or not all(map(math.isfinite, self.parallax)):
            raise InputError(f"scene: parallax must be (x, y) in px, got {self.parallax}")

    def range_of(self, name: str) -> tuple[float, float]:
        """(low, high) of a setting; equal for a single number."""
        value = getattr(self, name)
        low, high = (value, value) if isinstance(value, (int, float)) else value
        return low, high


def draw_scene(
    textures: Sequence[Tensor], settings: SceneSettings, seed: int | Sequence[int]
) -> Scene:
    """Draw a random scene; the same seed gives the same scene, bit for bit.

    Args:
        textures: (3, h, w) RGB, uint8 or float32 in [0, 1] (`load_textures`); with several of
            them, objects show others than the background.
        settings: distribution of the scenes.
        seed: anything that seeds `numpy.random.default_rng`.

    Raises:
        InputError: there are no textures.
    """
    if not textures:
        raise InputError("scene: expected at least one photo, got none; add photos or textures")
    rng = np.random.default_rng(seed)
    strength = rng.uniform(*settings.range_of("strength"))
    camera = draw_camera_motion(
        rng,
        travel=strength * settings.camera_motion,
        acceleration=strength * settings.acceleration,
        reach=math.hypot(settings.height, settings.width) / 2,
    )
    order = rng.permutation(len(textures))
    layers = [_draw_background(textures[order[0]], settings, rng)]
    others = order[1:] if len(order) > 1 else order
    for _ in range(rng.integers(settings.max_objects + 1)):
        photo = textures[rng.choice(others)]
        layers.append(_draw_object(photo, settings, strength, rng))
    imaging = draw_imaging(settings, seed)
    return Scene(settings.height, settings.width, camera, tuple(layers), imaging)


def draw_imaging(settings: SceneSettings, seed: int | Sequence[int]) -> Imaging:
    """Draw the imaging of a scene, independently of its content."""
    words = tuple(seed) if isinstance(seed, Sequence) else (seed,)
    rng = np.random.default_rng((*words, _IMAGING))
    spread = settings.view_difference / 2
    t2b, b2t = (1 + rng.uniform(-spread, spread, size=(2, 3))).tolist()
    return Imaging(
        exposure=rng.uniform(*settings.range_of("exposure")),
        gamma=settings.gamma,
        shot_noise=rng.uniform(*settings.range_of("shot_noise")),
        read_noise=rng.uniform(*settings.range_of("read_noise")),
        gains=(tuple(t2b), tuple(b2t)),
        parallax=settings.parallax,
        noise_seed=int(rng.integers(2**32)),
    )


def _draw_background(photo: Tensor, settings: SceneSettings, rng: np.random.Generator) -> Layer:
    """Cut a window out of a photo, larger than the frame and slightly rotated."""
    reduction = _draw_reduction(photo, settings.height, settings.width, rng)
    fit = min(photo.shape[1] / settings.height, photo.shape[2] / settings.width)
    low, high = _BACKGROUND_SCALES
    scale = min(max(fit / reduction * rng.uniform(0.7, 1.05), low), high)
    height, width = (2 + int(1.3 * scale * side) for side in (settings.height, settings.width))
    texture = cut_window(photo, height, width, reduction=reduction, rng=rng)
    middle = ((texture.shape[2] - 1) / 2, (texture.shape[1] - 1) / 2)
    angle = math.radians(rng.uniform(-5, 5))
    return Layer(texture, shift_and_scale(middle, scale, angle), Motion.at_rest())


def _draw_object(
    photo: Tensor, settings: SceneSettings, strength: float, rng: np.random.Generator
) -> Layer:
    """Cut an object out of a photo; it is at a random place in the frame at t = 1/2."""
    frame_scale = math.sqrt(settings.height * settings.width / _REFERENCE_AREA)
    sizes = frame_scale * rng.uniform(*_OBJECT_SIZES, size=2)
    height, width = (max(8, round(size)) for size in sizes)
    reduction = _draw_reduction(photo, height, width, rng)
    colours = cut_window(photo, height, width, reduction=reduction, rng=rng)
    height, width = colours.shape[1:]
    texture = torch.cat((colours, draw_outline(rng, height, width)[None]))
    x, y = rng.uniform(-0.5, 0.5, size=2) * (settings.width, settings.height)
    motion = draw_object_motion(
        rng,
        (x, y),
        travel=strength * settings.object_motion,
        acceleration=strength * settings.acceleration,
        strength=strength,
    )
    return Layer(texture, shift_and_scale(((width - 1) / 2, (height - 1) / 2)), motion)


def _draw_reduction(photo: Tensor, height: int, width: int, rng: np.random.Generator) -> int:
    """Draw a factor by which the photo may be reduced and still fill `height` x `width`."""
    fit = min(photo.shape[1] // height, photo.shape[2] // width, _MAX_REDUCTION)
    return int(rng.integers(1, max(1, fit) + 1))
