"""The generator's three parts: flow, warped context, and synthesis (paper, section 3).

Attribute names are those of the released state dict, hence the numbered `conv`s. The released
weights also fix the channel layouts: the T flows (dx, dy) from the frames to t2b come before those
to b2t, and likewise warped images and features. `conv` is a convolution with PReLU, `deconv` a
transposed convolution (4x4, stride 2, padding 1) with PReLU. Image resizes are bilinear with
`align_corners=False`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.generator_layers import (
    conv,
    convolve_parts,
    deconv,
    enlarge_where_read,
    join,
    resize,
    resize_flow,
    warp_to_frames,
)
from models.warping import Canvas, pixel_centres, sampling_places, warp_canvas

BLOCK_SCALES = (8, 4, 2, 1)


class DownConv(nn.Module):
    """Two convolutions, the first halving the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the convolutions from `in_channels` to `out_channels`."""
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, stride=2)
        self.conv2 = conv(out_channels, out_channels)

    def forward(self, *parts: Tensor) -> Tensor:
        """Parts of (B, in_channels, H, W) -> (B, out_channels, H/2, W/2)."""
        return self.conv2(convolve_parts(self.conv1, parts))


class FlowBlock(nn.Module):
    """One scale of the flow network: a residual velocity from images, offsets and flow.

    Two `conv`s of stride 2 to c and 2c channels, six plain 3x3 `conv`s, a transposed convolution
    without PReLU to 4T channels, and a resize to half the input's size that keeps the values.
    """

    def __init__(self, in_channels: int, channels: int, num_frames: int, scale: int) -> None:
        """Build a block that works at 1 / `scale` of the input's size."""
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(
            conv(in_channels, channels, stride=2), conv(channels, 2 * channels, stride=2)
        )
        self.convblock = nn.Sequential(*(conv(2 * channels, 2 * channels) for _ in range(6)))
        self.conv1 = nn.ConvTranspose2d(2 * channels, 4 * num_frames, 4, 2, 1)

    def forward(self, *parts: Tensor) -> Tensor:
        """Parts of (B, in_channels, H / scale, W / scale) -> (B, 4 * T, H/2, W/2)."""
        features = self.convblock(self.conv0[1](convolve_parts(self.conv0[0], parts)))
        with torch.autocast(features.device.type, enabled=False):  # bfloat16 keeps 1/4 px at 60 px
            velocity = self.conv1(features.to(self.conv1.weight.dtype))
        return resize(velocity.contiguous(), self.scale)


class FlowNet(nn.Module):
    """Coarse-to-fine flows from each frame to both inputs, proportional to the time offsets.

    With e the offsets at half size, b_k the output of block k (at 1/8, 1/4, 1/2 and 1 of the size)
    and conv_k a 1x1 convolution without PReLU:

        b0' = b0 e,    F_1 = conv0(b0'),    F_(k+1) = conv_k((b0' + b1 + ... + b_k) e), k = 1 to 3

    Each pair (dx, dy) is multiplied by its own offset map. Block 0 sees (t2b, b2t, offsets); block
    k > 0 sees (t2b warped to T frames, b2t warped to T frames, offsets, F_k), with F_k upsampled by
    2 and its displacements doubled.
    """

    def __init__(self, num_frames: int, channels: Sequence[int]) -> None:
        """Build four blocks with `channels`, coarse to fine."""
        super().__init__()
        first_inputs, later_inputs = 6 + 2 * num_frames, 12 * num_frames
        for level, (scale, width) in enumerate(zip(BLOCK_SCALES, channels, strict=True)):
            inputs = later_inputs if level else first_inputs
            self.add_module(f"block{level}", FlowBlock(inputs, width, num_frames, scale))
            pointwise = nn.Conv2d(4 * num_frames, 4 * num_frames, 1)
            self.add_module(f"conv{level}", nn.Sequential(pointwise))

    def forward(
        self, pair: Tensor, offsets: Tensor, canvas: Canvas
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Estimate the flows.

        Args:
            pair: (B, 2, 3, H, W), or a single capture for all B.
            offsets: (B, 2 * T, H, W) signed times from each frame to the pixels' exposures.
            canvas: of the pair.

        Returns:
            Four flows (B, 4 * T, H/2, W/2), coarse to fine, in pixels of that grid; and the
            velocity of the same shape, b0' + b1 + b2 + b3.
        """
        offsets_half = resize(offsets, 0.5).repeat_interleave(2, dim=1)
        images = pair.flatten(1, 2).expand(offsets.shape[0], -1, -1, -1)
        # The released code multiplies in place: block 0's output enters every later sum already
        # multiplied by the offsets, and the released weights need that.
        small = [resize(part, 1 / BLOCK_SCALES[0]) for part in (images, offsets)]
        velocity = self.get_submodule("block0")(*small) * offsets_half
        flows = [self._flow(0, velocity)]
        for level, scale in enumerate(BLOCK_SCALES[1:], start=1):
            flow = enlarge_where_read(flows[-1], scale)
            small = [resize(offsets, 1 / scale), resize(flow, 1 / min(scale, 2))]
            warped = warp_to_frames(canvas, flow, scale)
            velocity = velocity + self.get_submodule(f"block{level}")(*warped, *small)
            flows.append(self._flow(level, velocity * offsets_half))
        return (flows[0], flows[1], flows[2], flows[3]), velocity

    def _flow(self, level: int, scaled_velocity: Tensor) -> Tensor:
        """Flow of one level, never in half precision, contiguous for the warps."""
        with torch.autocast(scaled_velocity.device.type, enabled=False):
            return self.get_submodule(f"conv{level}")(scaled_velocity).contiguous()


class WarpedContextNet(nn.Module):
    """Features of one input at four scales, warped to every frame and fused.

    Level k = 1 to 4, at 1/4 to 1/32 of the size: `conv{k}_0` halves the previous features, which
    are then warped by the input's own T flows, concatenated and fused by the 1x1 `conv{k}_1`. The
    flow halves with the size, displacements too. Unfused features go on to the next level.
    """

    def __init__(self, num_frames: int, n_feats: int) -> None:
        """Build the four levels, `n_feats` channels at quarter size, doubling at each."""
        super().__init__()
        self.conv0_0 = DownConv(3, n_feats)
        channels = n_feats
        for level in range(1, 5):
            widened = n_feats if level == 1 else 2 * channels
            self.add_module(f"conv{level}_0", DownConv(channels, widened))
            self.add_module(f"conv{level}_1", conv(num_frames * widened, widened, kernel=1))
            channels = widened

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features of images (B, 3, H, W) at 1/4, 1/8, 1/16 and 1/32 of the size.

        Each is (B, T * C, h, w): the features after each frame's part of the 1x1 fusion. As the
        fusion is linear, it is applied before the warps, which depend on the instants.
        """
        features = self.conv0_0(images)
        shares = []
        for level in range(1, 5):
            features = self.get_submodule(f"conv{level}_0")(features)
            weight = self.get_parameter(f"conv{level}_1.0.weight")
            by_frame = weight.unflatten(1, (-1, features.shape[1])).transpose(0, 1)
            shares.append(F.conv2d(features, by_frame.flatten(0, 1)))
        return shares

    def fuse(self, shares: Sequence[Canvas], flow: Tensor) -> list[Tensor]:
        """Warp the features of an image to the frames and sum them.

        Args:
            shares: canvases of `encode`'s (B, T * C, h, w).
            flow: (B, 2 * T, H/2, W/2) from the frames to this image.

        Returns:
            Fused features (B, C, h, w) at 1/4, 1/8, 1/16 and 1/32 of the size.
        """
        fused = []
        for level, canvas in enumerate(shares, start=1):
            flow = resize_flow(flow, 0.5)
            flows = flow.unflatten(1, (-1, 2)).unbind(1)
            grounds = canvas.ground.expand(flow.shape[0], -1, -1, -1).chunk(len(flows), dim=1)
            places = sampling_places(canvas, pixel_centres(flow))
            total = self.get_parameter(f"conv{level}_1.0.bias")[:, None, None]
            for ground, one in zip(grounds, flows, strict=True):
                total = total + warp_canvas(canvas._replace(ground=ground), one, places)
            fused.append(self.get_submodule(f"conv{level}_1.1")(total))
        return fused


class SynthesisNet(nn.Module):
    """Encoder and decoder that give residuals and blending masks (`ife_net`).

    The input is (t2b warped to T frames, b2t warped to T frames, full-size flow). `down1` to
    `down3` and `up0` also see the contexts of t2b and b2t of their input's size; `up1` to `up3` see
    the encoder's features of theirs. The output has 3T residual channels, then T mask channels.
    """

    def __init__(self, num_frames: int, n_feats: int) -> None:
        """Build the encoder and decoder."""
        super().__init__()
        c = n_feats
        self.conv0 = DownConv(10 * num_frames, c)
        self.down0 = DownConv(c, 2 * c)
        self.down1 = DownConv(4 * c, 4 * c)
        self.down2 = DownConv(8 * c, 8 * c)
        self.down3 = DownConv(16 * c, 16 * c)
        self.up0 = deconv(32 * c, 8 * c)
        self.up1 = deconv(16 * c, 4 * c)
        self.up2 = deconv(8 * c, 2 * c)
        self.up3 = deconv(4 * c, c)
        self.conv1 = deconv(c, 4 * num_frames)

    def forward(
        self,
        warped: Sequence[Tensor],
        flow: Tensor,
        context: Sequence[tuple[Tensor, Tensor]],
        *,
        wanted: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Raw residuals (B, K, 3, H, W) and masks (B, K, 1, H, W) of K wanted frames.

        Args:
            warped: 2 * T images (B, 3, H, W): t2b warped to every frame, then b2t.
            flow: (B, 4 * T, H, W).
            context: t2b and b2t features at 1/4, 1/8, 1/16 and 1/32 of the size.
            wanted: indices of the K frames.
        """
        down0 = self.down0(self.conv0(*warped, flow))
        down1 = self.down1(down0, *context[0])
        down2 = self.down2(down1, *context[1])
        down3 = self.down3(down2, *context[2])
        up = self.up0(join([down3, *context[3]]))
        up = self.up1(join([up, down2]))
        up = self.up2(join([up, down1]))
        up = self.up3(join([up, down0]))
        count = len(warped) // 2
        channels = [3 * frame + colour for frame in wanted for colour in range(3)]
        channels += [3 * count + frame for frame in wanted]
        output = self._finish(up, channels)
        residual, mask = output.split((3 * len(wanted), len(wanted)), dim=1)
        return residual.unflatten(1, (-1, 3)), mask[:, :, None]

    def _finish(self, features: Tensor, channels: Sequence[int]) -> Tensor:
        """Compute some output channels of the last layer, those of the wanted frames."""
        convolution, activation = self.conv1
        assert isinstance(convolution, nn.ConvTranspose2d) and convolution.bias is not None
        weight, bias = convolution.weight, convolution.bias
        slope: Tensor = activation.get_parameter("weight")
        if len(channels) < convolution.out_channels:
            # Slices, because indexing by a list would synchronise the GPU.
            weight, bias, slope = (
                torch.cat([values.narrow(dim, channel, 1) for channel in channels], dim)
                for values, dim in ((weight, 1), (bias, 0), (slope, 0))
            )
        # PReLU is many times slower on few channels in channels-last layout.
        return F.prelu(F.conv_transpose2d(features, weight, bias, 2, 1).contiguous(), slope)
