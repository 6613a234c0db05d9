"""The refiner: a light network that improves on the classical correction. Not in the paper.

Unlike `models.generator` it does not estimate motion from scratch: it starts from the classical
motion field (`models.classical.field`) and learns what that cannot know: occlusions, object
borders, motion that optical flow missed, content that neither input shows. Both inputs are warped
to the frame's instant by the current motion; cost volumes between them at three scales show
residual motion. Untrained it equals the classical correction. Option `netG.net_type: "refiner"`.
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
from models.parts.tiles import BAND_STEP, bands_of, tiles_of
from models.refiner.blending import blend_views
from models.refiner.blocks import SLOPE, FusionNet, MatchingNet, UNet, displace, zeroed
from models.refiner.cues import (
    CUE_CHANNELS,
    MAX_PREFERENCE,
    MotionCues,
    find_batch_cues,
    find_motion,
    find_training_cues,
    measure_motion,
)
from models.refiner.refined_motion import Encoded, RefinedMotion, repeat_each, warp_views
from models.warping import Corner

_BASE_CHANNELS = (96, 128, 192, 192)
_ENCODED, _HIDDEN, _FUSED, _MATCHED = 48, 48, 48, 48
_ROUNDS = 2  # of correcting the motion
_VELOCITY_SCALE = 32.0  # px per readout, and px, that are scaled to 1
_BAND_MARGIN = 32  # px of context around needed rows for the motion, a multiple of 8
_FUSION_MARGIN = 16  # the same for the fusion
_MOTION_BYTES = 290  # per pixel, of the classical motion
_REFINED_BYTES = 290  # per pixel and frame, of the refined motion
_FIRST_LOGIT = -4.0  # of the camera's share in the motion: 2 % before training
_GIVEN_CHANNELS = 2 * 2 * 3 + sum(CUE_CHANNELS)  # both views warped by both motions, and the cues
_FUSION_CHANNELS = 3 * 12 + 1 + 2  # both halved views, their difference, preference and offsets


class Refiner(CorrectionNetwork):
    """Classical motion, refined in cells of 4x4 pixels, then frames fused from both inputs.

    `num_frames` counts the frames of a training pass; inference makes any number. `n_feats` and
    `width` scale all channels together; 32 and 1.0 are the reference. `channels` must be "rgb".
    """

    net_type = "refiner"
    channel_orders: ClassVar[tuple[Channels, ...]] = ("rgb",)
    tile_margin = 32  # small, because motion is estimated from the whole image
    pixel_bytes = 90  # of the fusion
    step_bytes = (2_100, 2_000)
    needs_cues = True
    compiles = False
    find_cues = staticmethod(find_training_cues)
    find_batch_cues = staticmethod(find_batch_cues)

    def build_layers(self) -> None:
        """Build the layers; before training the frames are the classical ones."""
        scale = self.width * self.n_feats / 32
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
        """Correct a batch of pairs; see `CorrectionNetwork.forward`.

        T is arbitrary, and so is the size from two rows on; flows have half the size, rounded up.
        Frames do not depend on which other frames are made. The four flow levels are those of the
        classical motion, of both rounds of its correction, and of the fusion's refinement.

        Args:
            pair: (B, 2, 3, H, W).
            offsets: (B, 2 * T, H, W).
            cues: (B, T, C, h, w) `MotionCues.packed` of each pair's frames; default: computed here.
        """
        count = max(offsets.shape[1] // 2, 1)
        check_inputs(pair, offsets, count, multiple=1)
        known = find_motion(pair, offsets) if cues is None else MotionCues.of_samples(cues)
        return self.fuse(self.refine_motion(self.encode(pair), known), (0, 0, *pair.shape[-2:]))

    def encode(self, pair: Tensor) -> Encoded:
        """Compute what does not depend on the instants, of pairs (B, 2, 3, H, W)."""
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

    def refine_motion(
        self, encoded: Encoded, cues: MotionCues, rows: slice | None = None
    ) -> RefinedMotion:
        """Refine the motion of frames of B pairs, given cues of B * T frames.

        Args:
            encoded: the pairs.
            cues: of whole frames.
            rows: those of the frames that are needed, in px, from a multiple of 32 on; default:
                all.
        """
        # Pad the cues, not the images: padded rows would bias the motion estimate.
        cues = MotionCues(*(pad_to_multiple(cue, SIZE_MULTIPLE // CELL) for cue in cues))
        top, step = 0, SIZE_MULTIPLE
        if rows is not None:
            top, bottom, step = rows.start, round_up(rows.stop, SIZE_MULTIPLE), BAND_STEP
            cues = MotionCues(*(cue[..., top // CELL : bottom // CELL, :] for cue in cues))
        count = cues.local.shape[0] // encoded.views.shape[0]
        continued, halves, views = (repeat_each(part, count) for part in encoded)
        corrected = self._correct(views.unbind(1), cues, (top // CELL, 0))
        return RefinedMotion(continued, halves, count, top, step, cues, *corrected)

    def fuse(
        self,
        whole: RefinedMotion,
        part: tuple[int, int, int, int],
        noise: float | Tensor | None = None,
    ) -> CorrectionOutput:
        """Make a part of the frames, sampling anywhere in both inputs.

        Args:
            whole: motion of whole frames.
            part: (top, left, bottom, right); top and left are multiples of 32, of a band of 8.
            noise: standard deviation of the views' noise, to choose between them; None: never.
        """
        top, left, bottom, right = part
        motion = whole.within(part)
        change = self.fusion_net(self._prepare_fusion(motion, (top, left)))
        flow = resize(motion.displacements[-1], 2) + _VELOCITY_SCALE * change.displacement
        frames = blend_views(motion, flow, change, (top, left), noise)
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
        """Estimate the motion of the whole image once, then make the frames, in tiles if asked."""
        size, pair, times = inference.size, inference.pair[None], inference.times
        noise = inference.noise
        if inference.cues is not None:
            cues = MotionCues.of_samples(inference.cues[None])
        else:
            scan = inference.scan_time
            maps = time_maps.offset_maps(scan[None], scan.new_tensor([times]))
            with torch.autocast(pair.device.type, enabled=False):
                cues, (noise,) = measure_motion(pair, maps, inference.motion_estimate)
        inference = inference._replace(noise=noise if inference.blending == "choose" else None)
        whole = inference.tile is None
        if not whole:
            release_memory()  # nearly a gigabyte for large images
        count = frames_per_batch(size, inference.batch_pixels) if whole else 1
        encoded = self.encode(pair)
        if inference.rows is not None:
            yield from self._make_bands(inference, encoded, cues)
            return
        for start in range(0, len(times), count):
            chosen = times[start : start + count]
            chosen_cues = MotionCues(*(cue[start : start + count] for cue in cues))
            motion = self.refine_motion(encoded, chosen_cues)
            yield from self._fuse_tiles(inference._replace(times=chosen), motion)

    def _make_bands(
        self, inference: Inference, encoded: Encoded, cues: MotionCues
    ) -> Iterator[FrameBatch]:
        """Make the needed rows of each frame, in bands with a margin of context."""
        assert inference.rows is not None
        height = inference.size[0]
        for index, (t, needed) in enumerate(zip(inference.times, inference.rows, strict=True)):
            chosen_cues = MotionCues(*(cue[index : index + 1] for cue in cues))
            for band in bands_of(needed):
                first, last = max(band.start - _BAND_MARGIN, 0), band.stop + _BAND_MARGIN
                seen = slice(first // SIZE_MULTIPLE * SIZE_MULTIPLE, min(last, height))
                motion = self.refine_motion(encoded, chosen_cues, seen)
                yield from self._fuse_tiles(inference._replace(times=(t,)), motion, band)

    def _fuse_tiles(
        self, inference: Inference, motion: RefinedMotion, rows: slice | None = None
    ) -> Iterator[FrameBatch]:
        """Make frames tile by tile; a generator of its own, so that locals are freed at its end."""
        margin = self.tile_margin if rows is None else _FUSION_MARGIN
        for tile in tiles_of(inference.size, inference.tile, margin, rows):
            made = self.fuse(motion, tile.seen, inference.noise)
            flows = made.flows[-1][0].unflatten(0, (2, len(inference.times), 2)).transpose(0, 1)
            yield FrameBatch(inference.times, made.frames[0], flows, tile)

    def inference_bytes(
        self, size: tuple[int, int], frames: int, tile: int | None, batch_pixels: int
    ) -> float:
        """Estimate the memory of `infer` in bytes; see `CorrectionNetwork.inference_bytes`."""
        pixels = size[0] * size[1]
        count = min(frames, frames_per_batch(size, batch_pixels)) if tile is None else 1
        fused = count * pixels if tile is None else (tile + 2 * self.tile_margin) ** 2
        return (_MOTION_BYTES + _REFINED_BYTES * count) * pixels + self.pixel_bytes * fused

    def _correct(
        self, views: Sequence[Tensor], cues: MotionCues, corner: Corner
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Correct the displacements of each cell in two rounds with shared weights.

        The cues begin at the cell `corner` of the views.

        Returns:
            Displacements after each round, features, and preference, as in `RefinedMotion`.
        """
        by_camera = warp_views([view[:, :3] for view in views], cues.camera / CELL, corner)
        displacement, found = cues.local, []
        for _ in range(_ROUNDS):
            hidden = self.motion_net(*self._compare(views, by_camera, displacement, cues, corner))
            motion = self.motion_head(hidden).to(displacement.dtype)
            # Without evidence of an independently moving object the camera's motion is better.
            share = torch.sigmoid(motion[:, :1] + _FIRST_LOGIT)
            displacement = torch.lerp(displacement, cues.camera, share)
            # The gate keeps most cells, which are correct already, unchanged.
            change = torch.sigmoid(motion[:, 1:2]) * displace(motion[:, 2:6], cues.offset)
            displacement = displacement + _VELOCITY_SCALE * change
            found.append(displacement)
        return (found[0], found[1]), hidden, motion[:, 6:]

    def _compare(
        self,
        views: Sequence[Tensor],
        by_camera: Tensor,
        displacement: Tensor,
        cues: MotionCues,
        corner: Corner,
    ) -> tuple[Tensor, list[Tensor]]:
        """Inputs of the motion network: features of views, motion and cues; cost volumes."""
        warped = warp_views(views, displacement / CELL, corner)
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
        """Inputs of the fusion network at half size, of a part at `corner` (top, left)."""
        start = ((MARGIN + corner[0]) // 2, (MARGIN + corner[1]) // 2)
        warped = warp_views(motion.halves.unbind(1), resize(motion.displacements[-1], 2) / 2, start)
        first, second = warped.chunk(2, dim=1)
        preference = resize((motion.cues.preference + motion.preference) / MAX_PREFERENCE, 2)
        offset = resize(motion.cues.offset, 2)
        hidden = resize(motion.hidden, 2)
        return join((hidden, warped, first - second, preference, offset))
