"""Textured planes that move through a scene, and their sampling."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from data.simulator.trajectories import Motion, apply, inverse


class Window(NamedTuple):
    """A rectangle of sensor pixels; it may reach beyond the frame."""

    top: int
    left: int
    rows: int
    width: int

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Rows and columns of this window relative to `outer`."""
        top, left = self.top - outer.top, self.left - outer.left
        return slice(top, top + self.rows), slice(left, left + self.width)


@dataclass(frozen=True)
class Layer:
    """A textured plane that moves through a scene.

    Attributes:
        texture: float32 in [0, 1]; (3, h, w) RGB for a background, continued by reflection, or
            (4, h, w) RGB and opacity for an object, transparent outside.
        placement: (3, 3) float64 homography from the plane's own coordinates to texture pixels.
        motion: from the plane's own coordinates to the scene's.
    """

    texture: Tensor
    placement: Tensor
    motion: Motion

    @property
    def is_object(self) -> bool:
        """Whether the layer is an object, not the background."""
        return self.texture.shape[0] == 4

    def from_scene(self, times: Tensor) -> Tensor:
        """Homographies (..., 3, 3) from the scene to texture pixels at `times` (...)."""
        return self.placement @ inverse(self.motion.homographies(times))

    def sample(self, homographies: Tensor, window: Window) -> Tensor:
        """Sample the texture for images in which each row has its own homography.

        Args:
            homographies: (K, rows, 3, 3) float64 from sensor to texture pixels.
            window: part of the sensor to sample, with as many rows.

        Returns:
            (K, C, rows, width) bilinear samples, on the texture's device.
        """
        height, width = self.texture.shape[1:]
        normalise = [[2 / (width - 1), 0, -1], [0, 2 / (height - 1), -1], [0, 0, 1]]
        rows = torch.arange(window.top, window.top + window.rows, dtype=torch.float64)
        per_row = torch.tensor(normalise, dtype=torch.float64) @ homographies
        # Along a row numerators and denominator are linear: start + slope * column.
        start = per_row[..., 1] * rows[:, None] + per_row[..., 2]
        lines = torch.stack((start, per_row[..., 0])).float().to(self.texture.device)
        columns = torch.arange(window.left, window.left + window.width).to(lines)
        start, slope = lines[..., None]
        x, y, depth = torch.addcmul(start, slope, columns).unbind(-2)
        return F.grid_sample(
            self.texture.expand(len(homographies), -1, -1, -1),
            torch.stack((x / depth, y / depth), dim=-1),
            padding_mode="zeros" if self.is_object else "reflection",
            align_corners=True,
        )

    def opacity(self, points: Tensor) -> Tensor:
        """Opacity (rows, width) at texture positions (rows, width, 2), 0 beyond the texture."""
        height, width = self.texture.shape[1:]
        sides = points.new_tensor((width - 1, height - 1))
        grid = (2 * points / sides - 1).float()[None]
        return F.grid_sample(self.texture[None, 3:], grid, align_corners=True)[0, 0]

    def footprint(self, homographies: Tensor, window: Window) -> Window | None:
        """Bounding box, within `window`, of the layer in all images; None if there is no overlap.

        Args:
            homographies: (K, rows, 3, 3) float64 from sensor to texture pixels, per row.
            window: part of the sensor.
        """
        if not self.is_object:
            return window
        height, width = self.texture.shape[1:]
        corners = torch.tensor(
            [[-1, -1], [width, -1], [-1, height], [width, height]], dtype=torch.float64
        )
        outline = apply(inverse(homographies)[..., None, :, :], corners)
        rows = torch.arange(window.top, window.top + window.rows)[:, None]
        low, high = outline.amin(-2).floor(), outline.amax(-2).ceil()
        covered = ((low[..., 1:] <= rows) & (rows <= high[..., 1:])).squeeze(-1)
        if not bool(covered.any()):
            return None
        hit_rows = covered.any(0).nonzero()
        top, bottom = int(hit_rows[0]), int(hit_rows[-1])
        left = max(int(low[covered][:, 0].min()), window.left)
        right = min(int(high[covered][:, 0].max()), window.left + window.width - 1)
        if right < left:
            return None
        return Window(window.top + top, left, bottom - top + 1, right - left + 1)
