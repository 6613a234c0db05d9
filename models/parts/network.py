"""Base class of correction networks: their interface to training, inference and tiling.

A network that makes frames at 0, t and 1 in a pass defines `build_layers` and `forward`, and with
`encode` and `decode` computes once what does not depend on t. Any other also defines `infer`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from data import time_maps
from data.capture import CapturePair
from models.parts.padding import pad_to_multiple, padded_scan, unpad
from models.parts.settings import (
    SIZE_MULTIPLE,
    Blending,
    Channels,
    InitialWeights,
    MotionEstimate,
    list_instants,
)
from models.parts.tiles import Tile, tiles_of
from utils.errors import InputError

_FRAMES_OF_A_PASS = 3


class CorrectionOutput(NamedTuple):
    """Frames and the flows used for them.

    Attributes:
        frames: (B, T, 3, H, W) RGB in [0, 1]; fewer than T if `decode` was asked for some only.
        flows: four of (B, 4 * T, H/2, W/2), coarse to fine: (dx, dy) from each frame to t2b, then
            from each frame to b2t, in pixels of the half-size grid.
    """

    frames: Tensor
    flows: tuple[Tensor, Tensor, Tensor, Tensor]


class Inference(NamedTuple):
    """One capture and the frames wanted.

    Attributes:
        pair: (2, 3, H, W) on the network's device.
        times: instants of the frames.
        scan_time: (H,) exposure times of the t2b rows, on the CPU: a GPU need not wait for them.
        tile: pixels that a tile keeps along each side; None: the whole image at once.
        batch_pixels: largest batch in pixels; a single pass may have more.
        blending: how both views are blended, for networks that sample them by motion.
        rows: (T, H) bool, rows of each frame that are needed; None: all. A network may make more.
        cues: (T, C, h, w) packed motion cues of the frames, if they are known.
        noise: standard deviation of the views' noise; known with the cues.
        motion_estimate: what estimates the motion of networks that take cues, if none are known.
    """

    pair: Tensor
    times: tuple[float, ...]
    scan_time: Tensor
    tile: int | None
    batch_pixels: int
    blending: Blending = "average"
    rows: Tensor | None = None
    cues: Tensor | None = None
    noise: float | Tensor | None = None
    motion_estimate: MotionEstimate = "auto"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the images."""
        return self.pair.shape[-2], self.pair.shape[-1]


class FrameBatch(NamedTuple):
    """K frames of a tile from one batch.

    Attributes:
        times: K instants.
        frames: (K, 3, h, w) RGB in [0, 1].
        flows: (K, 2, 2, h', w') displacements (dx, dy) to t2b and b2t in pixels of the half-size
            grid, which may extend past the tile.
        tile: the part of the image.
    """

    times: tuple[float, ...]
    frames: Tensor
    flows: Tensor
    tile: Tile


class CorrectionNetwork(nn.Module):
    """A network from a pair and time offsets to global-shutter frames.

    Class attributes tell training and tiling what they need to know.

    Attributes:
        net_type: name in `models.networks.NETWORKS`, in option files and weight files.
        channel_orders: channel orders that the weights may expect.
        initial_weights: what options may choose, the constructor's first; empty: its own only.
        tile_margin: pixels of context around a tile, a multiple of 32.
        pixel_bytes: memory of a pass, per pixel of a tile with its margin.
        step_bytes: activations of a training step in bytes per pixel of a crop in float32: a
            constant part, and a part proportional to the width.
        checkpointed_step_bytes: the same with gradient checkpointing; None if unsupported.
        smallest_exported: smallest side that a program exported for any size takes.
        needs_cues: whether it is trained with motion cues. Such networks alone have
            `find_cues`: (capture, t) -> (3, C, h, w) of the frames at 0, t and 1, and
            `find_batch_cues`: (pairs, scan times, instants, estimate) -> (B, T, C, h, w).
        compiles: whether `torch.compile` takes `forward` as a single graph.
    """

    net_type: ClassVar[str]
    channel_orders: ClassVar[tuple[Channels, ...]] = ("rgb", "bgr")
    initial_weights: ClassVar[tuple[InitialWeights, ...]] = ()
    tile_margin: ClassVar[int] = 256
    pixel_bytes: ClassVar[int] = 1100  # including memory that the allocator keeps
    step_bytes: ClassVar[tuple[float, float]] = (2_100, 1_500)
    checkpointed_step_bytes: ClassVar[tuple[float, float] | None] = None
    smallest_exported: ClassVar[int] = 64
    needs_cues: ClassVar[bool] = False
    find_cues: "staticmethod[[CapturePair, float], Tensor]"
    find_batch_cues: "staticmethod[[Tensor, Tensor, Tensor, MotionEstimate], Tensor]"
    compiles: ClassVar[bool] = True

    def __init__(
        self,
        num_frames: int = 3,
        n_feats: int = 32,
        width: float = 1.0,
        *,
        channels: Channels = "rgb",
    ) -> None:
        """Build the network with untrained weights.

        Args:
            num_frames: frames made in one pass.
            n_feats: features before scaling.
            width: scales the channels, rounded to multiples of 8; 1.0 is the reference.
            channels: channel order that the weights expect.

        Raises:
            ValueError: an argument is not positive, or `channels` is none of `channel_orders`.
        """
        super().__init__()
        if num_frames < 1 or n_feats < 1 or width <= 0:
            given = f"num_frames={num_frames}, n_feats={n_feats}, width={width}"
            raise ValueError(f"num_frames, n_feats and width must be positive, got {given}")
        if channels not in self.channel_orders:
            expected = " or ".join(map(repr, self.channel_orders))
            raise ValueError(f"channels must be {expected}, got {channels!r}")
        self.num_frames, self.n_feats = num_frames, n_feats
        self.width, self.channels = width, channels
        self.build_layers()

    @property
    def instants(self) -> tuple[float, ...] | None:
        """The only instants that the network makes frames at; None: any in [0, 1]."""
        return None

    def expect_instants(self, times: Sequence[float]) -> None:
        """Check that the network can make frames at these instants.

        Raises:
            InputError: some are not among `instants`.
        """
        others = [t for t in times if self.instants is not None and t not in self.instants]
        if self.instants is not None and others:
            raise InputError(
                f"network '{self.net_type}', num_frames {self.num_frames}, makes only t = "
                f"{list_instants(self.instants)}, got t = {list_instants(others)}; ask for these "
                "instants or use other weights"
            )

    def build_layers(self) -> None:
        """Build the layers; the constructor's arguments are attributes already."""

    def draw_pytorch_weights(self) -> None:
        """Draw new weights from the default distributions of PyTorch's layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.PReLU):
                module.reset_parameters()

    def forward(
        self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None
    ) -> CorrectionOutput:
        """Correct a batch of pairs.

        Args:
            pair: (B, 2, 3, H, W) RGB in [0, 1]: t2b, b2t; H and W multiples of 32.
            offsets: (B, 2 * T, H, W) signed time s - t from each frame to the pixel's exposure, in
                [-1, 1] (`data.time_maps.offset_maps`): T maps of t2b, then T maps of b2t.
            cues: (B, T, C, h, w) from `find_cues` or `find_batch_cues`, for networks with them.
        """
        raise NotImplementedError

    def encode(self, pair: Tensor) -> Any:
        """Compute what does not depend on the instants, of pairs (B, 2, 3, H, W)."""
        return pair

    def decode(
        self, encoded: Any, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> CorrectionOutput:
        """Make frames of encoded pairs.

        Args:
            encoded: of B pairs, or of one pair for all B rows of the offsets.
            offsets: (B, 2 * T, H, W) as in `forward`.
            wanted: indices of the frames to make; default all T. Flows are returned for all T.
        """
        frames, flows = self(encoded.expand(len(offsets), *encoded.shape[1:]), offsets)
        return CorrectionOutput(frames if wanted is None else frames[:, list(wanted)], flows)

    def infer(self, inference: Inference) -> Iterator[FrameBatch]:
        """Make the frames of a capture in batches, by passes at 0, t and 1.

        There is one pass for each instant strictly between 0 and 1. The frames at 0 and 1 come from
        the pass whose t is nearest to 0.5.

        Raises:
            InputError: the network does not make three frames in a pass.
        """
        if self.num_frames != _FRAMES_OF_A_PASS:
            raise InputError(
                f"the network makes {self.num_frames} frames in a pass; expected "
                f"{_FRAMES_OF_A_PASS}, at 0, t and 1; use other weights"
            )
        middles = _middle_instants(inference.times)
        first = [index for index, t in enumerate((0.0, middles[0], 1.0)) if t in inference.times]
        for tile in tiles_of(inference.size, inference.tile, self.tile_margin):
            rows, columns = tile.seen_slices
            part = inference.pair[..., rows, columns]
            height, width = part.shape[-2:]
            padded = pad_to_multiple(part, SIZE_MULTIPLE)
            scan = padded_scan(inference.scan_time[rows], height, padded.shape[-2])
            encoded = self.encode(padded[None])
            count = frames_per_batch((padded.shape[-2], padded.shape[-1]), inference.batch_pixels)
            groups = [middles[start : start + count] for start in range(1, len(middles), count)]
            for group, wanted in [(middles[:1], first), *((group, [1]) for group in groups)]:
                instants = scan.new_tensor([(0, middle, 1) for middle in group])
                maps = time_maps.offset_maps(scan.expand(len(group), -1), instants)
                maps = maps.to(padded.device, non_blocking=True)
                made = self.decode(encoded, maps.expand(-1, -1, -1, padded.shape[-1]), wanted)
                flows = made.flows[-1].unflatten(1, (2, 3, 2))
                yield FrameBatch(
                    tuple((0.0, middle, 1.0)[index] for middle in group for index in wanted),
                    unpad(made.frames.flatten(0, 1), height, width),
                    torch.stack([flows[:, :, index] for index in wanted], dim=1).flatten(0, 1),
                    tile,
                )

    def inference_bytes(
        self, size: tuple[int, int], frames: int, tile: int | None, batch_pixels: int
    ) -> float:
        """Estimate the memory of `infer` in bytes, without the images and the frames.

        Args:
            size: (H, W) of the images.
            frames: number of frames.
            tile: as in `Inference`.
            batch_pixels: as in `Inference`.
        """
        weights = sum(weight.numel() * weight.element_size() for weight in self.parameters())
        seen = size[0] * size[1] if tile is None else (tile + 2 * self.tile_margin) ** 2
        together = min(batch_pixels, max(1, frames - 2) * seen)
        return 2 * weights + self.pixel_bytes * max(seen, together)


def check_inputs(
    pair: Tensor, offsets: Tensor, num_frames: int, multiple: int = SIZE_MULTIPLE
) -> None:
    """Check the arguments of a correction network.

    Raises:
        ValueError: a shape is not as `CorrectionNetwork.forward` states.
    """
    height, width = pair.shape[-2:]
    if pair.ndim != 5 or pair.shape[1:3] != (2, 3):
        raise ValueError(f"pair must be (B, 2, 3, H, W), got {tuple(pair.shape)}")
    if height % multiple or width % multiple or not height or not width:
        raise ValueError(
            f"height and width must be multiples of {multiple}, got {height}x{width}; "
            "models.inference.correction.correct takes any size"
        )
    expected = (pair.shape[0], 2 * num_frames, height, width)
    if tuple(offsets.shape) != expected:
        raise ValueError(f"offsets must be {expected}, got {tuple(offsets.shape)}")


def frames_per_batch(size: tuple[int, int], batch_pixels: int) -> int:
    """Number of frames of (H, W) in a batch; at least one."""
    return max(1, batch_pixels // (size[0] * size[1]))


def _middle_instants(times: Sequence[float]) -> list[float]:
    """Instant t of each pass, nearest to 0.5 first; 0.5 alone if only 0 and 1 are wanted."""
    interior = {instant for instant in times if 0 < instant < 1}
    return sorted(interior or {0.5}, key=lambda instant: (abs(instant - 0.5), instant))
