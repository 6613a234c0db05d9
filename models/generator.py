"""The generator of SelfDRSC: from a dual pair and time offsets to global-shutter frames."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.parts.generator_blocks import FlowNet, SynthesisNet, WarpedContextNet
from models.parts.generator_layers import draw_weights, resize_flow, scaled, warp_to_frames
from models.parts.network import CorrectionNetwork, CorrectionOutput, check_inputs
from models.parts.settings import InitialWeights
from models.warping import Canvas, prepare_canvas

_BLOCK_CHANNELS = (192, 128, 96, 48)
_PRELU_SLOPE = 0.25  # PyTorch's initial value


class EncodedPairs(NamedTuple):
    """Inputs and features that do not depend on the instants of the frames.

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

    1. `flow_net` estimates flows from each frame to both inputs, coarse to fine. Its finest flow,
       at half size, is upsampled by 2, displacements doubled, and warps the inputs.
    2. `warped_context_net` encodes each input at four scales and warps the features.
    3. `ife_net` gives a residual r and a mask m for each frame. With m' = sigmoid(m)
       frame = clamp(m' * warped t2b + (1 - m') * warped b2t + 2 sigmoid(r) - 1, 0, 1).

    The flow blocks have `width` * (192, 128, 96, 48) channels; the other parts `width` * `n_feats`
    and multiples of it. With 3 frames, 32 features and width 1.0 there are 28,759,160 parameters,
    with the state-dict names and shapes of the released weights. `channels` "bgr" flips the channel
    order of inputs and frames, for released weights.
    """

    net_type = "generator"
    initial_weights: ClassVar[tuple[InitialWeights, ...]] = ("kaiming", "pytorch")
    checkpointed_step_bytes: ClassVar[tuple[float, float] | None] = (1_800, 500)

    def build_layers(self) -> None:
        """Build the three networks."""
        features = scaled(self.n_feats, self.width)
        block_channels = [scaled(channels, self.width) for channels in _BLOCK_CHANNELS]
        self.flow_net = FlowNet(self.num_frames, block_channels)
        self.warped_context_net = WarpedContextNet(self.num_frames, features)
        self.ife_net = SynthesisNet(self.num_frames, features)
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
        """Prepare pairs (B, 2, 3, H, W) for warping and extract their context features."""
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
        flows, _ = self.flow_net(encoded.pair, offsets, encoded.canvas)
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

    PyTorch's default scales it by 0.18 per layer: after the eight plain layers of a flow block the
    signal would vanish, and training would start on a long plateau.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        draw_weights(module.weight, a=_PRELU_SLOPE)
        if isinstance(module, nn.ConvTranspose2d):
            # Each output of a stride-2 transposed convolution sees a quarter of the kernel.
            with torch.no_grad():
                fan_in = module.in_channels * 4
                fan_torch = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                module.weight.mul_((fan_torch / fan_in) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
