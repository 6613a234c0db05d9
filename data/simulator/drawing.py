"""Random scenes of moving photos.

A scene is a photo under a moving camera, with cut-outs of other photos that move on their own. The
background continues beyond its photo by reflection.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from data.simulator.clip_motion import lengthen_motion, shake_camera
from data.simulator.imaging import Imaging
from data.simulator.layers import Layer
from data.simulator.procedural_textures import draw_outline
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
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
_IMAGING, _CLIP, _SHAKE = 4, 5, 6  # last words of seeds: independent of all other draws


def draw_scene(
    textures: Sequence[Tensor],
    settings: SceneSettings,
    seed: int | Sequence[int],
    *,
    readouts: int = 1,
) -> Scene:
    """Draw a random scene; the same seed gives the same scene, bit for bit.

    Args:
        textures: (3, h, w) RGB, uint8 or float32 in [0, 1] (`load_textures`); with several of
            them, objects show others than the background.
        settings: distribution of the scenes.
        seed: anything that seeds `numpy.random.default_rng`.
        readouts: length of the clip that the scene will show (`Scene.readout`). Objects of longer
            clips accelerate, and are somewhere in the frame at a random instant of the clip.

    Raises:
        InputError: there are no textures.
    """
    if not textures:
        raise InputError("scene: expected at least one photo, got none; add photos or textures")
    rng = np.random.default_rng(seed)
    strength = rng.uniform(*settings.range_of("strength"))
    reach = math.hypot(settings.height, settings.width) / 2
    camera = draw_camera_motion(
        rng,
        travel=strength * settings.camera_motion,
        acceleration=strength * settings.acceleration,
        reach=reach,
    )
    order = rng.permutation(len(textures))
    layers = [_draw_background(textures[order[0]], settings, rng)]
    others = order[1:] if len(order) > 1 else order
    for _ in range(rng.integers(settings.max_objects + 1)):
        photo = textures[rng.choice(others)]
        layers.append(_draw_object(photo, settings, strength, rng))
    words = _words(seed)
    if readouts > 1:
        clip = np.random.default_rng((*words, _CLIP))
        camera = lengthen_motion(camera, clip, readouts, middle=readouts / 2)
        layers[1:] = [
            replace(
                layer,
                motion=lengthen_motion(
                    layer.motion, clip, readouts, middle=clip.uniform(0, readouts)
                ),
            )
            for layer in layers[1:]
        ]
    if settings.camera_shake:
        shake = np.random.default_rng((*words, _SHAKE))
        amplitude = strength * settings.camera_shake
        camera = shake_camera(camera, shake, amplitude=amplitude, reach=reach)
    imaging = draw_imaging(settings, seed)
    return Scene(settings.height, settings.width, camera, tuple(layers), imaging)


def draw_imaging(settings: SceneSettings, seed: int | Sequence[int]) -> Imaging:
    """Draw the imaging of a scene, independently of its content."""
    rng = np.random.default_rng((*_words(seed), _IMAGING))
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


def _words(seed: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(seed) if isinstance(seed, Sequence) else (seed,)


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
