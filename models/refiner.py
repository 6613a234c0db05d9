"""A light correction network that starts from the classical correction and improves on it.

Where `models.generator` has to find motion by itself, this network is given what least squares make
of optical flow (`models.motion_field`), and learns what these cannot know: what is hidden behind
what, where objects end, how those move that flow lost, what to show where neither input saw it.
Both inputs are brought to the frame's instant along the motion known so far; cost volumes between
them at three scales show what does not fit, and where it would. Untrained it is the classical
correction. `netG.net_type: "refiner"` chooses it.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.generator import SIZE_MULTIPLE, Channels, GeneratorOutput, check_inputs
from models.motion_cues import MotionCues, find_motion
from models.motion_field import CELL
from models.refiner_blocks import (
    SLOPE,
    Change,
    FusionNet,
    MatchingNet,
    UNet,
    enlarge,
    zeroed,
)
from models.warping import backward_warp, bicubic_warp
from utils.padding import pad_to_multiple, unpad

_BASE_CHANNELS = (96, 128, 192, 192)
_ENCODED, _HIDDEN, _FUSED, _MATCHED = 48, 48, 48, 48
_ROUNDS = 2  # of looking where the motion known so far leads, and correcting it
_VELOCITY_SCALE = 32.0  # px per readout, and px, that count as 1 inside the network


class Refiner(nn.Module):
    """Classical motion, refined in cells of 4x4 pixels, then frames fused from both inputs.

    Attributes:
        channels: always "rgb": there are no released weights of another order.
    """

    net_type: Literal["refiner"] = "refiner"

    def __init__(
        self,
        num_frames: int = 3,
        n_feats: int = 32,
        width: float = 1.0,
        *,
        channels: Channels = "rgb",
    ) -> None:
        """Build the network; its frames are the classical ones until it is trained.

        Args:
            num_frames: frames made in training; a pass can make any number.
            n_feats: scales all channels together with `width`; 32 is the reference.
            width: scales the channels, rounded to multiples of 8.
            channels: must be "rgb".

        Raises:
            ValueError: an argument is not positive, or `channels` is not "rgb".
        """
        super().__init__()
        if num_frames < 1 or n_feats < 1 or width <= 0 or channels != "rgb":
            raise ValueError(
                "num_frames, n_feats and width must be positive and channels 'rgb', got "
                f"num_frames={num_frames}, n_feats={n_feats}, width={width}, channels={channels!r}"
            )
        self.num_frames = num_frames
        self.n_feats = n_feats
        self.width = width
        self.channels: Channels = channels
        scale = width * n_feats / 32
        encoded, hidden, fused, matched = (
            _scaled(count, scale) for count in (_ENCODED, _HIDDEN, _FUSED, _MATCHED)
        )
        self.encoder = nn.Sequential(
            nn.Conv2d(3 * CELL**2, encoded, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(encoded, encoded, 3, padding=1),
        )
        widths = [_scaled(count, scale) for count in _BASE_CHANNELS]
        self.matching_net = MatchingNet(encoded, matched, levels=len(widths) - 1)
        self.motion_net = UNet(2 * encoded + _CUE_CHANNELS, widths, hidden)
        self.motion_head = zeroed(nn.Conv2d(hidden, 7, 3, padding=1))
        self.fusion_net = FusionNet(hidden + _FUSION_CHANNELS, fused)

    def forward(self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None) -> GeneratorOutput:
        """Correct a batch of pairs; arguments and result as of `Generator.forward`.

        T and the size may be any; flows have half the size, rounded up. Each frame is made by
        itself: it does not matter which others are asked for. The four flow levels are those of the
        classical motion, of both rounds of its correction, and of the last refinement.

        Args:
            pair: (B, 2, 3, H, W).
            offsets: (B, 2 * T, H, W).
            cues: (B, T, C, h, w) `MotionCues.packed` of these frames; found here by default.
        """
        count = max(offsets.shape[1] // 2, 1)
        check_inputs(pair, offsets, count, multiple=1)
        known = find_motion(pair, offsets) if cues is None else MotionCues.unpack(cues)
        return self.refine(pair, known)

    def refine(self, pair: Tensor, cues: MotionCues) -> GeneratorOutput:
        """Frames of pairs (B, 2, 3, H, W) by cues of B * T frames, or of the same part of both."""
        count = cues.local.shape[0] // pair.shape[0]
        height, width = pair.shape[-2:]
        # After the motion's estimate, which rows made up to fill the network's grid would mislead.
        pair = pad_to_multiple(pair, SIZE_MULTIPLE)
        cues = MotionCues(*(pad_to_multiple(cue, SIZE_MULTIPLE // CELL) for cue in cues))
        images = pair.repeat_interleave(count, 0)
        features = self._encode(pair).repeat_interleave(count, 0)
        refined = self._refine(images, features, cues)
        fusion = self._prepare_fusion(images, refined, cues)
        change = self.fusion_net(torch.cat((refined.hidden, fusion), dim=1))
        flow = enlarge(refined.displacements[-1], 2) + _VELOCITY_SCALE * change.displacement
        frames = self._blend(images, flow, cues, change).unflatten(0, (-1, count))
        frames = unpad(frames, height, width)
        levels = [enlarge(level, 2) / 2 for level in (cues.local, *refined.displacements)]
        levels.append(flow / 2)
        flows = [
            unpad(level, -(-height // 2), -(-width // 2))
            .unflatten(0, (-1, count))
            .unflatten(2, (2, 2))
            .transpose(1, 2)
            .flatten(1, 3)
            for level in levels
        ]
        return GeneratorOutput(frames, (flows[0], flows[1], flows[2], flows[3]))

    def _encode(self, pair: Tensor) -> Tensor:
        """(B, 2 * C, h, w) features of both inputs."""
        cells = F.pixel_unshuffle(pair.flatten(0, 1), CELL)
        features: Tensor = self.encoder(cells).unflatten(0, (-1, 2)).flatten(1, 2)
        return features

    def _refine(self, images: Tensor, features: Tensor, cues: MotionCues) -> "_Refined":
        """Correct the displacements of each cell, twice, by the same weights."""
        small = F.avg_pool2d(images.flatten(1, 2), CELL)
        seen = _split_views(torch.cat((small, features), dim=1), small.shape[1])
        by_camera = _warp_views(_split_views(small, small.shape[1]), cues.camera / CELL)
        displacement, found = cues.local, []
        for _ in range(_ROUNDS):
            warped = _warp_views(seen, displacement / CELL)
            given = (
                warped,
                by_camera,
                (cues.camera - displacement) / _VELOCITY_SCALE,
                displacement / _VELOCITY_SCALE,
                cues.mismatch,
                cues.offset,
                cues.preference / 8,
            )
            costs = self.matching_net(*(view[:, 3:] for view in warped.chunk(2, dim=1)))
            hidden = self.motion_net(torch.cat(given, dim=1), costs)
            motion = self.motion_head(hidden).to(displacement.dtype)
            # Where nothing speaks for an object of its own, the camera's motion is the better one.
            displacement = torch.lerp(displacement, cues.camera, torch.sigmoid(motion[:, :1] - 4))
            # A gate of its own: most cells are right already, and want no change at all.
            change = torch.sigmoid(motion[:, 1:2]) * _displace(motion[:, 2:6], cues.offset)
            displacement = displacement + _VELOCITY_SCALE * change
            found.append(displacement)
        return _Refined((found[0], found[1]), enlarge(hidden, 2), motion[:, 6:])

    def _prepare_fusion(self, images: Tensor, refined: "_Refined", cues: MotionCues) -> Tensor:
        """What the fusion network sees at half size, besides the motion network's features."""
        halves = F.pixel_unshuffle(images.flatten(0, 1), 2).unflatten(0, (-1, 2))
        flow = enlarge(refined.displacements[-1], 2) / 2
        warped = _warp_views((halves[:, 0], halves[:, 1]), flow)
        first, second = warped.chunk(2, dim=1)
        preference = enlarge((cues.preference + refined.preference) / 8, 2)
        return torch.cat((warped, first - second, preference, enlarge(cues.offset, 2)), dim=1)

    def _blend(self, images: Tensor, flow: Tensor, cues: MotionCues, change: Change) -> Tensor:
        """Frames (N, 3, H, W) from both inputs, sampled along half-size flow in pixels."""
        full = enlarge(flow, 2)
        first, second = (
            bicubic_warp(images[:, view], full[:, 2 * view : 2 * view + 2]) for view in (0, 1)
        )
        preference = enlarge(cues.preference, CELL) + change.preference.to(first.dtype)
        share = torch.sigmoid(preference)
        frames = share * first + (1 - share) * second + change.residual.to(first.dtype)
        return frames.clamp(0, 1)


_CUE_CHANNELS = 2 * 3 * 2 + 4 + 4 + 4 + 2 + 1
_FUSION_CHANNELS = 3 * 12 + 1 + 2


class _Refined(NamedTuple):
    """What the motion network gives for B * T frames, in cells unless stated.

    Attributes:
        displacements: (N, 4, h, w) to t2b and b2t after each round.
        hidden: (N, C, 2h, 2w) features.
        preference: (N, 1, h, w) logit added to the preference for t2b.
    """

    displacements: tuple[Tensor, Tensor]
    hidden: Tensor
    preference: Tensor


def _displace(motion: Tensor, offset: Tensor) -> Tensor:
    """(N, 4, h, w) displacements to both views: a velocity, and an acceleration, over offsets."""
    velocity, acceleration = motion.chunk(2, dim=1)
    views = [velocity * part + acceleration * part**2 for part in offset.chunk(2, dim=1)]
    return torch.cat(views, dim=1)


def _split_views(channels: Tensor, colours: int) -> tuple[Tensor, Tensor]:
    """t2b's and b2t's share of (N, colours + C, h, w), where both parts list t2b first."""
    colour, rest = channels[:, :colours], channels[:, colours:]
    first, second = (
        torch.cat(parts, dim=1)
        for parts in zip(colour.chunk(2, dim=1), rest.chunk(2, dim=1), strict=True)
    )
    return first, second


def _warp_views(views: tuple[Tensor, Tensor], flow: Tensor) -> Tensor:
    """Both views warped by their half of (N, 4, h, w) flow, t2b's channels first."""
    warped = [
        backward_warp(view, part).warped
        for view, part in zip(views, flow.chunk(2, dim=1), strict=True)
    ]
    return torch.cat(warped, dim=1)


def _scaled(channels: int, scale: float) -> int:
    return max(8, round(channels * scale / 8) * 8)
