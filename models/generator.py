"""The correction network: a dual pair and time offsets to global-shutter frames."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.parts.generator_blocks import (
    FlowNet,
    SynthesisNet,
    WarpedContextNet,
)
from models.parts.generator_layers import resize_flow, scaled, warp_to_frames
from models.warping import Canvas, prepare_canvas

Channels = Literal["rgb", "bgr"]

SIZE_MULTIPLE = 32
"""Image sides must be multiples of this: five halvings, or a scale of 8 and two."""

_BLOCK_CHANNELS = (192, 128, 96, 48)
_PRELU_SLOPE = 0.25  # PyTorch's initial one


class EncodedPairs(NamedTuple):
    """What does not depend on the instants of the frames.

    Attributes:
        pair: (B, 2, 3, H, W) in the channel order of the weights.
        canvas: of the pair.
        context: of features (B, 2, T * C, h, w) at 1/4, 1/8, 1/16 and 1/32 of the size.
    """

    pair: Tensor
    canvas: Canvas
    context: tuple[Canvas, ...]


class GeneratorOutput(NamedTuple):
    """Frames, and the flows they were made with.

    Attributes:
        frames: (B, T, 3, H, W) RGB in [0, 1]; only those wanted, of which there are T.
        flows: four of (B, 4 * T, H/2, W/2), coarse to fine: (dx, dy) from each frame to t2b, then
            from each frame to b2t, in pixels of the half-size grid.
    """

    frames: Tensor
    flows: tuple[Tensor, Tensor, Tensor, Tensor]


class Generator(nn.Module):
    """Dual reversed rolling-shutter correction network of SelfDRSC (paper, section 3).

    At `width` 1.0 its state-dict names and shapes are the released ones.

    Attributes:
        channels: channel order its weights expect inside; inputs and outputs are RGB in any case.
    """

    net_type: Literal["generator"] = "generator"

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
            n_feats: features of the context and synthesis networks before scaling.
            width: scales `n_feats` and the flow blocks' channels, rounded to multiples of 8.
            channels: channel order the weights expect.

        Raises:
            ValueError: an argument is not positive, or `channels` is unknown.
        """
        super().__init__()
        if num_frames < 1 or n_feats < 1 or width <= 0:
            given = f"num_frames={num_frames}, n_feats={n_feats}, width={width}"
            raise ValueError(f"num_frames, n_feats and width must be positive, got {given}")
        if channels not in ("rgb", "bgr"):
            raise ValueError(f"channels must be 'rgb' or 'bgr', got {channels!r}")
        self.num_frames = num_frames
        self.n_feats = n_feats
        self.width = width
        self.channels: Channels = channels
        features = scaled(n_feats, width)
        c0, c1, c2, c3 = (scaled(channels, width) for channels in _BLOCK_CHANNELS)
        self.flow_net = FlowNet(num_frames, (c0, c1, c2, c3))
        self.warped_context_net = WarpedContextNet(num_frames, features)
        self.ife_net = SynthesisNet(num_frames, features)
        self.apply(_initialise)

    def forward(self, pair: Tensor, offsets: Tensor) -> GeneratorOutput:
        """Correct a batch of pairs.

        Args:
            pair: (B, 2, 3, H, W) RGB in [0, 1]: t2b, b2t; H and W multiples of 32.
            offsets: (B, 2 * T, H, W) time from each frame to the pixel's exposure in [-1, 1] (see
                `data.time_maps.offset_maps`): T maps of t2b, then T maps of b2t.

        Raises:
            ValueError: a shape is not as stated.
        """
        check_inputs(pair, offsets, self.num_frames)
        return self.decode(self.encode(pair), offsets)

    def encode(self, pair: Tensor) -> EncodedPairs:
        """Extract once what frames at any instants need of pairs (B, 2, 3, H, W)."""
        if self.channels == "bgr":
            pair = pair.flip(2)
        levels = self.warped_context_net.encode(pair.flatten(0, 1))
        context = (
            prepare_canvas(level.to(pair.dtype).unflatten(0, (-1, 2)), exact=False)
            for level in levels
        )
        return EncodedPairs(pair, prepare_canvas(pair), tuple(context))

    def decode(
        self, encoded: EncodedPairs, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> GeneratorOutput:
        """Make frames of encoded pairs.

        Args:
            encoded: of B pairs, or of one for all B rows of the offsets.
            offsets: (B, 2 * T, H, W) as `forward` takes them.
            wanted: indices of the frames to make; all T by default. The flows are of all T.
        """
        chosen = range(self.num_frames) if wanted is None else wanted
        flows = self.flow_net(encoded.pair, offsets, encoded.canvas).flows
        flow = resize_flow(flows[-1], 2)
        warped = warp_to_frames(encoded.canvas, flow)
        context = self._context(encoded.context, flows[-1])
        residual, mask = self.ife_net(warped, flow, context, wanted=chosen)
        frames = self._blend(warped, residual, mask, chosen)
        return GeneratorOutput(frames.flip(2) if self.channels == "bgr" else frames, flows)

    def _context(self, context: Sequence[Canvas], flow: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Warped features of t2b and b2t at each scale."""
        views = [
            self.warped_context_net.fuse(
                [level._replace(ground=level.ground[:, view]) for level in context], own
            )
            for view, own in enumerate(flow.chunk(2, dim=1))
        ]
        return list(zip(*views, strict=True))

    def _blend(
        self, warped: Sequence[Tensor], residual: Tensor, mask: Tensor, chosen: Sequence[int]
    ) -> Tensor:
        """Mask-weighted mean of the warped inputs plus the residual, clamped to [0, 1]."""
        from_t2b = torch.stack([warped[frame] for frame in chosen], dim=1)
        from_b2t = torch.stack([warped[self.num_frames + frame] for frame in chosen], dim=1)
        # Sigmoids near 1/2 need more than bfloat16.
        share = torch.sigmoid(mask.to(from_t2b.dtype))
        change = torch.tanh(residual.to(from_t2b.dtype) / 2)  # 2 sigmoid(r) - 1
        return (torch.lerp(from_b2t, from_t2b, share) + change).clamp(0, 1)


def check_inputs(
    pair: Tensor, offsets: Tensor, num_frames: int, multiple: int = SIZE_MULTIPLE
) -> None:
    """Check what a generator is given.

    Raises:
        ValueError: a shape is not as `Generator.forward` states.
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


def _initialise(module: nn.Module) -> None:
    """Keep the signal's variance through convolutions and PReLUs.

    PyTorch's default shrinks it by 0.18 per layer: nothing of the images would arrive behind the
    eight plain layers of a flow block, and training would begin on a long plateau.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, a=_PRELU_SLOPE)
        if isinstance(module, nn.ConvTranspose2d):
            # Each output of a stride-2 transposed convolution sees a quarter of the kernel.
            with torch.no_grad():
                fan_in = module.in_channels * 4
                fan_torch = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                module.weight.mul_((fan_torch / fan_in) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
