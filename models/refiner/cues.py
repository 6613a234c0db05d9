"""Classical motion as tensors: where each frame's cells are exposed, and how reliable that is."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from models.device_motion.estimation import estimate_motions, takes_tensors
from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array, Bools, library, single
from models.measurement.scan import Scan
from models.parts.settings import MotionEstimate

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
def measure_motion(
    pair: Tensor, offsets: Tensor, estimate: MotionEstimate = "auto"
) -> tuple[MotionCues, Sequence[float] | Tensor]:
    """`find_motion`, and the standard deviation of the noise of each pair's views.

    On a CUDA device all runs there but what `models.device_motion.feature_search` does on the CPU.
    Otherwise OpenCV and NumPy do it on the CPU, where they are faster. `estimate` overrides that.
    """
    count = offsets.shape[1] // 2
    # The maps of one instant are s - t and 1 - s - t.
    rows = offsets[..., 0].cpu().double()
    times = (1 - (rows[:, :count] + rows[:, count:]).mean(-1)) / 2
    scan_times = rows[:, 0] + times[:, :1]
    if takes_tensors(estimate, pair.device):
        return measure_on_device(pair, scan_times, times)
    images = pair.float().permute(0, 1, 3, 4, 2).cpu().contiguous().numpy()
    scans = [Scan.of(scan, images.shape[2]) for scan in scan_times]
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_find_cues, images, scans, times.tolist()))
    cues, noise = zip(*found, strict=True)
    parts = [part[0] if len(part) == 1 else torch.cat(part) for part in zip(*cues, strict=True)]
    return MotionCues(*(part.to(pair.device) for part in parts)), list(noise)


@torch.no_grad()
def measure_on_device(pair: Tensor, scan_times: Tensor, times: Tensor) -> tuple[MotionCues, Tensor]:
    """Cues and noise (B,) by tensors on the device of the pairs.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1].
        scan_times: (B, H) exposure times of t2b's rows.
        times: (B, T) instants of the frames.
    """
    scan_times, times = (part.to(pair.device, non_blocking=True) for part in (scan_times, times))
    with torch.autocast(pair.device.type, enabled=False):
        field = estimate_motions(pair, scan_times)
        noise: Any = field.noise
        return cues_of_batch(field, times, pair.shape[-2:]), noise[:, 0, 0]


@torch.no_grad()
def find_batch_cues(
    pair: Tensor, scan_times: Tensor, times: Tensor, estimate: MotionEstimate
) -> Tensor:
    """Packed cues (B, T, C, h, w) of a batch of training samples, without gradient.

    By tensors only `models.device_motion.feature_search` waits for the device.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1].
        scan_times: (B, H) exposure times of t2b's rows, on the device of the pairs.
        times: (B, T) instants of the frames, likewise.
        estimate: what estimates the motion.
    """
    if takes_tensors(estimate, pair.device):
        cues, _ = measure_on_device(pair, scan_times.double(), times)
    else:
        cues, _ = measure_motion(pair, offset_maps(scan_times, times), estimate)
    return cues.packed.unflatten(0, times.shape)


def _find_cues(images: Array, scan: Scan, times: list[float]) -> tuple[MotionCues, float]:
    """The cues of T frames of one capture (2, H, W, 3), and its noise."""
    field = estimate_motion(images[0], images[1], scan)
    return cues_of(field, times, images.shape[1:3]), field.noise


def cues_of(
    field: MotionField, times: Sequence[float], size: Sequence[int], needed: Tensor | None = None
) -> MotionCues:
    """The cues of frames at T instants of a capture of (H, W), given its motion.

    If only some rows (T, H) of the frames are `needed`, those of rows beyond `CONTEXT` are zero;
    not if the field is of tensors, a batch of one, on whose device the cues then are.
    """
    if isinstance(field.velocity, Tensor):
        instants = torch.tensor([times]).to(field.velocity.device, non_blocking=True)
        with torch.no_grad(), torch.autocast(instants.device.type, enabled=False):
            return cues_of_batch(field, instants, size)
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


def cues_of_batch(field: MotionField, times: Tensor, size: Sequence[int]) -> MotionCues:
    """The cues of frames at instants (B, T) of captures of (H, W), given their motion."""
    rows, columns = field.velocity.shape[1:3]
    count = times.shape[1]
    # All frames of a capture are sampled at once, as one tall image of T * h rows.
    x, y = (part.repeat(1, count, 1) for part in cell_centres(rows, columns, like=field.velocity))
    t = times.float().repeat_interleave(rows, dim=1)[..., None]
    parts = (torch.stack(part, 1) for part in _cues_at(field, t, size, (x, y)))
    return MotionCues(
        *(part.unflatten(2, (count, rows)).transpose(1, 2).flatten(0, 1) for part in parts)
    )


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
