"""Exact motion in simulated scenes: between instants, and to where points are exposed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from data.simulator.layers import Layer, Window
from data.simulator.trajectories import apply, exposed_positions, inverse, shift_and_scale

_TOLERANCE = 1e-6  # px outside the frame


class SceneMotion(NamedTuple):
    """Motion of the points seen at one instant to another."""

    flow: Tensor  # (2, rows, width) float32 displacement (dx, dy) in pixels
    visible: Tensor  # (1, rows, width) float32, 1 where visible at the other instant, else 0


class PixelGrid(NamedTuple):
    """Sensor positions at which motion is computed: centres of square blocks of pixels."""

    window: Window
    stride: int  # rows and columns of a block

    @property
    def blocks(self) -> Window:
        """The blocks as pixels of a coarser sensor.

        Raises:
            ValueError: they do not fill the window.
        """
        _, _, rows, width = self.window
        if self.stride < 1 or rows % self.stride or width % self.stride:
            raise ValueError(
                f"blocks of {self.stride}x{self.stride} px do not fill a window of {rows}x{width}"
            )
        return Window(0, 0, rows // self.stride, width // self.stride)

    @property
    def to_sensor(self) -> Tensor:
        """Homography (3, 3) from `blocks` to the sensor's pixels."""
        middle = (self.stride - 1) / 2
        return shift_and_scale((self.window.left + middle, self.window.top + middle), self.stride)

    def centres(self, device: torch.device) -> Tensor:
        """(rows, width, 2) float64 positions (x, y) on the sensor."""
        _, _, rows, width = self.blocks
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(width), indexing="ij")
        return apply(self.to_sensor, torch.stack((x, y), dim=-1).double()).to(device)


def motion_between(
    layers: Sequence[Layer],
    start: Tensor,
    end: Tensor,
    *,
    owner: Tensor,
    grid: PixelGrid,
    frame: tuple[int, int],
) -> SceneMotion:
    """Compute the motion of the points seen at one instant to another.

    Args:
        layers: back to front.
        start: (L, 1, 3, 3) float64 homographies from the sensor to each layer's texture; or
            (L, rows, 3, 3) those of each row.
        end: (L, 3, 3) the same at the other instant.
        owner: (rows, width) index of the layer seen at each position of the grid.
        grid: sensor positions.
        frame: (rows, columns) of the sensor.
    """
    pixels = grid.centres(owner.device)
    start, end = start.to(pixels), end.to(pixels)
    row = torch.arange(len(owner), device=owner.device)[:, None].clamp(max=start.shape[1] - 1)
    forth = (inverse(end)[:, None] @ start)[owner, row]
    arrival = apply(forth, pixels)
    last = arrival.new_tensor((frame[1] - 1, frame[0] - 1))
    visible = ((arrival >= -_TOLERANCE) & (arrival <= last + _TOLERANCE)).all(-1)
    for number, layer in enumerate(layers[1:], start=1):
        covered = layer.opacity(apply(end[number], arrival)) > 0.5
        visible &= ~(covered & (owner < number))
    return SceneMotion((arrival - pixels).float().permute(2, 0, 1), visible[None].float())


def flows_to_exposures(
    points: Tensor,
    tables: Sequence[Sequence[Tensor]],
    *,
    owner: Tensor,
    grid: PixelGrid,
    height: int,
) -> Tensor:
    """Compute displacements from frames to where the same points are exposed in t2b and b2t.

    Args:
        points: (L, T, 3, 3) float64 homographies from the sensor to each layer's texture at the
            frames' instants.
        tables: for t2b and b2t, L homographies (I, 3, 3) from texture to image at the
            `EXPOSURE_INSTANTS`.
        owner: (T, rows, width) index of the layer seen at each position of the grid.
        grid: sensor positions.
        height: sensor rows.

    Returns:
        (T, 2, 2, rows, width) float32 (dx, dy) in pixels.

    Raises:
        InputError: content moves about as fast as the scan.
    """
    pixels = grid.centres(owner.device)
    flows = pixels.new_empty((2, *owner.shape, 2), dtype=torch.float32)
    for number in range(len(points)):
        frame, row, column = (owner == number).nonzero(as_tuple=True)
        positions = pixels[row, column]
        content = apply(points[number].to(pixels)[frame], positions)
        for image, table in enumerate(tables):
            exposed = exposed_positions(
                content, positions[:, 1], table[number], height=height, bottom_up=image == 1
            )
            flows[image, frame, row, column] = (exposed - positions).float()
    return flows.permute(1, 0, 4, 2, 3).contiguous()
