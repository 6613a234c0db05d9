"""Whether to work in tiles, so that memory does not grow with the image."""

from typing import NamedTuple

from models.parts.device import free_memory
from models.parts.network import CorrectionNetwork
from models.parts.settings import TileSize

FALLBACK_TILE = 512
"""Tile size after a GPU ran out of memory."""

BATCH_PIXELS = (9 * 960 * 544, 0)
"""Largest batch in pixels on a GPU and on a CPU. A GPU needs large batches to be busy; on a CPU
large tensors are slow to allocate, so 0: one pass at a time."""

_TILES = range(1024, 255, -128)  # tried in this order until one fits

_GIGABYTE = 1e9
_PROCESS = 0.54e9  # PyTorch, on a CPU


def estimate_memory(
    network: CorrectionNetwork, size: tuple[int, int], frames: int, tile: int | None = None
) -> float:
    """Estimate the peak memory in bytes of the process while it makes `frames` of (H, W).

    Args:
        network: makes the frames, on its device.
        size: (H, W).
        frames: how many are wanted.
        tile: pixels that a tile keeps along each side; None: the whole image at once.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    held = (_PROCESS if on_cpu else 0) + 4 * 3 * (frames + 2) * size[0] * size[1]
    return held + network.inference_bytes(size, frames, tile, BATCH_PIXELS[on_cpu])


class TilePlan(NamedTuple):
    """Whether to work in tiles.

    Attributes:
        tile: pixels that a tile keeps along each side; None: the whole image at once.
        note: one line that says why, if that was decided here.
    """

    tile: int | None
    note: str | None = None


def plan_tiles(
    network: CorrectionNetwork, size: tuple[int, int], frames: int, tile: TileSize
) -> TilePlan:
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


def _fitting_tile(
    network: CorrectionNetwork, size: tuple[int, int], frames: int, free: float
) -> int:
    """The largest tile whose estimate fits, or the smallest there is."""
    for tile in _TILES:
        if estimate_memory(network, size, frames, tile) <= free:
            return tile
    return _TILES[-1]
