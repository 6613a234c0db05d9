"""SelfDRSC++ (Shang et al., arXiv 2408.11411): frames at any instants, each on its own.

A light successor of the generator by its authors. Matching features of both views are correlated
for all pixels; flows are decoded coarse to fine and corrected by what the correlation shows where
they point. Option `netG.net_type: "selfdrsc_plusplus"`; formulas: docs/METHOD.md.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from data import time_maps
from models.parts.generator_layers import resize, resize_flow
from models.parts.network import (
    CorrectionNetwork,
    CorrectionOutput,
    FrameBatch,
    Inference,
    check_inputs,
    frames_per_batch,
)
from models.parts.padding import repeat_last, round_up, unpad
from models.parts.settings import SIZE_MULTIPLE
from models.parts.tiles import tiles_of
from models.plusplus.arranging import (
    SMALLEST_SIDE,
    by_frame,
    by_view,
    pad,
    repeat,
    view_of,
    warp_views,
)
from models.plusplus.blocks import Decoder, MatchingEncoder, Pyramid, Update
from models.plusplus.states import DecodedMotion, EncodedPairs
from models.plusplus.volumes import STORED_BYTES, Volumes, look_up, prepare_volumes, volume_bytes
from models.warping import (
    Canvas,
    Corner,
    pixel_centres,
    prepare_canvas,
    sampling_places,
    warp_canvas,
)

_PYRAMID = (20, 32, 44, 56)
_MATCHING, _MATCHED = (32, 64, 96), 84
_DECODERS, _SIDE = (60, 96, 132, 112), 20
_UPDATES = (64, 40, 20, 68, 76)
_MERGED = 18
_FLOWS = 3  # of each view at full size
_ENCODED_BYTES, _MOTION_BYTES = 100, 150  # per pixel
_CPU_TILE = 1024  # larger images are finished in tiles on a CPU, in a fraction of the memory


class SelfDRSCPlusPlus(CorrectionNetwork):
    """Light dual reversed rolling-shutter correction network with all-pairs correlation.

    Its frames do not depend on each other: `num_frames` counts those of a training pass, inference
    makes any number. `n_feats` and `width` scale all channels together; at 32 and 1.0 there are
    2,991,551 parameters with the names and shapes of the released weights. `channels` "bgr" flips
    the channel order of inputs and frames, for released weights.
    """

    net_type = "selfdrsc_plusplus"
    smallest_exported = SMALLEST_SIDE
    tile_margin = (
        32  # enough: tiles finish frames from motion at half size: no frame depends on the tiles
    )
    pixel_bytes = 700
    step_bytes = (4_000, 6_000)

    def build_layers(self) -> None:
        """Build the layers."""
        scale = self.width * self.n_feats / 32

        def scaled(channels: int) -> int:
            """A multiple of 4, as all reference channels are."""
            return max(4, round(channels * scale / 4) * 4)

        widths = [scaled(count) for count in _PYRAMID]
        block1, block2, block3, block4 = (scaled(count) for count in _DECODERS)
        side = scaled(_SIDE)
        self.feat_encoder = MatchingEncoder([*map(scaled, _MATCHING)], scaled(_MATCHED))
        self.encoder = Pyramid(widths)
        fine, half, quarter, coarse = widths
        self.decoder4 = Decoder(2 * coarse + 2, block4, side, 4 + quarter)
        self.decoder3 = Decoder(3 * quarter + 4, block3, side, 4 + half)
        self.decoder2 = Decoder(3 * half + 4, block2, side, 4 + fine)
        self.decoder1 = Decoder(3 * fine + 4, block1, side, 8 * _FLOWS)
        updates = [*map(scaled, _UPDATES)]
        self.update4 = Update(1, quarter, updates)
        self.update3 = Update(2, half, updates)
        self.update2 = Update(4, fine, updates)
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * _FLOWS, _MERGED, 3, 1, 1),
            nn.PReLU(_MERGED),
            nn.Conv2d(_MERGED, 3, 3, 1, 1),
        )

    def forward(
        self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None
    ) -> CorrectionOutput:
        """Correct a batch of pairs; see `CorrectionNetwork.forward`.

        T is arbitrary, and so is the size. The four flow levels are those at 1/8, 1/4 and 1/2,
        resized to half size, and the mean of the three flows at full size.
        """
        check_inputs(pair, offsets, max(offsets.shape[1] // 2, 1), multiple=1)
        return self.decode(self.encode(pair), offsets)

    def encode(self, pair: Tensor) -> EncodedPairs:
        """Features and volumes of pairs (B, 2, 3, H, W), padded right and bottom."""
        images = pad(pair.flip(2) if self.channels == "bgr" else pair)
        centred = (images - images.mean(dim=(1, 2, 3, 4), keepdim=True)).flatten(0, 1)
        # On a CPU, single images take less memory and no more time.
        parts = centred.split(1) if centred.device.type == "cpu" else [centred]
        matched = torch.cat([self.feat_encoder(part) for part in parts]).unflatten(0, (-1, 2))
        pyramids = zip(*(self.encoder(part) for part in parts), strict=True)
        levels = [torch.cat(level).unflatten(0, (-1, 2)) for level in pyramids]
        canvases = (prepare_canvas(level.to(pair.dtype), exact=False) for level in levels[:-1])
        return EncodedPairs(
            prepare_canvas(images, exact=False),
            tuple(canvases),
            levels[-1],
            prepare_volumes(matched),
        )

    def decode(
        self, encoded: EncodedPairs, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> CorrectionOutput:
        """Make frames of encoded pairs; see `CorrectionNetwork.decode`."""
        height, width = offsets.shape[-2:]
        motion = self.decode_motion(encoded, by_frame(pad(offsets)))
        frames, flow = self.finish(encoded, motion, (0, 0, height, width))
        count, half = offsets.shape[1] // 2, (-(-height // 2), -(-width // 2))
        coarse, middle, fine, finest = (
            by_view(resize_flow(level, factor), count, half)
            for level, factor in zip((*motion.flows, flow), (4, 2, 1, 1), strict=True)
        )
        frames = frames.unflatten(0, (-1, count))
        if wanted is not None:
            frames = frames[:, list(wanted)]
        return CorrectionOutput(frames, (coarse, middle, fine, finest))

    def decode_motion(self, encoded: EncodedPairs, offsets: Tensor) -> DecodedMotion:
        """Flows and features at half size.

        Args:
            encoded: of B pairs, or of one pair for all N frames.
            offsets: (N, 2, H', W') of t2b and b2t, padded; N = B * T.
        """
        dtype = offsets.dtype
        eighth = resize(offsets, 1 / 8)
        both = repeat(encoded.coarsest, len(offsets)).flatten(1, 2)
        decoded = self.decoder4(both, resize(offsets, 1 / 16))
        flow = decoded[:, :4].to(dtype)
        flow, feature = self._update(self.update4, flow, decoded[:, 4:], encoded.volumes, eighth)
        flows = [flow]
        for decoder, update, level in (
            (self.decoder3, self.update3, encoded.levels[2]),
            (self.decoder2, self.update2, encoded.levels[1]),
        ):
            decoded = decoder(feature, *warp_views(level, flow), flow)
            flow = decoded[:, :4].to(dtype) + resize_flow(flow, 2)
            flow, feature = self._update(update, flow, decoded[:, 4:], encoded.volumes, eighth)
            flows.append(flow)
        return DecodedMotion((flows[0], flows[1], flows[2]), feature)

    def finish(
        self, encoded: EncodedPairs, motion: DecodedMotion, part: tuple[int, int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """Make a part of the frames, sampling anywhere in both inputs.

        Args:
            encoded: of B pairs, or of one pair for all N frames.
            motion: of whole frames.
            part: (top, left, bottom, right); top and left are multiples of 32.

        Returns:
            Frames (N, 3, h, w), and their flows (N, 4, h', w') in px of the half-size grid, which
            extend past the part.
        """
        top, left, bottom, right = part
        rows, columns = (
            slice(start // 2, max(round_up(stop, SIZE_MULTIPLE), SMALLEST_SIDE) // 2)
            for start, stop in ((top, bottom), (left, right))
        )
        flow, feature = motion.flows[-1][..., rows, columns], motion.feature[..., rows, columns]
        half = (top // 2, left // 2)
        parts = self.decoder1(feature, *warp_views(encoded.levels[0], flow, half), flow)
        sides, mask, residual = parts.to(flow.dtype).split((4 * _FLOWS, _FLOWS, 3 * _FLOWS), dim=1)
        full = sides.unflatten(1, (2, _FLOWS, 2))  # views, flows, (dx, dy)
        full = full + resize_flow(flow, 2).unflatten(1, (2, 1, 2))
        candidates = self._blend(encoded.images, full, mask, residual, (top, left))
        change = self.comb_block(candidates).to(flow.dtype)
        frames = candidates.unflatten(1, (_FLOWS, 3)).mean(dim=1) + change
        frames = unpad(frames, bottom - top, right - left).clamp(0, 1)
        mean = resize_flow(full.mean(dim=2).flatten(1, 2), 0.5)
        return frames.flip(1) if self.channels == "bgr" else frames, mean

    def infer(self, inference: Inference) -> Iterator[FrameBatch]:
        """Encode the whole image and decode its motion; finish frames, in tiles if asked."""
        size, pair, times = inference.size, inference.pair[None], inference.times
        encoded = self.encode(pair)
        tile = self._tile(inference.tile, size)
        count = frames_per_batch(size, inference.batch_pixels) if tile is None else 1
        maps = time_maps.offset_maps(
            inference.scan_time[None], inference.scan_time.new_tensor([times])
        )
        rows, columns = encoded.images.ground.shape[-2:]
        maps = by_frame(repeat_last(maps, rows - size[0], dim=-2).to(pair.device))
        for start in range(0, len(times), count):
            chosen = slice(start, start + count)
            motion = self.decode_motion(encoded, maps[chosen].expand(-1, -1, -1, columns))
            yield from self._finish_tiles(
                encoded, motion, inference._replace(times=times[chosen], tile=tile)
            )
            del motion

    def inference_bytes(
        self, size: tuple[int, int], frames: int, tile: int | None, batch_pixels: int
    ) -> float:
        """Estimate the memory of `infer` in bytes; see `CorrectionNetwork.inference_bytes`."""
        pixels = size[0] * size[1]
        tile = self._tile(tile, size)
        stored = volume_bytes((1, 2, 0, -(-size[0] // 8), -(-size[1] // 8)))
        held = _ENCODED_BYTES * pixels + (stored if stored <= STORED_BYTES else 0)
        together = min(frames, frames_per_batch(size, batch_pixels)) if tile is None else 1
        moved, finished = together * pixels, together * pixels
        if tile is not None:
            finished = min(pixels, (tile + 2 * self.tile_margin) ** 2)
        return held + max(_MOTION_BYTES * moved, self.pixel_bytes * finished)

    def _tile(self, tile: int | None, size: tuple[int, int]) -> int | None:
        """Side of the tiles in which frames are finished."""
        on_cpu = next(self.parameters()).device.type == "cpu"
        return _CPU_TILE if tile is None and on_cpu and max(size) > _CPU_TILE else tile

    def _finish_tiles(
        self, encoded: EncodedPairs, motion: DecodedMotion, inference: Inference
    ) -> Iterator[FrameBatch]:
        """Make frames tile by tile; a generator of its own, so that locals are freed at its end."""
        for tile in tiles_of(inference.size, inference.tile, self.tile_margin):
            frames, flow = self.finish(encoded, motion, tile.seen)
            yield FrameBatch(inference.times, frames, flow.unflatten(1, (2, 2)), tile)

    def _update(
        self, update: Update, flow: Tensor, feature: Tensor, volumes: Volumes, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Correct flow (N, 4, h, w) and feature by the volumes at 1/8, with offsets at 1/8."""
        factor = update.factor
        small = resize_flow(flow, 1 / factor)
        # Flow to b2t times the offset of t2b, as released; see docs/METHOD.md.
        costs = look_up(volumes, small[:, 2:] * offsets[:, :1], small[:, :2] * offsets[:, 1:])
        of_feature, of_flow = update(resize(feature, 1 / factor), small, costs.to(flow.dtype))
        flow = flow + resize_flow(of_flow.to(flow.dtype), factor)
        return flow, feature + resize(of_feature, factor)

    def _blend(
        self, images: Canvas, flows: Tensor, mask: Tensor, residual: Tensor, corner: Corner
    ) -> Tensor:
        """The three candidates (N, 9, h, w) of each frame; the mean of the pair cancels out here.

        Args:
            images: of B pairs.
            flows: (N, 2 views, 3, 2, h, w).
            mask: (N, 3, h, w) logits of the share of t2b.
            residual: (N, 9, h, w) added to the candidates.
            corner: (top, left).
        """
        places = sampling_places(images, pixel_centres(flows, corner))
        share = torch.sigmoid(mask)
        blended = []
        for index in range(_FLOWS):
            first, second = (
                warp_canvas(view_of(images, view, len(flows)), flows[:, view, index], places)
                for view in (0, 1)
            )
            blended.append(torch.lerp(second, first, share[:, index : index + 1]))
        return torch.cat(blended, dim=1) + residual
