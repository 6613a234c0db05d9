"""Light between two neighbouring frames of a video, each row at an instant of its own."""

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

_LEAST_WEIGHT = 1e-3  # of a sample from beyond the image, where the other one is, too


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
        """Pixels between the frames that 99 of 100 points stay below."""
        lengths = self.forth.norm(dim=0).flatten()
        return float(lengths.kthvalue(math.ceil(0.99 * len(lengths))).values)

    @cached_property
    def reach(self) -> int:
        """Rows beyond a row that may take part in it."""
        return 2 + math.ceil(max(float(flow[1].abs().max()) for flow in (self.forth, self.back)))

    def light(self, positions: Tensor, top: int = 0) -> Tensor:
        """Light of consecutive rows, each at its own position in the interval.

        Both frames are warped to the row's instant, by flows reversed as in `reverse_flows`, and
        weighted by its closeness to them; what a warp takes from beyond its frame counts little.

        Args:
            positions: (rows,) in [0, 1].
            top: the first of the rows.

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
            weight = closeness * (valid + _LEAST_WEIGHT)
            total, weights = total + weight * warped, weights + weight
        return (total / weights)[0, :, top - low : bottom - low]


@torch.no_grad()
def make_interval(frames: tuple[Tensor, Tensor], imaging: Imaging, flow: Flow) -> Interval:
    """The interval between two frames (3, H, W), given as image values in [0, 1]."""
    first, second = frames
    return Interval(
        first=imaging.to_light(first),
        second=imaging.to_light(second),
        forth=flow(first[None], second[None])[0],
        back=flow(second[None], first[None])[0],
    )
