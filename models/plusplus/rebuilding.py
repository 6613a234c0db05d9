"""Rebuild both rolling-shutter inputs from three frames by a frozen interpolator.

SelfDRSC++ takes this in place of flow and bidirectional distortion warping
(`models.distortion`). With I(A, B, m) the interpolator, a leg from frame A to frame B at positions
τ is rebuilt from both ends:

    leg(A, B, τ) = (1 - τ) I(A, B, τ) + τ I(B, A, 1 - τ)

Whole and split are those of `models.distortion`.
"""

import torch
from torch import Tensor, nn

from data.time_maps import leg_positions
from models.distortion import Rebuilt

_LEG_STARTS, _LEG_ENDS = (0, 0, 1), (2, 1, 2)  # of 0 -> 1, 0 -> t, t -> 1


def rebuild_by_interpolation(
    interpolator: nn.Module, frames: Tensor, scan_time: Tensor, t: Tensor
) -> Rebuilt:
    """Rebuild both rolling-shutter images; the twelve interpolations are one batch.

    Gradient flows to the frames. All pixels count as valid.

    Args:
        interpolator: (first, second, position) -> image, as `models.plusplus.interpolator`.
        frames: (B, 3, 3, H, W) at the instants 0, t, 1.
        scan_time: (B, 1, H, W) exposure time of t2b's pixels in [0, 1]; b2t's is one minus it.
        t: (B,) instants of the middle frames in [0, 1].
    """
    exposure = torch.stack((scan_time, 1 - scan_time), dim=1)
    positions = leg_positions(exposure, t.reshape(-1, 1, 1, 1, 1))
    tau = torch.stack((exposure, positions.before, positions.after), dim=2)
    starts, ends = (
        frames[:, list(places)][:, None].expand(-1, 2, -1, -1, -1, -1).flatten(0, 2)
        for places in (_LEG_STARTS, _LEG_ENDS)
    )
    position = tau.flatten(0, 2)
    there, back = interpolator(
        torch.cat((starts, ends)), torch.cat((ends, starts)), torch.cat((position, 1 - position))
    ).chunk(2)
    legs = torch.lerp(there, back, position).unflatten(0, tau.shape[:3])
    split = torch.where(positions.on_first_leg, legs[:, :, 1], legs[:, :, 2])
    valid = torch.ones_like(exposure)
    return Rebuilt(whole=legs[:, :, 0], split=split, whole_valid=valid, split_valid=valid)
