"""The generator's three parts: flow, warped context, and synthesis (paper, section 3).

Their attribute names are those of the released state dict, hence the numbered `conv`s. Channel
layouts are fixed by the released weights: flows of the t2b image for every frame come before those
of the b2t image, and so do warped images and features.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.warping import backward_warp

BLOCK_SCALES = (8, 4, 2, 1)


class FlowPyramid(NamedTuple):
    """What the flow network found.

    Attributes:
        flows: four of (B, 4 * T, H/2, W/2), coarse to fine, (dx, dy) in pixels of that grid.
        velocity: (B, 4 * T, H/2, W/2), the sum of the blocks' outputs before its last product with
            the offsets.
    """

    flows: tuple[Tensor, Tensor, Tensor, Tensor]
    velocity: Tensor


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (up to its stride), then PReLU."""
    padding = (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding), nn.PReLU(out_channels)
    )


def deconv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Transposed convolution that doubles the size, then PReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1), nn.PReLU(out_channels)
    )


def resize(maps: Tensor, factor: float) -> Tensor:
    """Bilinear resize by `factor`, pixel areas aligned; values are kept."""
    if factor == 1:
        return maps
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, factor: float) -> Tensor:
    """Resize a flow field, and its displacements with it."""
    return resize(flow, factor) * factor


def warp_to_frames(images: Tensor, flows: Tensor) -> Tensor:
    """Warp each image by each of its own flows.

    Args:
        images: (B, N, C, H, W).
        flows: (B, N * T * 2, H, W), the T flows of the first image first.

    Returns:
        (B, N * T * C, H, W), in the order of the flows.
    """
    batch, count, channels, height, width = images.shape
    frames = flows.shape[1] // (2 * count)
    repeated = images[:, :, None].expand(-1, -1, frames, -1, -1, -1)
    warped = backward_warp(
        repeated.reshape(-1, channels, height, width), flows.reshape(-1, 2, height, width)
    ).warped
    return warped.reshape(batch, -1, height, width)


class DownConv(nn.Module):
    """Two convolutions, the first halving the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the convolutions from `in_channels` to `out_channels`."""
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, stride=2)
        self.conv2 = conv(out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/2, W/2)."""
        return self.conv2(self.conv1(features))


class FlowBlock(nn.Module):
    """One scale of the flow network: a residual velocity from images, offsets and flow."""

    def __init__(self, in_channels: int, channels: int, num_frames: int, scale: int) -> None:
        """Build a block that works at 1 / `scale` of the input's size."""
        super().__init__()
        self.scale = scale
        self.conv0 = nn.Sequential(
            conv(in_channels, channels, stride=2), conv(channels, 2 * channels, stride=2)
        )
        self.convblock = nn.Sequential(*(conv(2 * channels, 2 * channels) for _ in range(6)))
        self.conv1 = nn.ConvTranspose2d(2 * channels, 4 * num_frames, 4, 2, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 * T, H/2, W/2)."""
        features = self.convblock(self.conv0(resize(inputs, 1 / self.scale)))
        return resize(self.conv1(features), self.scale)


class FlowNet(nn.Module):
    """Coarse-to-fine flows from each frame to both inputs, proportional to the time offsets."""

    def __init__(self, num_frames: int, channels: tuple[int, int, int, int]) -> None:
        """Build four blocks with `channels`, coarse to fine."""
        super().__init__()
        first_inputs, later_inputs = 6 + 2 * num_frames, 12 * num_frames
        for level, (scale, width) in enumerate(zip(BLOCK_SCALES, channels, strict=True)):
            inputs = later_inputs if level else first_inputs
            self.add_module(f"block{level}", FlowBlock(inputs, width, num_frames, scale))
            pointwise = nn.Conv2d(4 * num_frames, 4 * num_frames, 1)
            self.add_module(f"conv{level}", nn.Sequential(pointwise))

    def forward(self, pair: Tensor, offsets: Tensor) -> FlowPyramid:
        """Estimate the flows.

        Args:
            pair: (B, 2, 3, H, W).
            offsets: (B, 2 * T, H, W) signed times from each frame to the pixels' exposures.
        """
        offsets_half = resize(offsets, 0.5).repeat_interleave(2, dim=1)
        inputs = torch.cat((pair.flatten(1, 2), offsets), dim=1)
        # The released weights were trained with an in-place product: block 0's output enters
        # every later sum already multiplied by the offsets.
        velocity = self.get_submodule("block0")(inputs) * offsets_half
        flows = [self._flow(0, velocity)]
        for level in range(1, len(BLOCK_SCALES)):
            flow = resize_flow(flows[-1], 2)
            inputs = torch.cat((warp_to_frames(pair, flow), offsets, flow), dim=1)
            velocity = velocity + self.get_submodule(f"block{level}")(inputs)
            flows.append(self._flow(level, velocity * offsets_half))
        return FlowPyramid((flows[0], flows[1], flows[2], flows[3]), velocity)

    def _flow(self, level: int, scaled_velocity: Tensor) -> Tensor:
        """Flow of one level, never in half precision: bfloat16 keeps 1/4 px at 60 px."""
        with torch.autocast(scaled_velocity.device.type, enabled=False):
            return self.get_submodule(f"conv{level}")(scaled_velocity)


class WarpedContextNet(nn.Module):
    """Features of one input at four scales, warped to every frame and fused."""

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

    def forward(self, image: Tensor, flow: Tensor) -> list[Tensor]:
        """Extract features of `image` and bring them to the frames.

        Args:
            image: (B, 3, H, W).
            flow: (B, 2 * T, H/2, W/2) from the frames to this image.

        Returns:
            Fused features at 1/4, 1/8, 1/16 and 1/32 of the size.
        """
        features = self.conv0_0(image)
        fused = []
        for level in range(1, 5):
            features = self.get_submodule(f"conv{level}_0")(features)
            flow = resize_flow(flow, 0.5)
            warped = warp_to_frames(features[:, None], flow)
            fused.append(self.get_submodule(f"conv{level}_1")(warped))
        return fused


class SynthesisNet(nn.Module):
    """Blend of the warped inputs and a residual, from images, flows and context (`ife_net`)."""

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

    def forward(self, warped: Tensor, flow: Tensor, context: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Raw residuals and masks, (B, 4 * T, H, W): 3 * T channels, then T.

        Args:
            warped: (B, 6 * T, H, W), t2b warped to every frame, then b2t.
            flow: (B, 4 * T, H, W).
            context: t2b and b2t features at 1/4, 1/8, 1/16 and 1/32 of the size.
        """
        down0 = self.down0(self.conv0(torch.cat((warped, flow), dim=1)))
        down1 = self.down1(torch.cat((down0, *context[0]), dim=1))
        down2 = self.down2(torch.cat((down1, *context[1]), dim=1))
        down3 = self.down3(torch.cat((down2, *context[2]), dim=1))
        up = self.up0(torch.cat((down3, *context[3]), dim=1))
        up = self.up1(torch.cat((up, down2), dim=1))
        up = self.up2(torch.cat((up, down1), dim=1))
        up = self.up3(torch.cat((up, down0), dim=1))
        return self.conv1(up)
