"""Choose between the whole image and tiles by the free memory."""

from models.parts.device import free_memory
from models.parts.network import CorrectionNetwork
from models.parts.settings import TileSize

FALLBACK_TILE = 512
"""Tile size after a GPU ran out of memory."""

BATCH_PIXELS = (9 * 960 * 544, 0)
"""Largest batch in pixels on a GPU and on a CPU. A GPU needs large batches to be busy; on a CPU
large tensors are slow to allocate, so 0: one pass at a time."""

_TILES = range(1024, 255, -128)  # tried in this order until one fits

_PROCESS_BYTES = 0.54e9  # of PyTorch on a CPU


def estimate_memory(
    network: CorrectionNetwork, size: tuple[int, int], frames: int, tile: int | None = None
) -> float:
    """Estimate the peak memory of the process in bytes.

    Args:
        network: makes the frames, on its device.
        size: (H, W) of the images.
        frames: number of frames.
        tile: pixels that a tile keeps along each side; None: the whole image at once.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    held = (_PROCESS_BYTES if on_cpu else 0) + 4 * 3 * (frames + 2) * size[0] * size[1]
    return held + network.inference_bytes(size, frames, tile, BATCH_PIXELS[on_cpu])


def plan_tiles(
    network: CorrectionNetwork, size: tuple[int, int], frames: int, tile: TileSize
) -> tuple[int | None, str | None]:
    """Choose tiles for an image by the free memory.

    Args:
        network: makes the frames, on its device.
        size: (H, W) of the image.
        frames: number of frames.
        tile: as in the options.

    Returns:
        Pixels that a tile keeps along each side, None for the whole image at once; and a line that
        gives the reason, if tiles were chosen here.
    """
    if tile != "auto":
        return tile, None
    free = free_memory(next(network.parameters()).device)
    needed = estimate_memory(network, size, frames)
    if free is None or needed <= free:
        return None, None
    fitting = (side for side in _TILES if estimate_memory(network, size, frames, side) <= free)
    chosen = next(fitting, _TILES[-1])
    note = (
        f"{size[1]}x{size[0]}, {frames} frames: this needs about {needed / 1e9:.1f} GB; "
        f"{free / 1e9:.1f} GB free: made in tiles of {chosen} pixels"
    )
    return chosen, note
