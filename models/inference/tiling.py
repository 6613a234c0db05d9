"""Corrections in overlapping tiles, so that memory does not grow with the image.

A tile is a part of the image with a margin of context around it that is computed and thrown away.
Tiles begin at multiples of 32, as the networks' grids do, and keep the scan times of their rows.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor

from models.generator import SIZE_MULTIPLE
from models.inference.memory import free_memory
from models.networks import Corrector
from models.parts.padding import round_up
from models.refiner.network import Refiner

TileSize = Literal["auto"] | int | None
"""Pixels that a tile keeps along each side; "auto" tiles only what does not fit; None never."""

GENERATOR_MARGIN = 256
"""Pixels of context around a generator's tile."""

REFINER_MARGIN = 32
"""Pixels of context around a refiner's tile: its motion is found of the whole image."""

FALLBACK_TILE = 512
"""What a GPU that ran out of memory works in."""

PIXELS_TOGETHER = (9 * 960 * 544, 0)
"""Pixels of passes that are made as one batch, on a GPU and on a CPU: small kernels leave a GPU
idle; a CPU asks the system for large tensors anew each time. A single pass may have more."""

_TILES = range(1024, 255, -128)  # that are tried, the first that fits is taken

_GIGABYTE = 1e9
_PROCESS = 0.54e9  # PyTorch, on a CPU
_GENERATOR_PIXEL = 1100  # bytes of a pass, with what the allocator cannot give back
_REFINED_PIXEL, _FUSED_PIXEL = 290, 90  # of each frame of a refiner's pass
_MOTION_PIXEL = 290  # of the classical motion, once


class Tile(NamedTuple):
    """One part of an image, (top, left, bottom, right) each.

    Attributes:
        kept: what the result takes from this tile.
        seen: the same with its margin: what the network is given.
    """

    kept: tuple[int, int, int, int]
    seen: tuple[int, int, int, int]

    @property
    def seen_slices(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the network is given."""
        top, left, bottom, right = self.seen
        return slice(top, bottom), slice(left, right)

    def paste(self, image: Tensor, seen: Tensor) -> None:
        """Put what is kept of a result (..., h, w) into that of the whole image (..., H, W)."""
        top, left, bottom, right = self.kept
        above, before = top - self.seen[0], left - self.seen[1]
        image[..., top:bottom, left:right] = seen[
            ..., above : above + bottom - top, before : before + right - left
        ]


def tiles_of(size: tuple[int, int], tile: int | None, margin: int) -> Iterator[Tile]:
    """Tiles that keep every pixel of an image (H, W) exactly once, row by row.

    Args:
        size: (H, W) of the image.
        tile: pixels kept along each side, a multiple of 32; None for all in one tile.
        margin: pixels of context on each side that is not the image's border, a multiple of 32.

    Raises:
        ValueError: `tile` or `margin` is no such multiple.
    """
    tile = round_up(max(size), SIZE_MULTIPLE) if tile is None else tile
    if tile < SIZE_MULTIPLE or tile % SIZE_MULTIPLE or margin < 0 or margin % SIZE_MULTIPLE:
        raise ValueError(
            f"tile and margin must be multiples of {SIZE_MULTIPLE}, got {tile} and {margin}"
        )
    height, width = size
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            seen = (
                max(top - margin, 0),
                max(left - margin, 0),
                min(bottom + margin, height),
                min(right + margin, width),
            )
            yield Tile((top, left, bottom, right), seen)


def estimate_memory(
    network: Corrector, size: tuple[int, int], frames: int, tile: int | None = None
) -> float:
    """About how many bytes the process holds at most while it makes `frames` of (H, W).

    Args:
        network: what makes the frames, on its device.
        size: (H, W).
        frames: how many are wanted.
        tile: pixels that a tile keeps along each side; None: the whole image at once.
    """
    pixels = size[0] * size[1]
    parameters = list(network.parameters())
    weights = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    on_cpu = parameters[0].device.type == "cpu"
    held = (_PROCESS if on_cpu else 0) + 4 * 3 * (frames + 2) * pixels
    if isinstance(network, Refiner):
        at_once = min(frames, frames_at_once(size, PIXELS_TOGETHER[on_cpu])) if tile is None else 1
        fused = at_once * pixels if tile is None else (tile + 2 * REFINER_MARGIN) ** 2
        moved = (_MOTION_PIXEL + _REFINED_PIXEL * at_once) * pixels
        return held + moved + _FUSED_PIXEL * fused
    seen = pixels if tile is None else (tile + 2 * GENERATOR_MARGIN) ** 2
    together = min(PIXELS_TOGETHER[on_cpu], max(1, frames - 2) * seen)
    return held + 2 * weights + _GENERATOR_PIXEL * max(seen, together)


def frames_at_once(size: tuple[int, int], together: int) -> int:
    """How many frames of (H, W) are made as one batch of at most `together` pixels."""
    return max(1, together // (size[0] * size[1]))


class TilePlan(NamedTuple):
    """Whether to work in tiles.

    Attributes:
        tile: pixels that a tile keeps along each side; None: the whole image at once.
        note: one line that says why, if that was decided here.
    """

    tile: int | None
    note: str | None = None


def plan_tiles(network: Corrector, size: tuple[int, int], frames: int, tile: TileSize) -> TilePlan:
    """Choose tiles for an image (H, W) by what is free.

    Args:
        network: what makes the frames, on its device.
        size: (H, W).
        frames: how many are wanted.
        tile: as the options say.
    """
    if tile != "auto":
        return TilePlan(tile)
    device = next(network.parameters()).device
    free = free_memory(device)
    needed = estimate_memory(network, size, frames)
    if free is None or needed <= free:
        return TilePlan(None)
    chosen = _fitting_tile(network, size, frames, free)
    return TilePlan(
        chosen,
        f"{size[1]}x{size[0]}, {frames} frames: this needs about {needed / _GIGABYTE:.1f} GB; "
        f"{free / _GIGABYTE:.1f} GB free: made in tiles of {chosen} pixels",
    )


def _fitting_tile(network: Corrector, size: tuple[int, int], frames: int, free: float) -> int:
    """The largest tile whose estimate fits, or the smallest there is."""
    for tile in _TILES:
        if estimate_memory(network, size, frames, tile) <= free:
            return tile
    return _TILES[-1]
