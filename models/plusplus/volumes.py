"""Correlation volumes between the two views, and looking them up around any coordinates.

With features f0 of t2b and f1 of b2t at 1/8 of the size, C channels each, and pooling P_l (l times
the mean of 2x2 cells, odd last rows and columns dropped),

    V_l[p, q] = <f0(p), P_l f1(q)> / sqrt(C)        T_l[q, p] = <f1(q), P_l f0(p)> / sqrt(C)

which equals pooling the whole volume over its second pixel. A look-up samples V_l[p, .] bilinearly
at 7x7 positions one level pixel apart; outside the image the volume is 0.

The volumes grow with the square of the image: 0.7 GB for 960x540, 180 GB for 3840x2160. Where they
are too large, each look-up computes the part that it needs instead, in blocks of pixels, from the
level pixels that their positions touch. The values are the same.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.warping import pixel_centres

LEVELS = 4
REACH = 3
"""Level pixels that a look-up reaches to each side."""

CHANNELS = 2 * LEVELS * (2 * REACH + 1) ** 2
"""Values that a look-up finds for each pixel."""

STORED_BYTES = 1e9
"""Volumes up to this size are stored."""

_SIDE = 2 * REACH + 1
_BLOCK = 16  # pixels a side that share the inner products of a look-up in unstored volumes


class Direction(NamedTuple):
    """Volumes from each pixel of one view to the other view.

    Attributes:
        queries: (B, C, h, w) features of the pixels, over sqrt(C).
        targets: of each level, (B, C, h_l, w_l) pooled features of the other view.
        stored: of each level, (B * h * w, 1, h_l, w_l) volumes; () where they are too large.
    """

    queries: Tensor
    targets: tuple[Tensor, ...]
    stored: tuple[Tensor, ...]


class Volumes(NamedTuple):
    """Volumes from t2b to b2t and from b2t to t2b."""

    from_t2b: Direction
    from_b2t: Direction


def prepare_volumes(features: Tensor, *, stored: bool | None = None) -> Volumes:
    """Volumes of B pairs.

    Args:
        features: (B, 2, C, h, w) of t2b and b2t.
        stored: whether to store the volumes; default: if they are no larger than `STORED_BYTES`.
    """
    first, second = features.unbind(1)
    if stored is None:
        # Graphs exported for any size store them; a comparison would fix the size.
        stored = torch.compiler.is_compiling() or volume_bytes(features.shape) <= STORED_BYTES
    return Volumes(_direction(first, second, stored), _direction(second, first, stored))


def volume_bytes(shape: Sequence[int]) -> float:
    """Size of the stored volumes of features (B, 2, C, h, w), in bytes."""
    batch, _, _, height, width = shape
    return 2 * 4 * batch * (height * width) ** 2 * sum(0.25**level for level in range(LEVELS))


def look_up(volumes: Volumes, to_b2t: Tensor, to_t2b: Tensor) -> Tensor:
    """Look the volumes of B pairs up along N = B * T displacement fields.

    Args:
        volumes: of B pairs.
        to_b2t: (N, 2, h, w) displacement (dx, dy) from each pixel of t2b to where to look in b2t.
        to_t2b: (N, 2, h, w) the same from b2t to t2b.

    Returns:
        (N, 392, h, w), float32 or better: from t2b, then from b2t; of each, level * 49 + (dx + 3) *
        7 + dy + 3 for the position (dx, dy) in level pixels. dx is the slow index: released weights
        rely on it.
    """
    found = []
    with torch.autocast(to_b2t.device.type, enabled=False):
        for direction, flow in ((volumes.from_t2b, to_b2t), (volumes.from_b2t, to_t2b)):
            # NaN, of a diverged training, would become an index far outside.
            found += _look_up(direction, pixel_centres(flow) + flow.nan_to_num(nan=0.0))
    return torch.cat(found, dim=1)


def _direction(queries: Tensor, targets: Tensor, stored: bool) -> Direction:
    with torch.autocast(queries.device.type, enabled=False):
        precise = torch.promote_types(queries.dtype, torch.float32)
        queries = queries.to(precise) / queries.shape[1] ** 0.5
        levels = [targets.to(precise)]
        for _ in range(LEVELS - 1):
            levels.append(_halve(levels[-1]))
        rows = queries.flatten(2).transpose(1, 2)  # (B, h * w, C)
        volumes = (
            (rows @ level.flatten(2)).flatten(0, 1).unflatten(1, (1, *level.shape[-2:]))
            for level in levels
        )
        return Direction(queries, tuple(levels), tuple(volumes) if stored else ())


def _halve(features: Tensor) -> Tensor:
    """Means of 2x2 pixels of (B, C, h, w); an odd last row or column is dropped."""
    if not torch.compiler.is_compiling():
        return F.avg_pool2d(features, 2)
    # `avg_pool2d` would limit a graph for any size to odd, or to even, levels.
    kernel = features.new_full((1, 1, 2, 2), 0.25)
    return F.conv2d(features.flatten(0, 1)[:, None], kernel, stride=2).unflatten(
        0, features.shape[:2]
    )[:, :, 0]


def _look_up(direction: Direction, places: Tensor) -> list[Tensor]:
    """Values of every level, (N, 49, h, w), around places (N, 2, h, w)."""
    batch, _, height, width = direction.queries.shape
    points = places.to(direction.queries.dtype).flatten(2).transpose(1, 2).unflatten(0, (batch, -1))
    found = []
    for level, target in enumerate(direction.targets):
        if direction.stored:
            values = _sample_stored(direction.stored[level], points / 2**level)
        else:
            values = _sample_features(direction.queries, target, points / 2**level)
        found.append(values.transpose(2, 3).unflatten(3, (height, width)).flatten(0, 1))
    return found


def _sample_stored(volume: Tensor, points: Tensor) -> Tensor:
    """Sample stored volumes (B * P, 1, h, w) around points (B, T, P, 2): (B, T, P, 49)."""
    batch, instants, count, _ = points.shape
    reach = torch.arange(-REACH, REACH + 1, dtype=points.dtype, device=points.device)
    steps = torch.stack((reach[:, None].expand(-1, _SIDE), reach.expand(_SIDE, -1)), dim=-1)
    # (B, P, T, dx, dy, 2): all instants of a pixel are rows of one grid.
    positions = points.transpose(1, 2)[..., None, None, :] + steps
    sides = torch.tensor(volume.shape[:-3:-1], dtype=points.dtype).to(points.device)
    grid = (2 * positions + 1) / sides - 1
    grid = grid.reshape(batch * count, instants * _SIDE, _SIDE, 2)
    sampled = F.grid_sample(volume, grid, padding_mode="zeros", align_corners=False)
    return sampled.reshape(batch, count, instants, _SIDE**2).transpose(1, 2)


def _sample_features(queries: Tensor, target: Tensor, points: Tensor) -> Tensor:
    """The values of `_sample_stored` from features (B, C, ...), block by block."""
    fields = points.unflatten(2, queries.shape[-2:])  # (B, T, h, w, 2)
    values = fields.new_empty((*fields.shape[:-1], _SIDE**2))
    blocks = [
        (slice(top, top + _BLOCK), slice(left, left + _BLOCK))
        for top in range(0, fields.shape[2], _BLOCK)
        for left in range(0, fields.shape[3], _BLOCK)
    ]
    for sample, instant in product(range(fields.shape[0]), range(fields.shape[1])):
        parts = [fields[sample, instant][block] for block in blocks]
        windows = _windows(parts, target.shape[-2:])
        for block, part, window in zip(blocks, parts, windows, strict=True):
            values[sample, instant][block] = _sample_window(
                queries[sample][(slice(None), *block)], target[sample], part, window
            )
    return values.flatten(2, 3)


def _windows(parts: Sequence[Tensor], size: Sequence[int]) -> list[list[int]]:
    """The part (left, top, right, bottom) of an image that each field (h, w, 2) touches."""
    with torch.no_grad():
        first = torch.stack([part.amin(dim=(0, 1)) for part in parts]).floor() - REACH
        last = torch.stack([part.amax(dim=(0, 1)) for part in parts]).floor() + REACH + 2
        sides = torch.tensor(size[::-1]).to(first.device)
        bounds = [side.clamp(min=0).minimum(sides) for side in (first, last)]
        windows: list[list[int]] = torch.cat(bounds, dim=1).long().tolist()
    return windows


def _sample_window(
    queries: Tensor, target: Tensor, points: Tensor, window: Sequence[int]
) -> Tensor:
    """Values (h, w, 49) of queries (C, h, w) around points (h, w, 2), all within a window."""
    left, top, right, bottom = window
    if left >= right or top >= bottom:
        return points.new_zeros((*points.shape[:2], _SIDE**2))
    seen = target[:, top:bottom, left:right]
    products = queries.flatten(1).T @ seen.flatten(1)
    volume = products.unflatten(1, (1, *seen.shape[-2:]))
    inside = points.flatten(0, 1) - points.new_tensor((left, top))
    return _sample_stored(volume, inside[None, None]).reshape(*points.shape[:2], -1)
