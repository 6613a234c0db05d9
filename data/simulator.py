"""Scenes of moving photos, imaged exactly by either shutter.

A scene is a photo under a moving camera, and cut-outs of other photos that move by themselves.
Every row of an image is sampled at its own exposure instant: rolling-shutter images and
global-shutter frames come from the same code and differ only in the instants asked for. The
background continues beyond its photo as mirror images, so the frame never shows emptiness.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.capture import CapturePair
from data.layers import Layer, Window
from data.textures import cut_window, draw_outline
from data.time_maps import scan_time
from data.trajectories import (
    EXPOSURE_INSTANTS,
    Motion,
    apply,
    draw_camera_motion,
    draw_object_motion,
    exposed_positions,
    inverse,
    shift_and_scale,
)
from utils.errors import InputError

_REFERENCE_AREA = 540 * 960  # frame for which sizes of objects are stated, px
_OBJECT_SIZES = (80.0, 260.0)  # px across
_LARGEST_REDUCTION = 3  # of photos that are larger than what they fill
_BACKGROUND_SCALES = (0.6, 1.25)  # texture pixels per frame pixel, sharp and free of aliasing
_MOTIONS = ("camera_motion", "object_motion", "acceleration")
_LOWEST = {"height": 2, "width": 1, "max_objects": 0, **dict.fromkeys(_MOTIONS, 0)}


@dataclass(frozen=True)
class SceneSettings:
    """What scenes to draw.

    Attributes:
        height: sensor rows, at least 2.
        width: sensor columns.
        camera_motion: longest translation of the camera over the readout at strength 1, in px;
            rotation, zoom and perspective grow with it.
        object_motion: longest translation of an object, on top of the camera's, in px.
        acceleration: largest deviation of either from uniform translation, in px.
        max_objects: a scene has 0 to this many objects.
        strength: scales all motion; a (low, high) range is drawn from for each scene.
    """

    height: int = 540
    width: int = 960
    camera_motion: float = 60.0
    object_motion: float = 90.0
    acceleration: float = 12.0
    max_objects: int = 4
    strength: float | tuple[float, float] = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: naming the setting, what was expected and what was given.
        """
        for name, limit in _LOWEST.items():
            value = getattr(self, name)
            if not limit <= value < math.inf:
                raise InputError(f"scene: {name} must be at least {limit}, got {value}")
        low, high = self.strength_range
        if not 0 <= low <= high < math.inf:
            raise InputError(
                f"scene: strength must be >= 0 or a range (low, high) of that, got {self.strength}"
            )

    @property
    def strength_range(self) -> tuple[float, float]:
        """Lowest and highest strength."""
        if isinstance(self.strength, (int, float)):
            return self.strength, self.strength
        low, high = self.strength
        return low, high


@dataclass(frozen=True)
class Scene:
    """A camera moving past layers; it can be imaged at any instants.

    Attributes:
        height: sensor rows.
        width: sensor columns.
        camera: motion from sensor coordinates, their origin at the frame's centre, to the scene's.
        layers: back to front; the first one is the background.
    """

    height: int
    width: int
    camera: Motion
    layers: tuple[Layer, ...]

    def to(self, device: torch.device | str) -> "Scene":
        """The scene with its textures on `device`, where its images will be made."""
        layers = tuple(replace(layer, texture=layer.texture.to(device)) for layer in self.layers)
        return replace(self, layers=layers)

    def render(
        self, instants: Tensor, *, top: int = 0, left: int = 0, width: int | None = None
    ) -> Tensor:
        """Image the scene, each row at its own instant.

        A part of the frame comes out as it does in the whole frame, pixel by pixel.

        Args:
            instants: (K, rows) exposure instants of consecutive sensor rows, for K images.
            top: sensor row of the first one; rows and columns beyond the frame are imaged too.
            left: sensor column of the first column.
            width: number of columns; up to the frame's right edge by default.

        Returns:
            (K, 3, rows, width) RGB float32 in [0, 1], on the scene's device.

        Raises:
            ValueError: the images would be empty.
        """
        window = self._window(top, left, instants.shape[1], width)
        background = self.layers[0]
        images = background.sample(self._to_texture(background, instants), window)
        for _, (rows, columns), rgba in self._sampled_objects(instants, window):
            images[:, :, rows, columns].lerp_(rgba[:, :3], rgba[:, 3:])
        return images.clamp_(0, 1)

    def capture(
        self,
        times: Sequence[float] | Tensor,
        *,
        top: int = 0,
        left: int = 0,
        rows: int | None = None,
        width: int | None = None,
        with_flows: bool = False,
        name: str = "simulated",
    ) -> CapturePair:
        """Image the scene, or a part of the frame, with both rolling shutters and a global one.

        Args:
            times: instants of the global-shutter frames, each in [0, 1].
            top: sensor row of the first row.
            left: sensor column of the first column.
            rows: number of rows; up to the frame's last by default.
            width: number of columns; up to the frame's right edge by default.
            with_flows: whether to add `truth_flows`, exact to 0.01 px: displacements to where each
                pixel's point is exposed, whether hidden there or not, inside the frame or not.
            name: the capture's name.

        Raises:
            InputError: `with_flows`, and content moves about as fast as the scan.
            ValueError: the images would be empty.
        """
        window = self._window(top, left, self.height - top if rows is None else rows, width)
        s = scan_time(self.height, rows=window.rows, top=top)
        instants = torch.as_tensor(times, dtype=torch.float32, device="cpu")
        frames = instants[:, None].expand(-1, window.rows)
        exposures = torch.cat((s[None], 1 - s[None], frames))
        images = self.render(exposures, top=top, left=left, width=window.width)
        return CapturePair(
            t2b=images[0],
            b2t=images[1],
            scan_time=s.to(images.device),
            name=name,
            truth=images[2:],
            truth_times=instants.to(images.device),
            truth_flows=self._exact_flows(instants, window) if with_flows else None,
        )

    def _exact_flows(self, times: Tensor, window: Window) -> Tensor:
        """(T, 2, 2, rows, width) displacements to the exposures in t2b and b2t."""
        owner = self._visible_layers(times, window)
        flows = owner.new_empty((*owner.shape, 2, 2), dtype=torch.float32)
        for number, layer in enumerate(self.layers):
            frame, row, column = (owner == number).nonzero(as_tuple=True)
            pixels = torch.stack((column + window.left, row + window.top), dim=-1).double()
            homographies = self._to_texture(layer, times).to(pixels)
            points = apply(homographies[frame], pixels)
            table = inverse(self._to_texture(layer, EXPOSURE_INSTANTS))
            for image, bottom_up in enumerate((False, True)):
                exposed = exposed_positions(
                    points, pixels[:, 1], table, height=self.height, bottom_up=bottom_up
                )
                flows[frame, row, column, image] = (exposed - pixels).float()
        return flows.permute(0, 3, 4, 1, 2).contiguous()

    def _visible_layers(self, times: Tensor, window: Window) -> Tensor:
        """(T, rows, width) number of the topmost layer that is more than half opaque, per pixel."""
        shape = (len(times), window.rows, window.width)
        owner = self.layers[0].texture.new_zeros(shape, dtype=torch.long)
        instants = times[:, None].expand(-1, window.rows)
        for number, (rows, columns), rgba in self._sampled_objects(instants, window):
            owner[:, rows, columns].masked_fill_(rgba[:, 3] > 0.5, number)
        return owner

    def _sampled_objects(
        self, instants: Tensor, window: Window
    ) -> Iterator[tuple[int, tuple[slice, slice], Tensor]]:
        """Each object in the window: its number, rows and columns it covers, its RGBA there."""
        for number, layer in enumerate(self.layers[1:], start=1):
            homographies = self._to_texture(layer, instants)
            covered = layer.footprint(homographies, window)
            if covered is not None:
                region = covered.within(window)
                yield number, region, layer.sample(homographies[:, region[0]], covered)

    def _to_texture(self, layer: Layer, times: Tensor) -> Tensor:
        """Homographies (..., 3, 3) from sensor pixels to the layer's texture at `times` (...)."""
        centre = shift_and_scale((-(self.width - 1) / 2, -(self.height - 1) / 2))
        t = times.to("cpu", torch.float64)
        return layer.from_scene(t) @ self.camera.homographies(t) @ centre

    def _window(self, top: int, left: int, rows: int, width: int | None) -> Window:
        window = Window(top, left, rows, self.width - left if width is None else width)
        if window.rows < 1 or window.width < 1:
            raise ValueError(f"cannot image {window} of a {self.height}x{self.width} frame")
        return window


def draw_scene(
    textures: Sequence[Tensor], settings: SceneSettings, seed: int | Sequence[int]
) -> Scene:
    """Draw a random scene; the same seed gives the same scene, bit for bit.

    Args:
        textures: photos (3, h, w) RGB, uint8 or float32 in [0, 1] (`load_textures`); objects show
            other photos than the background where there are several.
        settings: sensor size and amount of motion.
        seed: anything that seeds `numpy.random.default_rng`.

    Raises:
        InputError: there are no textures.
    """
    if not textures:
        raise InputError("scene: expected at least one photo to draw scenes from, got none")
    rng = np.random.default_rng(seed)
    strength = rng.uniform(*settings.strength_range)
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
    return Scene(settings.height, settings.width, camera, tuple(layers))


def _draw_background(photo: Tensor, settings: SceneSettings, rng: np.random.Generator) -> Layer:
    """A window of a photo, somewhat larger than the frame, slightly turned."""
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
    """A cut-out of a photo with its own motion, somewhere in the frame at t = 1/2."""
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
    """A factor by which the photo may be reduced and still fill `height` x `width`."""
    fit = min(photo.shape[1] // height, photo.shape[2] // width, _LARGEST_REDUCTION)
    return int(rng.integers(1, max(1, fit) + 1))
