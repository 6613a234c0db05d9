"""Frames from both inputs: fused by the network, but one input where that is known to be better."""

import torch
from torch import Tensor

from models.classical.blending import choose, informed
from models.classical.border_extrapolation import MARGIN
from models.classical.field import CELL
from models.parts.generator_layers import resize
from models.refiner.blocks import Change
from models.refiner.refined_motion import RefinedMotion
from models.warping import Corner, bicubic_warp


def blend_views(
    motion: RefinedMotion,
    flow: Tensor,
    change: Change,
    corner: Corner,
    noise: float | Tensor | None = None,
) -> Tensor:
    """Blend both inputs, sampled along half-size flow in pixels, to frames (N, 3, h, w).

    Args:
        motion: of the frames' part that begins at `corner`.
        flow: (N, 4, h / 2, w / 2) to t2b, then to b2t.
        change: output of the fusion network.
        corner: row and column of the part in the image.
        noise: standard deviation of the inputs' noise, to choose between them; None: never.
    """
    full = resize(flow, 2)
    start = (MARGIN + corner[0], MARGIN + corner[1])
    first, second = (
        bicubic_warp(motion.continued[:, view], full[:, 2 * view : 2 * view + 2], start)
        for view in (0, 1)
    )
    preference = resize(motion.cues.preference, CELL)
    share = torch.sigmoid(preference + change.preference.to(first.dtype))
    frames = share * first + (1 - share) * second + change.residual.to(first.dtype)
    if noise is not None:
        offsets = motion.cues.offset.split(1, dim=1)
        strength = resize(informed(*offsets), CELL)
        # But for its vertical motion, both exposures of a point lie symmetrically about the middle
        # of the interval: the times to them sum up to 1 - 2t.
        distance = resize((offsets[0] + offsets[1]).abs().clamp(max=1), CELL)
        share = torch.sigmoid(preference)
        frames = choose_views(frames, share, (strength, distance), (first, second), noise)
    return frames.clamp(0, 1)


def choose_views(
    fused: Tensor,
    share: Tensor,
    weights: tuple[Tensor, Tensor],
    views: tuple[Tensor, Tensor],
    noise: float | Tensor,
) -> Tensor:
    """Frames (N, 3, h, w): fused in the middle of the interval, sampled from the views at its ends.

    The network's weights and residual are means over what may be. They soften real captures
    (docs/RESULTS.md), where the nearer view shows what is there.

    Args:
        fused: (N, 3, h, w) the network's frames.
        share: (N, 1, h, w) weight of t2b in the classical average.
        weights: strength of the choice between the views, and distance from the middle, 1 at both
            ends; (N, 1, h, w) each. The larger one is the weight against the network's frames.
        views: t2b and b2t warped to each frame, each (N, 3, h, w).
        noise: standard deviation of the noise of either view.
    """
    strength, distance = weights
    difference = views[0] - views[1]
    squared = difference.square().sum(dim=1, keepdim=True)
    chosen = torch.addcmul(views[1], choose(share, strength, squared, noise), difference)
    return torch.lerp(fused, chosen, torch.maximum(strength, distance))
