"""Interpolation between two neighbouring frames of a video, each row at its own time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from data.simulator.imaging import Imaging
from models.splatting import reverse_flows
from models.warping import backward_warp

Flow = Callable[[Tensor, Tensor], Tensor]
"""(first, second) images (B, 3, H, W) in [0, 1] -> flow (B, 2, H, W) in pixels."""

_MIN_WEIGHT = 1e-3  # of a sample outside its frame; it decides where both samples are outside


@dataclass(frozen=True)
class Interval:
    """Two neighbouring frames and the motion between them.

    Attributes:
        first: (3, H, W) light of the earlier frame, at position 0.
        second: (3, H, W) light of the later frame, at position 1.
        forth: (2, H, W) flow in pixels from the first to the second.
        back: (2, H, W) flow from the second to the first.
    """

    first: Tensor
    second: Tensor
    forth: Tensor
    back: Tensor

    @cached_property
    def speed(self) -> float:
        """99th percentile of the motion between the frames, in pixels."""
        lengths = self.forth.norm(dim=0).flatten()
        return float(lengths.kthvalue(math.ceil(0.99 * len(lengths))).values)

    @cached_property
    def reach(self) -> int:
        """Distance in rows up to which others may contribute to a row."""
        return 2 + math.ceil(max(float(flow[1].abs().max()) for flow in (self.forth, self.back)))

    def light(self, positions: Tensor, top: int = 0) -> Tensor:
        """Light of consecutive rows, each at its own position in the interval.

        Both frames are warped to the row's time by reversed flows (`reverse_flows`) and averaged,
        with weights that fall linearly with the distance in time; samples from outside a frame have
        a small weight.

        Args:
            positions: (rows,) in [0, 1].
            top: number of the first row.

        Returns:
            (3, rows, W).
        """
        bottom = top + len(positions)
        for position, frame in ((0, self.first), (1, self.second)):
            if bool((positions == position).all()):
                return frame[:, top:bottom]
        low, high = max(0, top - self.reach), min(self.first.shape[1], bottom + self.reach)
        nearest = torch.arange(low, high).clamp(top, bottom - 1) - top
        tau = positions.to(self.first)[nearest.to(self.first.device)]
        tau = tau[:, None].expand(-1, self.first.shape[2])[None, None]
        flows = reverse_flows(self.forth[None, :, low:high], self.back[None, :, low:high], tau)
        frames = (self.first[None, :, low:high], self.second[None, :, low:high])
        total, weights = torch.zeros_like(frames[0]), torch.zeros_like(tau)
        for frame, flow, closeness in zip(frames, flows, (1 - tau, tau), strict=True):
            warped, valid = backward_warp(frame, flow)
            weight = closeness * (valid + _MIN_WEIGHT)
            total, weights = total + weight * warped, weights + weight
        return (total / weights)[0, :, top - low : bottom - low]


@torch.no_grad()
def make_interval(frames: tuple[Tensor, Tensor], imaging: Imaging, flow: Flow) -> Interval:
    """Interval between two frames (3, H, W) of image values in [0, 1]."""
    first, second = frames
    return Interval(
        first=imaging.to_light(first),
        second=imaging.to_light(second),
        forth=flow(first[None], second[None])[0],
        back=flow(second[None], first[None])[0],
    )
