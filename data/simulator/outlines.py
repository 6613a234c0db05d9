"""Random silhouettes, for objects of simulated scenes and shapes in procedural textures."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_EDGE_WIDTH = 1.5  # px over which an outline fades out
_MARGIN = 2.0  # px kept empty around an outline


def draw_outline(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """Draw a random antialiased silhouette: a blob, an ellipse, a polygon or a bar.

    Returns:
        (height, width) float32 opacity in [0, 1], 0 along the border.
    """
    y = torch.arange(height)[:, None] - (height - 1) / 2
    x = torch.arange(width)[None, :] - (width - 1) / 2
    radii = (width / 2 - _MARGIN, height / 2 - _MARGIN)
    draw = _OUTLINES[rng.integers(len(_OUTLINES))]
    return (0.5 - draw(rng, x, y, radii) / _EDGE_WIDTH).clamp(0, 1)


def _blob(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A circle stretched to `radii` whose radius undulates with the direction."""
    angle = torch.atan2(y / radii[1], x / radii[0])
    undulation = torch.zeros_like(angle)
    for frequency in range(2, 7):
        amplitude, phase = rng.uniform(0, 0.3) / frequency, rng.uniform(0, 2 * math.pi)
        undulation += amplitude * torch.cos(frequency * angle + phase)
    boundary = (1 + undulation) / float((1 + undulation).max())
    return _distance(torch.hypot(x / radii[0], y / radii[1]) - boundary)


def _ellipse(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """The largest ellipse, or a narrower one."""
    narrow = rng.uniform(0.6, 1.0)
    return _distance(torch.hypot(x / (narrow * radii[0]), y / radii[1]) - 1)


def _polygon(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A convex polygon of three to seven corners on the largest ellipse."""
    corners = int(rng.integers(3, 8))
    steps = np.arange(corners) + rng.uniform(-0.3, 0.3, size=corners)
    angles = 2 * math.pi * (steps / corners + rng.random())
    corner_x, corner_y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    distance = torch.full_like(x + y, -math.inf)
    for first in range(corners):
        second = (first + 1) % corners
        along_x, along_y = corner_x[second] - corner_x[first], corner_y[second] - corner_y[first]
        across = (x - corner_x[first]) * along_y - (y - corner_y[first]) * along_x
        distance = torch.maximum(distance, across / math.hypot(along_x, along_y))
    return distance


def _bar(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A bar along the longer side, its ends rounded."""
    half_length, half_width = max(radii), min(radii) * rng.uniform(0.15, 0.4)
    along, across = (x.abs(), y.abs()) if radii[0] >= radii[1] else (y.abs(), x.abs())
    beyond = (along - (half_length - half_width)).clamp(min=0)
    return torch.hypot(beyond, across) - half_width


def _distance(level: Tensor) -> Tensor:
    """Approximate signed distance in px to the zero line of a function on the pixel grid."""
    slope_y, slope_x = torch.gradient(level)
    return level / torch.hypot(slope_x, slope_y).clamp(min=1e-6)


_OUTLINES: tuple[Callable[..., Tensor], ...] = (_blob, _ellipse, _polygon, _bar)
