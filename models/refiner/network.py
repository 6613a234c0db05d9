"""A light correction network that starts from the classical correction and improves on it.

Where `models.generator` has to find motion by itself, this network is given what least squares make
of optical flow (`models.classical.field`), and learns what these cannot know: what is hidden behind
what, where objects end, how those move that flow lost, what to show where neither input saw it.
Both inputs are brought to the frame's instant along the motion known so far; cost volumes between
them at three scales show what does not fit, and where it would. Untrained it is the classical
correction. `netG.net_type: "refiner"` chooses it.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import time_maps
from models.classical.border_extrapolation import MARGIN, extrapolate_borders
from models.classical.field import CELL
from models.parts.device import release_memory
from models.parts.generator_layers import join, resize, scaled
from models.parts.network import (
    CorrectionNetwork,
    CorrectionOutput,
    FrameBatch,
    Inference,
    check_inputs,
    frames_per_batch,
)
from models.parts.padding import pad_to_multiple, round_up, unpad
from models.parts.settings import SIZE_MULTIPLE, Channels
from models.parts.tiles import tiles_of
from models.refiner.blocks import (
    SLOPE,
    Change,
    FusionNet,
    MatchingNet,
    UNet,
    displace,
    zeroed,
)
from models.refiner.cues import (
    CUE_CHANNELS,
    MAX_PREFERENCE,
    MotionCues,
    find_motion,
    find_training_cues,
)
from models.refiner.refined_motion import Encoded, RefinedMotion
from models.warping import Corner, backward_warp, bicubic_warp

_BASE_CHANNELS = (96, 128, 192, 192)
_ENCODED, _HIDDEN, _FUSED, _MATCHED = 48, 48, 48, 48
_ROUNDS = 2  # of looking where the motion known so far leads, and correcting it
_VELOCITY_SCALE = 32.0  # px per readout, and px, that count as 1 inside the network
_MOTION_BYTES, _REFINED_BYTES = (
    290,
    290,
)  # per pixel: the classical motion; each frame's refined one
_FIRST_LOGIT = -4.0  # of the camera's share in the motion; untrained, 98 % stay as they are
_GIVEN_CHANNELS = 2 * 2 * 3 + sum(CUE_CHANNELS)  # both views warped by both motions, and the cues
_FUSION_CHANNELS = 3 * 12 + 1 + 2  # both halved views, their difference, preference and offsets


class Refiner(CorrectionNetwork):
    """Classical motion, refined in cells of 4x4 pixels, then frames fused from both inputs.

    `num_frames` counts the frames of a training pass; inference makes any number.
    """

    net_type = "refiner"
    channel_orders: ClassVar[tuple[Channels, ...]] = ("rgb",)
    tile_margin = 32  # the motion is found of the whole image
    pixel_bytes = 90  # of the fusion
    step_bytes = (2_100, 2_000)
    needs_cues = True
    find_cues = staticmethod(find_training_cues)

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
        super().__init__(num_frames, n_feats, width, channels=channels)
        scale = width * n_feats / 32
        encoded, hidden, fused, matched = (
            scaled(count, scale) for count in (_ENCODED, _HIDDEN, _FUSED, _MATCHED)
        )
        self.encoder = nn.Sequential(
            nn.Conv2d(3 * CELL**2, encoded, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(encoded, encoded, 3, padding=1),
        )
        widths = [scaled(count, scale) for count in _BASE_CHANNELS]
        self.matching_net = MatchingNet(encoded, matched, levels=len(widths) - 1)
        self.motion_net = UNet(2 * encoded + _GIVEN_CHANNELS, widths, hidden)
        self.motion_head = zeroed(nn.Conv2d(hidden, 7, 3, padding=1))
        self.fusion_net = FusionNet(hidden + _FUSION_CHANNELS, fused)

    def forward(
        self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None
    ) -> CorrectionOutput:
        """Correct a batch of pairs; arguments and result as of `CorrectionNetwork.forward`.

        T may be any, and any size of two rows or more; flows have half the size, rounded up. Each
        frame is made by itself: it does not matter which others are asked for. The four flow levels
        are those of the classical motion, of both rounds of its correction, and of the last
        refinement.

        Args:
            pair: (B, 2, 3, H, W).
            offsets: (B, 2 * T, H, W).
            cues: (B, T, C, h, w), for each pair `MotionCues.packed` of its frames; found here by
                default.
        """
        count = max(offsets.shape[1] // 2, 1)
        check_inputs(pair, offsets, count, multiple=1)
        known = find_motion(pair, offsets) if cues is None else MotionCues.of_samples(cues)
        return self.fuse(self.refine_motion(self.encode(pair), known), (0, 0, *pair.shape[-2:]))

    def encode(self, pair: Tensor) -> Encoded:
        """What does not depend on the frame, of pairs (B, 2, 3, H, W)."""
        continued = extrapolate_borders(pair)
        even = continued[..., : continued.shape[-2] // 2 * 2, : continued.shape[-1] // 2 * 2]
        halves = F.pixel_unshuffle(even, 2)
        rows, columns = (
            slice(MARGIN, MARGIN + round_up(side, SIZE_MULTIPLE)) for side in pair.shape[-2:]
        )
        images = continued[..., rows, columns].flatten(0, 1)
        features = self.encoder(F.pixel_unshuffle(images, CELL))
        views = torch.cat((F.avg_pool2d(images, CELL), features), dim=1)
        return Encoded(continued, halves, views.unflatten(0, (-1, 2)))

    def refine_motion(self, encoded: Encoded, cues: MotionCues) -> RefinedMotion:
        """The motion of whole frames of B pairs by cues of B * T frames."""
        # After the motion's estimate, which rows made up to fill the network's grid would mislead.
        cues = MotionCues(*(pad_to_multiple(cue, SIZE_MULTIPLE // CELL) for cue in cues))
        count = cues.local.shape[0] // encoded.views.shape[0]
        continued, halves, views = (_repeat(part, count) for part in encoded)
        return RefinedMotion(continued, halves, count, cues, *self._correct(views.unbind(1), cues))

    def fuse(self, whole: RefinedMotion, part: tuple[int, int, int, int]) -> CorrectionOutput:
        """Frames of a part of the image, from all of both inputs.

        Args:
            whole: motion of whole frames.
            part: (top, left, bottom, right), a multiple of 32 at the top and left.
        """
        top, left, bottom, right = part
        motion = whole.within(part)
        change = self.fusion_net(self._prepare_fusion(motion, (top, left)))
        flow = resize(motion.displacements[-1], 2) + _VELOCITY_SCALE * change.displacement
        frames = self._blend(motion, flow, change, (top, left))
        levels = [resize(level, 2) / 2 for level in (motion.cues.local, *motion.displacements)]
        levels.append(flow / 2)
        height, width = bottom - top, right - left
        flows = [
            unpad(level, -(-height // 2), -(-width // 2))
            .unflatten(0, (-1, motion.instants))
            .unflatten(2, (2, 2))
            .transpose(1, 2)
            .flatten(1, 3)
            for level in levels
        ]
        frames = unpad(frames.unflatten(0, (-1, motion.instants)), height, width)
        return CorrectionOutput(frames, (flows[0], flows[1], flows[2], flows[3]))

    def infer(self, inference: Inference) -> Iterator[FrameBatch]:
        """Make the frames of a capture: motion of the whole image, then frames, in tiles if asked.

        The motion is estimated once, in cells of 4x4 pixels.
        """
        size, pair, times = inference.size, inference.pair[None], inference.times
        maps = time_maps.offset_maps(
            inference.scan_time[None], inference.scan_time.new_tensor([times])
        )
        with torch.autocast(pair.device.type, enabled=False):
            cues = find_motion(pair, maps)
        if inference.tile is not None:
            release_memory()  # of large images, nearly a gigabyte
        whole = inference.tile is None
        count = frames_per_batch(size, inference.batch_pixels) if whole else 1
        encoded = self.encode(pair)
        for start in range(0, len(times), count):
            chosen = times[start : start + count]
            chosen_cues = MotionCues(*(cue[start : start + count] for cue in cues))
            yield from self._fuse_tiles(
                inference._replace(times=chosen), self.refine_motion(encoded, chosen_cues)
            )

    def _fuse_tiles(self, inference: Inference, motion: RefinedMotion) -> Iterator[FrameBatch]:
        """Frames along this motion, tile by tile; a generator of its own frees them in between."""
        for tile in tiles_of(inference.size, inference.tile, self.tile_margin):
            made = self.fuse(motion, tile.seen)
            flows = made.flows[-1][0].unflatten(0, (2, len(inference.times), 2)).transpose(0, 1)
            yield FrameBatch(inference.times, made.frames[0], flows, tile)

    def inference_bytes(
        self, size: tuple[int, int], frames: int, tile: int | None, batch_pixels: int
    ) -> float:
        """Estimate the memory of `infer`: motion once, refinement and fusion of frames together."""
        pixels = size[0] * size[1]
        count = min(frames, frames_per_batch(size, batch_pixels)) if tile is None else 1
        fused = count * pixels if tile is None else (tile + 2 * self.tile_margin) ** 2
        return (_MOTION_BYTES + _REFINED_BYTES * count) * pixels + self.pixel_bytes * fused

    def _correct(
        self, views: Sequence[Tensor], cues: MotionCues
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Correct the displacements of each cell, twice, by the same weights.

        Returns:
            Displacements after each round, features, and preference as `RefinedMotion` has them.
        """
        by_camera = _warp_views([view[:, :3] for view in views], cues.camera / CELL)
        displacement, found = cues.local, []
        for _ in range(_ROUNDS):
            hidden = self.motion_net(*self._compare(views, by_camera, displacement, cues))
            motion = self.motion_head(hidden).to(displacement.dtype)
            # Where nothing speaks for an object of its own, the camera's motion is the better one.
            share = torch.sigmoid(motion[:, :1] + _FIRST_LOGIT)
            displacement = torch.lerp(displacement, cues.camera, share)
            # A gate of its own: most cells are right already, and want no change at all.
            change = torch.sigmoid(motion[:, 1:2]) * displace(motion[:, 2:6], cues.offset)
            displacement = displacement + _VELOCITY_SCALE * change
            found.append(displacement)
        return (found[0], found[1]), hidden, motion[:, 6:]

    def _compare(
        self, views: Sequence[Tensor], by_camera: Tensor, displacement: Tensor, cues: MotionCues
    ) -> tuple[Tensor, list[Tensor]]:
        """The motion network's inputs: features of all that is known, and costs."""
        warped = _warp_views(views, displacement / CELL)
        given = (
            warped,
            by_camera,
            (cues.camera - displacement) / _VELOCITY_SCALE,
            displacement / _VELOCITY_SCALE,
            cues.mismatch,
            cues.offset,
            cues.preference / MAX_PREFERENCE,
        )
        costs = self.matching_net(*(view[:, 3:] for view in warped.chunk(2, dim=1)))
        return self.motion_net.first(join(given)), costs

    def _prepare_fusion(self, motion: RefinedMotion, corner: Corner) -> Tensor:
        """What the fusion network sees at half size, of a part at `corner` (top, left)."""
        start = ((MARGIN + corner[0]) // 2, (MARGIN + corner[1]) // 2)
        warped = _warp_views(
            motion.halves.unbind(1), resize(motion.displacements[-1], 2) / 2, start
        )
        first, second = warped.chunk(2, dim=1)
        preference = resize((motion.cues.preference + motion.preference) / MAX_PREFERENCE, 2)
        offset = resize(motion.cues.offset, 2)
        hidden = resize(motion.hidden, 2)
        return join((hidden, warped, first - second, preference, offset))

    def _blend(self, motion: RefinedMotion, flow: Tensor, change: Change, corner: Corner) -> Tensor:
        """Frames (N, 3, h, w) from both inputs, sampled along half-size flow in pixels."""
        full = resize(flow, 2)
        start = (MARGIN + corner[0], MARGIN + corner[1])
        first, second = (
            bicubic_warp(motion.continued[:, view], full[:, 2 * view : 2 * view + 2], start)
            for view in (0, 1)
        )
        preference = resize(motion.cues.preference, CELL) + change.preference.to(first.dtype)
        share = torch.sigmoid(preference)
        frames = share * first + (1 - share) * second + change.residual.to(first.dtype)
        return frames.clamp(0, 1)


def _repeat(images: Tensor, count: int) -> Tensor:
    """(B * count, ...) each of (B, ...) so many times; without a copy if B or `count` is 1."""
    return images.unsqueeze(1).expand(-1, count, *images.shape[1:]).flatten(0, 1)


def _warp_views(views: Sequence[Tensor], flow: Tensor, corner: Corner | None = None) -> Tensor:
    """Both views warped by their half of (N, 4, h, w) flow from `corner` on, t2b's first."""
    warped = [
        backward_warp(view, part, corner=corner, exact=False).warped
        for view, part in zip(views, flow.chunk(2, dim=1), strict=True)
    ]
    return torch.cat(warped, dim=1)
