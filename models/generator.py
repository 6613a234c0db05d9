"""The correction network: a dual pair and time offsets to global-shutter frames."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.generator_blocks import (
    FlowNet,
    SynthesisNet,
    WarpedContextNet,
    resize_flow,
    warp_to_frames,
)

Channels = Literal["rgb", "bgr"]

SIZE_MULTIPLE = 32
"""Image sides must be multiples of this: five halvings, or a scale of 8 and two."""

_BLOCK_CHANNELS = (192, 128, 96, 48)
_PRELU_SLOPE = 0.25  # PyTorch's initial one


class GeneratorOutput(NamedTuple):
    """Frames, and the flows they were made with.

    Attributes:
        frames: (B, T, 3, H, W) RGB in [0, 1].
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
        features = _scaled(n_feats, width)
        c0, c1, c2, c3 = (_scaled(channels, width) for channels in _BLOCK_CHANNELS)
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
        if self.channels == "bgr":
            pair = pair.flip(2)
        flows = self.flow_net(pair, offsets).flows
        flow = resize_flow(flows[-1], 2)
        warped = warp_to_frames(pair, flow)
        context = self._context(pair, flows[-1])
        synthesis = self.ife_net(warped, flow, context)
        frames = self._blend(warped, synthesis)
        return GeneratorOutput(frames.flip(2) if self.channels == "bgr" else frames, flows)

    def _context(self, pair: Tensor, flow: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Warped features of both inputs, computed as one batch."""
        per_image = flow.unflatten(1, (2, -1))
        stacked = torch.cat((per_image[:, 0], per_image[:, 1]))
        levels = self.warped_context_net(torch.cat((pair[:, 0], pair[:, 1])), stacked)
        halves = [level.chunk(2) for level in levels]
        return [(t2b, b2t) for t2b, b2t in halves]

    def _blend(self, warped: Tensor, synthesis: Tensor) -> Tensor:
        """Mask-weighted mean of the warped inputs plus the residual, clamped to [0, 1]."""
        count = self.num_frames
        synthesis = synthesis.to(warped.dtype)  # sigmoids near 1/2 need more than bfloat16
        from_t2b, from_b2t = warped.unflatten(1, (2, count, 3)).unbind(1)
        residual = 2 * torch.sigmoid(synthesis[:, : 3 * count].unflatten(1, (count, 3))) - 1
        mask = torch.sigmoid(synthesis[:, 3 * count :])[:, :, None]
        return (mask * from_t2b + (1 - mask) * from_b2t + residual).clamp(0, 1)


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
            "models.correction.correct takes any size"
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


def _scaled(channels: int, width: float) -> int:
    """`channels * width` rounded to a multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)
