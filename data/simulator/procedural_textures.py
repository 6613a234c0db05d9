"""Procedural textures: noise, warped stripes and checkers, shapes, blocks of glyphs.

They vary contrast, scale and repetition more than a few photos do. A texture is a function of its
number.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_HEIGHT, _WIDTH = 720, 1080
_EDGE_WIDTH = 1.5  # px, antialiasing of stripes, checkers and outlines
_OUTLINE_MARGIN = 2.0  # empty px around an outline
_GLYPH = (7, 5)  # rows and columns of cells
_MAX_GRAIN = 0.04  # amplitude of the noise on flat colours


def draw_textures(count: int) -> list[Tensor]:
    """Draw the first `count` textures, (3, 720, 1080) RGB uint8, of four kinds in turn."""
    textures = []
    for number in range(count):
        rng = np.random.default_rng(number)
        image = _KINDS[number % len(_KINDS)](rng)
        textures.append(image.clamp(0, 1).mul(255).round().to(torch.uint8))
    return textures


def _clouds(rng: np.random.Generator) -> Tensor:
    """Draw two fields of noise in three colours."""
    first, second, third = _colours(rng, 3)
    roughness = rng.uniform(0.5, 0.85)
    mixture = torch.lerp(first, second, _contrast(_noise(rng, 1, 9, roughness), rng))
    return torch.lerp(mixture, third, _contrast(_noise(rng, 1, 8, roughness), rng))


def _repetition(rng: np.random.Generator) -> Tensor:
    """Draw warped stripes or checkers in two colours."""
    y, x = torch.meshgrid(torch.arange(_HEIGHT), torch.arange(_WIDTH), indexing="ij")
    angle, period = rng.uniform(0, math.pi), math.exp(rng.uniform(math.log(10), math.log(90)))
    warp = period * rng.uniform(0, 3)
    u = x * math.cos(angle) + y * math.sin(angle) + warp * _noise(rng, 1, 3, 0.5)
    v = y * math.cos(angle) - x * math.sin(angle) + warp * _noise(rng, 1, 3, 0.5)
    wave = torch.sin(2 * math.pi * u / period)
    if rng.random() < 0.5:
        wave = wave * torch.sin(2 * math.pi * v / period)
    share = (0.5 + wave * period / (2 * math.pi * _EDGE_WIDTH)).clamp(0, 1)
    first, second = _colours(rng, 2)
    return torch.lerp(first, second, share) + _grain(rng)


def _shapes(rng: np.random.Generator) -> Tensor:
    """Draw silhouettes on a gradient, large ones behind small ones."""
    top, bottom = _colours(rng, 2)
    image = torch.lerp(top, bottom, torch.linspace(0, 1, _HEIGHT)[:, None].expand(-1, _WIDTH))
    image = image + _grain(rng)
    for size in np.geomspace(400, 16, num=80) * rng.uniform(0.5, 1.5, size=80):
        height, width = (max(8, int(size * rng.uniform(0.4, 1))) for _ in range(2))
        row, column = rng.integers(0, (_HEIGHT - height + 1, _WIDTH - width + 1))
        opacity = draw_outline(rng, height, width) * rng.uniform(0.6, 1)
        region = image[:, row : row + height, column : column + width]
        region += opacity * (_colours(rng, 1)[0] - region)
    return image


def _print(rng: np.random.Generator) -> Tensor:
    """Draw lines of random glyphs of several sizes, like a printed page."""
    paper, ink = _colours(rng, 2)
    cover = torch.zeros(_HEIGHT, _WIDTH)
    row = 0
    while row < _HEIGHT:
        cell = int(rng.choice((2, 2, 3, 3, 4, 6, 10)))
        line = _line_of_glyphs(rng, cell)[: _HEIGHT - row]
        cover[row : row + len(line)] = line
        row += len(line) + cell * int(rng.integers(2, 5))
    if rng.random() < 0.3:
        cover = 1 - cover
    return torch.lerp(paper, ink, cover) + _grain(rng)


def _line_of_glyphs(rng: np.random.Generator, cell: int) -> Tensor:
    """(rows, width) ink of one line, from cells of `cell` pixels."""
    rows, columns = _GLYPH
    count = _WIDTH // ((columns + 1) * cell) + 1
    alphabet = torch.from_numpy(rng.random((24, rows, columns)) < 0.5).float()
    glyphs = alphabet[rng.integers(0, 24, size=count)]
    glyphs[torch.from_numpy(rng.random(count) < 0.18)] = 0  # between words
    line = F.pad(glyphs, (0, 1)).permute(1, 0, 2).flatten(1)
    return line.repeat_interleave(cell, 0).repeat_interleave(cell, 1)[:, :_WIDTH]


def _noise(rng: np.random.Generator, first: int, last: int, roughness: float) -> Tensor:
    """Smooth noise (720, 1080) about 0, of octaves with 2**first to 2**last cells across."""
    total = torch.zeros(_HEIGHT, _WIDTH)
    for octave in range(first, last + 1):
        columns = 2**octave
        rows = max(2, round(columns * _HEIGHT / _WIDTH))
        cells = torch.from_numpy(rng.standard_normal((rows, columns), np.float32))
        field = F.interpolate(
            cells[None, None], size=(_HEIGHT, _WIDTH), mode="bicubic", align_corners=True
        )
        total += roughness ** (octave - first) * field[0, 0]
    return total


def _contrast(noise: Tensor, rng: np.random.Generator) -> Tensor:
    """Map noise to [0, 1] by a sigmoid of random steepness."""
    return torch.sigmoid(rng.uniform(0.7, 4) * noise)


def _grain(rng: np.random.Generator) -> Tensor:
    return _MAX_GRAIN * rng.random() * _noise(rng, 5, 9, 1.0)


def _colours(rng: np.random.Generator, count: int) -> Tensor:
    """(count, 3, 1, 1) muted colours, each at least 0.25 darker or brighter than the last."""
    greys = [rng.random()]
    while len(greys) < count:
        candidate = rng.random()
        if abs(candidate - greys[-1]) > 0.25:
            greys.append(candidate)
    chosen = np.array(greys)[:, None] + rng.normal(0, 0.12, size=(count, 3))
    return torch.from_numpy(chosen).float().clamp(0, 1)[:, :, None, None]


_KINDS = (_clouds, _repetition, _shapes, _print)


def draw_outline(rng: np.random.Generator, height: int, width: int) -> Tensor:
    """Draw a random antialiased silhouette: a blob, an ellipse, a polygon or a bar.

    Returns:
        (height, width) float32 opacity in [0, 1], 0 along the border.
    """
    y = torch.arange(height)[:, None] - (height - 1) / 2
    x = torch.arange(width)[None, :] - (width - 1) / 2
    radii = (width / 2 - _OUTLINE_MARGIN, height / 2 - _OUTLINE_MARGIN)
    draw = _OUTLINES[rng.integers(len(_OUTLINES))]
    return (0.5 - draw(rng, x, y, radii) / _EDGE_WIDTH).clamp(0, 1)


def _blob(rng: np.random.Generator, x: Tensor, y: Tensor, radii: tuple[float, float]) -> Tensor:
    """A circle stretched to `radii` whose radius varies with the direction."""
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
    """A bar with rounded ends along the longer side."""
    half_length, half_width = max(radii), min(radii) * rng.uniform(0.15, 0.4)
    along, across = (x.abs(), y.abs()) if radii[0] >= radii[1] else (y.abs(), x.abs())
    beyond = (along - (half_length - half_width)).clamp(min=0)
    return torch.hypot(beyond, across) - half_width


def _distance(level: Tensor) -> Tensor:
    """Approximate signed distance in px to the zero line of a function on the pixel grid."""
    slope_y, slope_x = torch.gradient(level)
    return level / torch.hypot(slope_x, slope_y).clamp(min=1e-6)


_OUTLINES: tuple[Callable[..., Tensor], ...] = (_blob, _ellipse, _polygon, _bar)
