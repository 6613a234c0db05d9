"""The parts of SelfDRSC++: two encoders, the decoders of four scales, and the updates of flow.

Attribute names are those of the released state dict. `conv` is a convolution with PReLU.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.generator_layers import conv, draw_weights, join
from models.plusplus.volumes import CHANNELS

_SLOPE = 0.1  # of the leaky ReLUs
_REACH = 8  # rows that a decoder's output depends on, above and below: six 3x3 layers and a 4x4
_STRIP = 1 << 24  # values of a layer's output in a strip: 64 MB


class Bottleneck(nn.Module):
    """Three convolutions around a narrow one, added to a shortcut; instance-normalised."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        """Build a block that shrinks the image by `stride`."""
        super().__init__()
        narrow = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1)
        self.conv3 = nn.Conv2d(narrow, out_channels, 1)
        self.stride = stride
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H / stride, W / stride)."""
        change = features
        for layer in (self.conv1, self.conv2, self.conv3):
            change = F.relu(F.instance_norm(layer(change)), inplace=True)
        if self.downsample is not None:
            # Not by the convolution: the gradient of a strided 1x1 convolution in channels-last
            # layout corrupts memory on a CPU (PyTorch 2.11).
            features = features[..., :: self.stride, :: self.stride]
            features = F.instance_norm(self.downsample(features))
        return F.relu(features + change, inplace=True)


class MatchingEncoder(nn.Module):
    """Features at 1/8 of the size that the volumes compare."""

    def __init__(self, widths: Sequence[int], out_channels: int) -> None:
        """Build the layers of three widths, at 1/2, 1/4 and 1/8."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3)
        inputs = (widths[0], *widths[:-1])
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Bottleneck(before, width, stride), Bottleneck(width, width, 1))
            for before, width, stride in zip(inputs, widths, (1, 2, 2), strict=True)
        )
        self.conv2 = nn.Conv2d(widths[-1], out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                draw_weights(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, out_channels, H/8, W/8)."""
        features = F.relu(F.instance_norm(self.conv1(images)), inplace=True)
        matched: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(features))))
        return matched


class Pyramid(nn.Module):
    """Features at 1/2, 1/4, 1/8 and 1/16 of the size that the decoders warp."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Build the layers of the four levels."""
        super().__init__()
        inputs = (3, *widths[:-1])
        self.pyramid1, self.pyramid2, self.pyramid3, self.pyramid4 = (
            nn.Sequential(conv(before, width, stride=2), conv(width, width))
            for before, width in zip(inputs, widths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> levels from fine to coarse."""
        levels = [images]
        for level in (self.pyramid1, self.pyramid2, self.pyramid3, self.pyramid4):
            levels.append(level(levels[-1]))
        return levels[1:]


class ResBlock(nn.Module):
    """Residual block, in which two more layers work on the last channels alone."""

    def __init__(self, channels: int, side: int) -> None:
        """Build the block; `side` counts the last channels."""
        super().__init__()
        self.side = side
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(side, side)
        self.conv3 = conv(channels, channels)
        self.conv4 = conv(side, side)
        self.conv5 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.prelu = nn.PReLU(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same."""
        # Each line frees its input, which a nested call would hold: memory of large images.
        change = self.conv1[0](features)
        change = self._activate(change, self.conv1[1], self.conv2)
        change = self.conv3[0](change)
        change = self._activate(change, self.conv3[1], self.conv4)
        change = self.conv5(change)
        change += features
        refined: Tensor = self.prelu(change)
        return refined

    def _activate(self, features: Tensor, activation: nn.Module, layer: nn.Module) -> Tensor:
        """Apply the activation, then `layer` to the last channels."""
        features = activation(features)
        main, side = features.split((features.shape[1] - self.side, self.side), dim=1)
        return join((main, layer(side)))


class Decoder(nn.Module):
    """One scale: flows of both views and features, from features of both views."""

    def __init__(self, in_channels: int, channels: int, side: int, out_channels: int) -> None:
        """Build the layers."""
        super().__init__()
        self.channels = channels
        self.convblock = nn.Sequential(
            conv(in_channels, channels),
            ResBlock(channels, side),
            nn.ConvTranspose2d(channels, out_channels, 4, 2, 1),
        )

    def forward(self, *parts: Tensor) -> Tensor:
        """Parts of (B, in_channels, H, W) -> (B, out_channels, 2 * H, 2 * W).

        Without gradient, large inputs are decoded in strips of rows on a CPU: the layers' outputs
        would take more memory than all else. The result is the same.
        """
        batch, _, height, width = parts[0].shape
        row = batch * width * self.channels
        large = not torch.compiler.is_compiling() and row * height > _STRIP
        if torch.is_grad_enabled() or parts[0].device.type != "cpu" or not large:
            return self._decode(join(parts))
        rows, strips = max(_REACH, _STRIP // row), []
        for top in range(0, height, rows):
            first, last = max(top - _REACH, 0), min(top + rows + _REACH, height)
            strip = self._decode(join([part[..., first:last, :] for part in parts]))
            kept = min(rows, height - top)
            strips.append(strip[..., 2 * (top - first) : 2 * (top - first + kept), :])
        return torch.cat(strips, dim=-2)

    def _decode(self, features: Tensor) -> Tensor:
        for layer in self.convblock:  # frees each input, unlike a call of the whole
            features = layer(features)
        return features


class Update(nn.Module):
    """Correction of flows and features by what the volumes show where the flows point."""

    def __init__(self, factor: int, features: int, widths: Sequence[int]) -> None:
        """Build the layers.

        Args:
            factor: size of the decoder's output, in sizes of the volumes' grid.
            features: channels of the features.
            widths: of the layers for the volumes, for the flows (two), for both, and behind them.
        """
        super().__init__()
        self.factor = factor
        costs, flows, narrow, joint, hidden = widths
        self.convc1 = nn.Conv2d(CHANNELS, costs, 1)
        self.convf1 = nn.Conv2d(4, flows, 7, 1, 3)
        self.convf2 = nn.Conv2d(flows, narrow, 3, 1, 1)
        self.conv = nn.Conv2d(costs + narrow, joint, 3, 1, 1)
        self.gru = _two_layers(joint + 4 + features, hidden, hidden)
        self.feat_head = _two_layers(hidden, hidden, features)
        self.flow_head = _two_layers(hidden, hidden, 4)

    def forward(self, feature: Tensor, flow: Tensor, costs: Tensor) -> tuple[Tensor, Tensor]:
        """Changes of features and flows.

        Args:
            feature: (B, features, H, W).
            flow: (B, 4, H, W) to t2b, then to b2t, in pixels of this grid.
            costs: (B, 392, H, W) looked up along the flows.

        Returns:
            (B, features, H, W) and (B, 4, H, W).
        """
        motion = _leaky(self.convf2(_leaky(self.convf1(flow))))
        joint = _leaky(self.conv(join((_leaky(self.convc1(costs)), motion))))
        hidden = self.gru(join((joint, flow, feature)))
        return self.feat_head(hidden), self.flow_head(hidden)


def _leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, _SLOPE)


def _two_layers(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden, 3, 1, 1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(hidden, out_channels, 3, 1, 1),
    )
