"""Classical motion as tensors: where each frame's cells were exposed, and how far to trust that."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classical.correction import view_weight
from models.classical.estimation import estimate_motion
from models.classical.field import cell_centres, sample_frame
from models.flow.dis import FlowSearch, search_both_ways, single_threaded_opencv
from models.measurement.scan import Scan

Array = npt.NDArray[np.float32]

LARGEST_PREFERENCE = 8.0
"""Logit at which the preference for a view is clipped."""

CUE_CHANNELS = (4, 4, 4, 2, 1)
"""Channels of the cues, in their order."""

_MISMATCH_RANGE = 4.0  # px that count as 1


class MotionCues(NamedTuple):
    """What is known about N = B * T frames before any learning, per cell of 4x4 pixels.

    Attributes:
        local: (N, 4, h, w) displacement (dx, dy) in pixels to t2b, then to b2t, by the motion
            estimated for each place.
        camera: (N, 4, h, w) by the camera's motion alone.
        mismatch: (N, 4, h, w) how badly flow agrees in t2b and b2t with local, then with camera
            motion, log(1 + px) scaled.
        offset: (N, 2, h, w) frame intervals from the frame to the exposures in t2b and b2t.
        preference: (N, 1, h, w) logit of t2b's share in the classical blend.
    """

    local: Tensor
    camera: Tensor
    mismatch: Tensor
    offset: Tensor
    preference: Tensor

    @property
    def packed(self) -> Tensor:
        """All of them as one tensor (N, 15, h, w)."""
        return torch.cat(self, dim=1)

    @classmethod
    def of_samples(cls, packed: Tensor) -> "MotionCues":
        """The cues of all frames of B samples, given `packed` of each, (B, T, 15, h, w)."""
        return cls(*packed.flatten(0, 1).split(CUE_CHANNELS, dim=1))


@torch.no_grad()
def find_motion(
    pair: Tensor, offsets: Tensor, *, search: FlowSearch = search_both_ways
) -> MotionCues:
    """Classical motion of a batch; no gradient flows through it.

    Args:
        pair: (B, 2, 3, H, W) RGB in [0, 1], any H >= 2, any W >= 1.
        offsets: (B, 2 * T, H, W) as `Generator.forward` takes them, or their first column.
        search: finds the flows between the views.
    """
    images = pair.float().permute(0, 1, 3, 4, 2).cpu().contiguous().numpy()
    count = offsets.shape[1] // 2
    # The maps of one instant are s - t and 1 - s - t.
    rows = offsets[..., 0].cpu().double()
    times = (1 - (rows[:, :count] + rows[:, count:]).mean(-1)) / 2
    scans = rows[:, 0] + times[:, :1]
    jobs = [
        (images[index], Scan.of(scans[index], images.shape[2]), times[index].tolist())
        for index in range(len(images))
    ]
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(partial(_cues_of_capture, search), jobs))
    parts = [part[0] if len(part) == 1 else torch.cat(part) for part in zip(*found, strict=True)]
    return MotionCues(*(part.to(pair.device) for part in parts))


def _cues_of_capture(search: FlowSearch, job: tuple[Array, Scan, list[float]]) -> MotionCues:
    """The cues of one capture's frames at `times`."""
    images, scan, times = job
    field = estimate_motion(images[0], images[1], scan, search=search)
    size = (images.shape[1], images.shape[2])
    shape = field.velocity.shape[:2]
    cues = [np.empty((len(times), channels, *shape), np.float32) for channels in CUE_CHANNELS]
    for index, t in enumerate(times):
        views = sample_frame(field, t, field.velocity)
        others = sample_frame(field, t, field.camera)
        x, y = cell_centres(*views[0].x.shape)
        local = [part for view in views for part in (view.x - x, view.y - y)]
        camera = [part for view in others for part in (view.x - x, view.y - y)]
        mismatch = [np.log1p(view.mismatch) / np.log1p(_MISMATCH_RANGE) for view in views + others]
        weights = [view_weight(view, size, field.noise) for view in views]
        preference = np.log(weights[0] / weights[1]).clip(-LARGEST_PREFERENCE, LARGEST_PREFERENCE)
        offset = [view.offset * np.float32(field.readout) for view in views]
        for cue, part in zip(cues, (local, camera, mismatch, offset, [preference]), strict=True):
            cue[index] = part
    return MotionCues(*map(torch.from_numpy, cues))
