"""Passes of a network over a capture, whole or in tiles, each made of what can be computed once."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data import time_maps
from models.flow.dis import FlowSearch, search_both_ways
from models.generator import SIZE_MULTIPLE, Generator
from models.inference.tiling import (
    FALLBACK_TILE,
    GENERATOR_MARGIN,
    PIXELS_TOGETHER,
    REFINER_MARGIN,
    Tile,
    TileSize,
    frames_at_once,
    plan_tiles,
    tiles_of,
)
from models.networks import Corrector
from models.parts.checks import check_scan, check_size, check_times
from models.parts.padding import pad_to_multiple, unpad
from models.parts.precision import Precision, autocast
from models.refiner.cues import MotionCues, find_motion
from models.refiner.network import RefinedMotion, Refiner
from utils.errors import InputError
from utils.system.device import release_memory

_FRAMES_OF_A_PASS = 3


@dataclass(frozen=True)
class InferenceSettings:
    """How a network runs.

    Attributes:
        precision: of its convolutions; "auto" takes bfloat16 where the hardware has it.
        tile: pixels along each side of the tiles it works in; "auto" takes tiles only where memory
            would not do, None never.
        search: finds the flows between the views, for networks that take classical motion.
    """

    precision: Precision = "float32"
    tile: TileSize = "auto"
    search: FlowSearch = search_both_ways


class Pass(NamedTuple):
    """Frames made together, of a tile.

    Attributes:
        times: their K instants.
        frames: (K, 3, h, w) RGB in [0, 1].
        flows: (K, 2, 2, h', w') displacements (dx, dy) to t2b and b2t in pixels of the half-size
            grid, which may reach past the tile.
        tile: what part of the image this is.
    """

    times: tuple[float, ...]
    frames: Tensor
    flows: Tensor
    tile: Tile


class _Job(NamedTuple):
    """What is to be made.

    Attributes:
        pair: (2, 3, H, W) as the network takes it.
        times: instants wanted.
        scan: (H,) exposure times of the t2b rows, on the CPU: a GPU would have to be waited for.
        tile: pixels that a tile keeps along each side; None: the whole image at once.
        together: pixels of all passes that are made as one batch.
        search: finds the flows between the views.
    """

    pair: Tensor
    times: tuple[float, ...]
    scan: Tensor
    tile: int | None
    together: int
    search: FlowSearch


def run_passes(
    network: Corrector,
    pair: Tensor,
    when: tuple[Sequence[float], Tensor | None],
    *,
    settings: InferenceSettings,
    take: Callable[[Pass], None],
) -> None:
    """Make frames of a pair and hand each pass to `take`.

    Where memory runs out on a GPU, all is made again in tiles.

    Args:
        network: what makes the frames.
        pair: (2, 3, H, W) RGB in [0, 1], any H >= 2, any W >= 1.
        when: instants in [0, 1], and the (H,) exposure times of the t2b rows, if not of exactly
            these rows.
        settings: precision and tiles.
        take: given every pass once, or again from the start.

    Raises:
        InputError: the images have a single row, or the generator makes other than three frames.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    if isinstance(network, Generator) and network.num_frames != _FRAMES_OF_A_PASS:
        raise InputError(
            f"weights of a generator that makes {network.num_frames} frames in a pass; expected "
            f"{_FRAMES_OF_A_PASS}, at 0, t and 1"
        )
    times, scan_time = when
    size = check_size(pair)
    check_times(times)
    # Convolutions on a CPU, and in half precision on a GPU, are fastest so.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight = next(network.parameters())
    scan = padded_scan(scan_time, size[0], size[0]).to("cpu", weight.dtype)
    plan = plan_tiles(network, size, len(times), settings.tile)
    if plan.note:
        sys.stderr.write(f"{plan.note}\n")
    together = PIXELS_TOGETHER[weight.device.type == "cpu"]
    job = _Job(
        pair.to(weight), tuple(map(float, times)), scan, plan.tile, together, settings.search
    )
    with torch.inference_mode(), autocast(settings.precision, weight.device):
        try:
            _take_all(network, job, take)
            return
        except torch.OutOfMemoryError:
            if plan.tile is not None or settings.tile is None:
                raise
        sys.stderr.write(f"{size[1]}x{size[0]}: out of memory, again in tiles of {FALLBACK_TILE}\n")
        _take_all(network, job._replace(tile=FALLBACK_TILE, together=0), take)


def expect_numbers(frames: Tensor) -> None:
    """Make sure that a network's frames are pictures.

    Raises:
        InputError: some values are no numbers.
    """
    if frames.isnan().any():
        raise InputError(
            "the network's frames are no numbers: its weights are damaged, or their training "
            "diverged; use others"
        )


def padded_scan(scan_time: Tensor | None, height: int, rows: int) -> Tensor:
    """(rows,) exposure times: the scan of the image, continued at its own pace below it."""
    if scan_time is None:
        return time_maps.scan_time(height, rows=rows)
    check_scan(scan_time, height)
    pace = (scan_time[-1] - scan_time[0]) / (height - 1)
    below = torch.arange(1, rows - height + 1, dtype=scan_time.dtype, device=scan_time.device)
    return torch.cat((scan_time, scan_time[-1] + pace * below))


def _take_all(network: Corrector, job: _Job, take: Callable[[Pass], None]) -> None:
    made = _refine(network, job) if isinstance(network, Refiner) else _generate(network, job)
    for each in made:
        take(each)


def _generate(generator: Generator, job: _Job) -> Iterator[Pass]:
    """A pass gives the frames at 0, t and 1; the ends are taken from the one nearest the middle."""
    middles = _middle_instants(job.times)
    first = [index for index, t in enumerate((0.0, middles[0], 1.0)) if t in job.times]
    for place in tiles_of(_size(job.pair), job.tile, GENERATOR_MARGIN):
        rows, columns = place.seen_slices
        part = job.pair[..., rows, columns]
        height, width = _size(part)
        padded = pad_to_multiple(part, SIZE_MULTIPLE)
        scan = padded_scan(job.scan[rows], height, padded.shape[-2])
        encoded = generator.encode(padded[None])
        at_once = frames_at_once(_size(padded), job.together)
        groups = [middles[start : start + at_once] for start in range(1, len(middles), at_once)]
        for group, wanted in [(middles[:1], first), *((group, [1]) for group in groups)]:
            instants = scan.new_tensor([(0, middle, 1) for middle in group])
            maps = time_maps.offset_maps(scan.expand(len(group), -1), instants)
            maps = maps.to(padded.device, non_blocking=True)
            made = generator.decode(encoded, maps.expand(-1, -1, -1, padded.shape[-1]), wanted)
            flows = made.flows[-1].unflatten(1, (2, 3, 2))
            yield Pass(
                tuple((0.0, middle, 1.0)[index] for middle in group for index in wanted),
                unpad(made.frames.flatten(0, 1), height, width),
                torch.stack([flows[:, :, index] for index in wanted], dim=1).flatten(0, 1),
                place,
            )


def _refine(refiner: Refiner, job: _Job) -> Iterator[Pass]:
    """Motion is found of the whole image, in cells; only what is made of it takes tiles."""
    size = _size(job.pair)
    maps = time_maps.offset_maps(job.scan[None], job.scan.new_tensor([job.times]))
    with torch.autocast(job.pair.device.type, enabled=False):
        cues = find_motion(job.pair[None], maps, search=job.search)
    if job.tile is not None:
        release_memory()  # of large images, nearly a gigabyte
    at_once = frames_at_once(size, job.together) if job.tile is None else 1
    encoded = refiner.encode(job.pair[None])
    for start in range(0, len(job.times), at_once):
        chosen = slice(start, start + at_once)
        part = job._replace(times=job.times[chosen])
        chosen_cues = MotionCues(*(cue[chosen] for cue in cues))
        yield from _fuse(refiner, part, refiner.refine_motion(encoded, chosen_cues))


def _fuse(refiner: Refiner, job: _Job, motion: RefinedMotion) -> Iterator[Pass]:
    """The frames of this motion; nothing of them is kept while the next ones are."""
    for place in tiles_of(_size(job.pair), job.tile, REFINER_MARGIN):
        made = refiner.fuse(motion, place.seen)
        flows = made.flows[-1][0].unflatten(0, (2, len(job.times), 2)).transpose(0, 1)
        yield Pass(job.times, made.frames[0], flows, place)


def _middle_instants(times: Sequence[float]) -> list[float]:
    """Each pass's t, the nearest to 0.5 first; 0.5 alone where only 0 and 1 are wanted."""
    interior = {instant for instant in times if 0 < instant < 1}
    return sorted(interior or {0.5}, key=lambda instant: (abs(instant - 0.5), instant))


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
