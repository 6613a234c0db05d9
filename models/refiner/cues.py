"""Classical motion as tensors: where each frame's cells are exposed, and how reliable that is."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data.capture import CapturePair
from data.time_maps import offset_maps
from models.classical.correction import view_weight
from models.classical.estimation import estimate_motion
from models.classical.field import CELL, MotionField, cell_centres, sample_frame
from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Bools, library, single
from models.measurement.scan import Scan

MAX_PREFERENCE = 8.0
"""Logit at which the preference for a view is clipped."""

CUE_CHANNELS = (4, 4, 4, 2, 1)
"""Channels of the cues, in their order."""

CONTEXT = 64
"""Rows in px around needed ones whose cues a network may use."""

_MISMATCH_RANGE = 4.0  # px that are scaled to 1


class MotionCues(NamedTuple):
    """Classical estimates for N = B * T frames, per cell of 4x4 pixels.

    Attributes:
        local: (N, 4, h, w) displacement (dx, dy) in px to t2b, then to b2t, by the local motion.
        camera: (N, 4, h, w) the same by the camera's motion alone.
        mismatch: (N, 4, h, w) distance of measured flow in t2b and b2t from the local, then from
            the camera's motion, log(1 + px) scaled.
        offset: (N, 2, h, w) frame intervals from the frame to the exposures in t2b and b2t.
        preference: (N, 1, h, w) logit of t2b's weight in the classical blend.
    """

    local: Tensor
    camera: Tensor
    mismatch: Tensor
    offset: Tensor
    preference: Tensor

    @property
    def packed(self) -> Tensor:
        """All cues in one tensor (N, 15, h, w)."""
        return torch.cat(self, dim=1)

    @classmethod
    def of_samples(cls, packed: Tensor) -> "MotionCues":
        """The cues of all frames of B samples, given `packed` of each, (B, T, 15, h, w)."""
        return cls(*packed.flatten(0, 1).split(CUE_CHANNELS, dim=1))


@torch.no_grad()
def find_motion(pair: Tensor, offsets: Tensor) -> MotionCues:
    """Classical motion of a batch, without gradient.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1], any H >= 2, any W >= 1.
        offsets: (B, 2 * T, H, W) as `Generator.forward` takes them, or their first column.
    """
    return measure_motion(pair, offsets)[0]


@torch.no_grad()
def measure_motion(pair: Tensor, offsets: Tensor) -> tuple[MotionCues, list[float]]:
    """`find_motion`, and the standard deviation of the noise of each pair's views."""
    images = pair.float().permute(0, 1, 3, 4, 2).cpu().contiguous().numpy()
    count = offsets.shape[1] // 2
    # The maps of one instant are s - t and 1 - s - t.
    rows = offsets[..., 0].cpu().double()
    times = (1 - (rows[:, :count] + rows[:, count:]).mean(-1)) / 2
    scans = [Scan.of(scan, images.shape[2]) for scan in rows[:, 0] + times[:, :1]]
    find = partial(_find_cues, pair.device)
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(find, images, scans, times.tolist()))
    cues, noise = zip(*found, strict=True)
    parts = [part[0] if len(part) == 1 else torch.cat(part) for part in zip(*cues, strict=True)]
    return MotionCues(*(part.to(pair.device) for part in parts)), list(noise)


@torch.no_grad()
def _find_cues(
    device: torch.device, images: Array, scan: Scan, times: list[float]
) -> tuple[MotionCues, float]:
    """The cues of T frames of one capture (2, H, W, 3), and its noise."""
    field = estimate_motion(images[0], images[1], scan)
    size = images.shape[1:3]
    if device.type == "cuda":
        return cues_on_device(field, times, size, device), field.noise
    return cues_of(field, times, size), field.noise


def cues_of(
    field: MotionField, times: Sequence[float], size: Sequence[int], needed: Tensor | None = None
) -> MotionCues:
    """The cues of frames at T instants of a capture of (H, W), given its motion.

    If only some rows (T, H) of the frames are `needed`, those of rows beyond `CONTEXT` are zero.
    """
    x, y = cell_centres(*field.velocity.shape[:2])
    rows = np.ones((len(times), len(y)), bool) if needed is None else _rows_around(needed)
    cues = [np.zeros((len(times), count, *x.shape), np.float32) for count in CUE_CHANNELS]
    for index, (t, chosen) in enumerate(zip(times, rows, strict=True)):
        if not chosen.any():
            continue
        found = _cues_at(field, t, size, (x[chosen], y[chosen]))
        for cue, part in zip(cues, found, strict=True):
            cue[index][:, chosen] = part
    return MotionCues(*map(torch.from_numpy, cues))


def _rows_around(needed: Tensor) -> Bools:
    """Which rows of cells (T, h) lie within `CONTEXT` of needed rows (T, H)."""
    reach = CONTEXT // CELL
    height = needed.shape[1]
    cells = F.pad(needed.float(), (0, -height % CELL))[:, None]
    near = F.max_pool1d(F.max_pool1d(cells, CELL), 2 * reach + 1, stride=1, padding=reach)
    return np.asarray(near[:, 0].numpy() > 0)


def cues_on_device(
    field: MotionField, times: Sequence[float], size: Sequence[int], device: torch.device
) -> MotionCues:
    """`cues_of` by tensors, for all frames at once, as one tall image of T * h rows."""

    def move(values: Array) -> Any:
        return torch.from_numpy(values)[None].to(device)

    rows, columns = field.velocity.shape[:2]
    parallax = field.parallax
    first, second = (
        part._replace(flow=move(part.flow), gap=move(part.gap)) for part in field.measurements
    )
    moved = replace(
        field,
        velocity=move(field.velocity),
        camera=move(field.camera),
        deviation=move(field.deviation),
        parallax=parallax._replace(middle=move(parallax.middle), change=move(parallax.change)),
        measurements=(first, second),
    )
    x, y = (move(part).repeat(1, len(times), 1) for part in cell_centres(rows, columns))
    t = torch.tensor(times, device=device).repeat_interleave(rows)[None, :, None]
    stacked = (torch.stack(part, 1) for part in _cues_at(moved, t, size, (x, y)))
    parts = (part.unflatten(2, (len(times), rows)).transpose(1, 2)[0] for part in stacked)
    return MotionCues(*(part.contiguous() for part in parts))


def _cues_at(
    field: MotionField, t: Any, size: Sequence[int], place: tuple[Any, Any]
) -> tuple[list[Any], ...]:
    """The channels of `MotionCues` at an instant, given the centres of the cells."""
    xp, (x, y) = library(field.velocity), place
    views = sample_frame(field, t, field.velocity, place=place)
    # Between pairs nothing is known of the camera alone: both are one field.
    is_one = field.camera is field.velocity
    others = views if is_one else sample_frame(field, t, field.camera, place=place)
    local, camera = (
        [part for view in pair for part in (view.x - x, view.y - y)] for pair in (views, others)
    )
    mismatch = [xp.log1p(view.mismatch) / np.log1p(_MISMATCH_RANGE) for view in views + others]
    first, second = (view_weight(view, size, field.noise) for view in views)
    preference = xp.log(first / second).clip(-MAX_PREFERENCE, MAX_PREFERENCE)
    offset = [view.offset * single(field.readout) for view in views]
    return local, camera, mismatch, offset, [preference]


def find_training_cues(capture: CapturePair, t: float) -> Tensor:
    """Packed cues (3, C, h, w) of a training sample's frames at 0, t and 1."""
    maps = offset_maps(capture.scan_time[None], torch.tensor([[0.0, t, 1.0]]))
    return find_motion(capture.pair[None], maps.expand(-1, -1, -1, capture.width)).packed
