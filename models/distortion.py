"""Bidirectional distortion warping: rebuild both rolling-shutter inputs from three frames.

Paper, section 3. A leg joins frame A (position 0) to frame B (position 1). A pixel at position τ
of the leg is found in both by flows reversed to τ (`models.splatting.reverse_flows`):

    rebuilt = (1 - τ) warp(A, F_τA) + τ warp(B, F_τB)

With s the exposure time of a pixel, y / (H - 1) in t2b and 1 - y / (H - 1) in b2t:

* whole: one leg 0 -> 1 with τ = s;
* split: legs 0 -> t with τ = s / t and t -> 1 with τ = (s - t) / (1 - t), clamped to [0, 1]. Each
  leg is reversed and rebuilt over the whole image, pixels exposed outside it included; then pixels
  with s <= t are taken from the first leg and the others from the second.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from data.time_maps import leg_positions
from models.splatting import reverse_flows
from models.warping import Sampling, backward_warp

# Of each leg (0 -> 1, 0 -> t, t -> 1): the first and last frame among those at 0, t, 1.
_LEG_STARTS = (0, 0, 1)
_LEG_ENDS = (2, 1, 2)


class Rebuilt(NamedTuple):
    """Both inputs, t2b and b2t, rebuilt in two ways.

    Attributes:
        whole: (B, 2, 3, H, W) from the frames at 0 and 1.
        split: (B, 2, 3, H, W) from those at 0 and t, and at t and 1.
        whole_valid: (B, 2, 1, H, W), 1 where both samples lie inside their frames, else 0; no
            gradient. The released losses do not use it.
        split_valid: the same of `split`.
    """

    whole: Tensor
    split: Tensor
    whole_valid: Tensor
    split_valid: Tensor


def rebuild(
    frames: Tensor, flows: Tensor, scan_time: Tensor, t: Tensor, sampling: Sampling = "aligned"
) -> Rebuilt:
    """Rebuild both rolling-shutter images from three global-shutter frames.

    Args:
        frames: (B, 3, 3, H, W) at the instants 0, t, 1.
        flows: (B, 6, 2, H, W) in pixels, in the order 0->1, 1->0, 0->t, t->0, t->1, 1->t.
        scan_time: (B, 1, H, W) exposure time of t2b's pixels in [0, 1]; b2t's is one minus it.
        t: (B,) instants of the middle frames in [0, 1].
        sampling: rule of the image warps, see `models.warping`.

    Raises:
        ValueError: the shapes do not fit, or an instant lies outside [0, 1].
    """
    _check_shapes(frames, flows, scan_time, t)
    exposure = torch.stack((scan_time, 1 - scan_time), dim=1)
    positions = leg_positions(exposure, t.reshape(-1, 1, 1, 1, 1))
    tau = torch.stack((exposure, positions.before, positions.after), dim=2)
    rebuilt, valid = _rebuild_legs(frames, flows, tau, sampling)
    on_first = positions.on_first_leg
    return Rebuilt(
        whole=rebuilt[:, :, 0],
        split=torch.where(on_first, rebuilt[:, :, 1], rebuilt[:, :, 2]),
        whole_valid=valid[:, :, 0],
        split_valid=torch.where(on_first, valid[:, :, 1], valid[:, :, 2]),
    )


def _rebuild_legs(
    frames: Tensor, flows: Tensor, tau: Tensor, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Rebuild every leg over the whole image, all as one batch.

    Args:
        frames: (B, 3, 3, H, W).
        flows: (B, 6, 2, H, W).
        tau: (B, 2 scans, 3 legs, 1, H, W) leg positions.
        sampling: rule of the image warps.

    Returns:
        Images (B, 2, 3, 3, H, W) and validity (B, 2, 3, 1, H, W).
    """
    there, back = (_for_both_scans(flows[:, direction::2]) for direction in (0, 1))
    starts, ends = (
        torch.stack([frames[:, place] for place in places], dim=1)
        for places in (_LEG_STARTS, _LEG_ENDS)
    )
    position = tau.flatten(0, 2)
    to_start, to_end = reverse_flows(there, back, position)
    start = backward_warp(_for_both_scans(starts), to_start, sampling)
    end = backward_warp(_for_both_scans(ends), to_end, sampling)
    # This form reproduces two equal samples exactly.
    blended = start.warped + position * (end.warped - start.warped)
    # At an end of its leg a pixel takes nothing from the other end.
    valid = start.valid.masked_fill(position == 1, 1) * end.valid.masked_fill(position == 0, 1)
    return blended.reshape(*tau.shape[:3], *blended.shape[1:]), valid.reshape(tau.shape)


def _for_both_scans(legs: Tensor) -> Tensor:
    """(B, 3, C, H, W) of three legs -> (B * 2 * 3, C, H, W), the same for both scans."""
    return legs[:, None].expand(-1, 2, -1, -1, -1, -1).flatten(0, 2)


def _check_shapes(frames: Tensor, flows: Tensor, scan_time: Tensor, t: Tensor) -> None:
    batch, (height, width) = frames.shape[0], frames.shape[-2:]
    expected = {
        "frames": (frames, (batch, 3, 3, height, width)),
        "flows": (flows, (batch, 6, 2, height, width)),
        "scan_time": (scan_time, (batch, 1, height, width)),
        "t": (t, (batch,)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(tensor.shape)}")
