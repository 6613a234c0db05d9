"""The correction network: a dual pair and time offsets to global-shutter frames."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.parts.generator_blocks import (
    FlowNet,
    SynthesisNet,
    WarpedContextNet,
)
from models.parts.generator_layers import resize_flow, scaled, warp_to_frames
from models.parts.network import CorrectionNetwork, CorrectionOutput, check_inputs
from models.parts.settings import Channels
from models.warping import Canvas, prepare_canvas

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


class Generator(CorrectionNetwork):
    """Dual reversed rolling-shutter correction network of SelfDRSC (paper, section 3).

    At `width` 1.0 its state-dict names and shapes are the released ones.
    """

    net_type = "generator"
    checkpointed_step_bytes: ClassVar[tuple[float, float] | None] = (1_800, 500)

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
        super().__init__(num_frames, n_feats, width, channels=channels)
        features = scaled(n_feats, width)
        c0, c1, c2, c3 = (scaled(channels, width) for channels in _BLOCK_CHANNELS)
        self.flow_net = FlowNet(num_frames, (c0, c1, c2, c3))
        self.warped_context_net = WarpedContextNet(num_frames, features)
        self.ife_net = SynthesisNet(num_frames, features)
        self.apply(_initialise)

    def forward(
        self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None
    ) -> CorrectionOutput:
        """Correct a batch of pairs; see `CorrectionNetwork.forward`.

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
    ) -> CorrectionOutput:
        """Make frames of encoded pairs; see `CorrectionNetwork.decode`."""
        chosen = range(self.num_frames) if wanted is None else wanted
        flows = self.flow_net(encoded.pair, offsets, encoded.canvas).flows
        flow = resize_flow(flows[-1], 2)
        warped = warp_to_frames(encoded.canvas, flow)
        context = self._context(encoded.context, flows[-1])
        residual, mask = self.ife_net(warped, flow, context, wanted=chosen)
        frames = self._blend(warped, residual, mask, chosen)
        return CorrectionOutput(frames.flip(2) if self.channels == "bgr" else frames, flows)

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
