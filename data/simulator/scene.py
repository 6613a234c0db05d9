"""Moving layers under a moving camera, imaged exactly by either shutter.

Each row of an image is sampled at its own exposure instant: rolling-shutter images and
global-shutter frames use the same code with other instants.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.capture import CapturePair
from data.simulator.imaging import Imaging
from data.simulator.layers import Layer, Window
from data.simulator.motion import PixelGrid, SceneMotion, flows_to_exposures, motion_between
from data.simulator.trajectories import EXPOSURE_INSTANTS, Motion, apply, inverse, shift_and_scale
from data.time_maps import scan_time

_MAX_IMAGES_AT_ONCE = 8  # of one exposure


@dataclass(frozen=True)
class Scene:
    """A camera moving past layers, to be imaged at any instants.

    Methods that image part of the frame take its `window`, which may reach beyond the frame; by
    default they image the whole frame.

    Attributes:
        height: sensor rows.
        width: sensor columns.
        camera: motion from sensor coordinates, their origin at the frame's centre, to the scene's.
        layers: back to front; the first one is the background.
        imaging: of the rolling-shutter images; true frames are sharp and noiseless, seen from
            halfway between the two views.
    """

    height: int
    width: int
    camera: Motion
    layers: tuple[Layer, ...]
    imaging: Imaging = Imaging()

    @property
    def frame(self) -> Window:
        """The whole sensor."""
        return Window(0, 0, self.height, self.width)

    def to(self, device: torch.device | str) -> "Scene":
        """Move the textures to `device`, where images will be computed."""
        layers = tuple(replace(layer, texture=layer.texture.to(device)) for layer in self.layers)
        return replace(self, layers=layers)

    def readout(self, number: int) -> "Scene":
        """The scene during readout `number` of a clip: its t = 0 is `number` readouts later.

        Readouts follow each other without a gap: t = 1 of one is t = 0 of the next. Each has its
        own noise.
        """
        return replace(
            self,
            camera=replace(self.camera, begin=self.camera.begin + number),
            layers=tuple(
                replace(layer, motion=replace(layer.motion, begin=layer.motion.begin + number))
                for layer in self.layers
            ),
            imaging=replace(self.imaging, noise_seed=self.imaging.noise_seed + number),
        )

    def render(
        self,
        instants: Tensor,
        window: Window | None = None,
        *,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        """Image the scene with an ideal camera, each row at its own instant.

        Args:
            instants: (K, rows) exposure instants of the window's rows, for K images.
            window: see the class; pixels equal those of the whole frame.
            shift: (x, y) px by which the content of the images is displaced.

        Returns:
            (K, 3, rows, width) RGB float32 in [0, 1], on the scene's device.

        Raises:
            ValueError: the window is empty.
        """
        window = self._check_window(window)
        background = self.layers[0]
        to_sensor = shift_and_scale((-shift[0], -shift[1]))
        images = background.sample(self._to_texture(background, instants) @ to_sensor, window)
        for _, (rows, columns), rgba in self._sampled_objects(instants, window, to_sensor):
            images[:, :, rows, columns].lerp_(rgba[:, :3], rgba[:, 3:])
        return images.clamp_(0, 1)

    def capture(
        self,
        times: Sequence[float] | Tensor,
        window: Window | None = None,
        *,
        with_flows: bool = False,
        flow_stride: int = 1,
        name: str = "simulated",
    ) -> CapturePair:
        """Image the scene with both rolling shutters and a global one.

        Args:
            times: instants of the global-shutter frames, each in [0, 1].
            window: see the class.
            with_flows: whether to add `truth_flows`, exact to 0.01 px: displacements to where each
                pixel's point is mid-exposure, also where it is occluded or outside the frame.
            flow_stride: rows and columns of the blocks at whose centres flows are computed, in
                pixels of the sensor; blocks must fill the window.
            name: of the capture.

        Raises:
            InputError: `with_flows`, and content moves about as fast as the scan.
            ValueError: the window is empty, or blocks do not fill it.
        """
        window = self._check_window(window)
        s = scan_time(self.height, rows=window.rows, top=window.top)
        instants = torch.as_tensor(times, dtype=torch.float32, device="cpu")
        frames = instants[:, None].expand(-1, window.rows)
        scans = torch.stack((s, 1 - s))
        if self.imaging.is_ideal:
            images = self.render(torch.cat((scans, frames)), window)
        else:
            images = torch.cat((self._expose(scans, window), self.render(frames, window)))
        return CapturePair(
            t2b=images[0],
            b2t=images[1],
            scan_time=s.to(images.device),
            name=name,
            truth=images[2:],
            truth_times=instants.to(images.device),
            truth_flows=(
                self._exact_flows(instants, PixelGrid(window, flow_stride)) if with_flows else None
            ),
        )

    def motion(
        self, start: float | Tensor, end: float, window: Window | None = None
    ) -> SceneMotion:
        """Exact motion from an image, by default a global-shutter frame, to the frame at `end`.

        Args:
            start: instant in [0, 1] of the pixels; or (rows,) that of each row of the window.
            end: instant in [0, 1].
            window: see the class.

        Returns:
            Flow and visibility, (2, rows, width) and (1, rows, width), on the scene's device.

        Raises:
            ValueError: an instant lies outside [0, 1], or the window is empty.
        """
        begin = torch.as_tensor(start, dtype=torch.float64).reshape(-1)
        if not (bool(((begin >= 0) & (begin <= 1)).all()) and 0 <= end <= 1):
            raise ValueError(f"instants must lie in [0, 1], got {start} and {end}")
        grid = PixelGrid(self._check_window(window), stride=1)
        instants = torch.cat((begin, begin.new_tensor([end])))
        homographies = torch.stack([self._to_texture(layer, instants) for layer in self.layers])
        return motion_between(
            self.layers,
            homographies[:, :-1],
            homographies[:, -1],
            owner=self._visible_layers(begin[None], grid)[0],
            grid=grid,
            frame=(self.height, self.width),
        )

    def _expose(self, scans: Tensor, window: Window) -> Tensor:
        """(2, 3, rows, width) images of both views, rows exposed around `scans` (2, rows)."""
        count, views = self._count_sub_instants(), []
        for middle, shift in zip(scans, self.imaging.shifts, strict=True):
            instants = self.imaging.instants(middle, count)
            light: list[Tensor] = []
            for part in instants.split(_MAX_IMAGES_AT_ONCE):
                images = self.render(part, window, shift=shift)
                light.append(self.imaging.to_light(images).sum(0))
            views.append(torch.stack(light).sum(0) / len(instants))
        return self.imaging.record(torch.stack(views), corner=(window.top, window.left))

    def _count_sub_instants(self) -> int:
        """Number of images per exposure, so that motion between them is about a pixel at most."""
        times = torch.linspace(0, 1, 9, dtype=torch.float64)
        fastest = 0.0
        for layer in self.layers:
            to_texture = self._to_texture(layer, times)
            sides = layer.texture.shape[:0:-1] if layer.is_object else (self.width, self.height)
            corners = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
            corners = corners * torch.tensor(sides)
            points = corners if layer.is_object else apply(to_texture[4], corners)
            paths = apply(inverse(to_texture)[:, None], points).diff(dim=0)
            fastest = max(fastest, 8 * float(paths.norm(dim=-1).max()))
        return max(1, math.ceil(self.imaging.exposure * fastest))

    def _exact_flows(self, times: Tensor, grid: PixelGrid) -> Tensor:
        """(T, 2, 2, rows, width) displacements from frames to the exposures in t2b and b2t."""
        points = torch.stack([self._to_texture(layer, times) for layer in self.layers])
        tables = [inverse(self._to_texture(layer, EXPOSURE_INSTANTS)) for layer in self.layers]
        return flows_to_exposures(
            points,
            [[shift_and_scale(shift) @ table for table in tables] for shift in self.imaging.shifts],
            owner=self._visible_layers(times[:, None], grid),
            grid=grid,
            height=self.height,
        )

    def _visible_layers(self, times: Tensor, grid: PixelGrid) -> Tensor:
        """(T, rows, width) index of the topmost layer that is more than half opaque, per block.

        Args:
            times: (T, 1) or (T, rows) instants of T images or of their rows.
            grid: the blocks.
        """
        blocks = grid.blocks
        shape = (len(times), blocks.rows, blocks.width)
        owner = self.layers[0].texture.new_zeros(shape, dtype=torch.long)
        instants = times.expand(-1, blocks.rows)
        for number, (rows, columns), rgba in self._sampled_objects(
            instants, blocks, grid.to_sensor
        ):
            owner[:, rows, columns].masked_fill_(rgba[:, 3] > 0.5, number)
        return owner

    def _sampled_objects(
        self, instants: Tensor, window: Window, to_sensor: Tensor
    ) -> Iterator[tuple[int, tuple[slice, slice], Tensor]]:
        """Yield each object in the window: its index, its rows and columns, its RGBA there."""
        for number, layer in enumerate(self.layers[1:], start=1):
            homographies = self._to_texture(layer, instants) @ to_sensor
            covered = layer.footprint(homographies, window)
            if covered is not None:
                region = covered.within(window)
                yield number, region, layer.sample(homographies[:, region[0]], covered)

    def _to_texture(self, layer: Layer, times: Tensor) -> Tensor:
        """Homographies (..., 3, 3) from sensor pixels to the layer's texture at `times` (...)."""
        centre = shift_and_scale((-(self.width - 1) / 2, -(self.height - 1) / 2))
        t = times.to("cpu", torch.float64)
        return layer.from_scene(t) @ self.camera.homographies(t) @ centre

    def _check_window(self, window: Window | None) -> Window:
        window = self.frame if window is None else window
        if window.rows < 1 or window.width < 1:
            raise ValueError(f"cannot image {window} of a {self.height}x{self.width} frame")
        return window
