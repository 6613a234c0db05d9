"""The parts of PWC-Net: feature pyramid, decoders of the levels, context network.

Module names are those of the released weights. Every 3x3 convolution but the last of a decoder and
of the context network is followed by a leaky ReLU (0.1).
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.correlation import COST_CHANNELS, correlation
from models.warping import Sampling, backward_warp

Matching = Literal["product", "cosine"]
"""How two feature vectors are compared: by their mean product as in the paper, or by their cosine,
which is independent of contrast and discriminates even with untrained features."""

FLOW_SCALE = 20.0
"""Unit of the network's flows, in pixels."""

_LEVELS = ("One", "Two", "Thr", "Fou", "Fiv", "Six")
_PYRAMID_CHANNELS = (16, 32, 64, 96, 128, 196)
_DENSE_CHANNELS = (128, 128, 96, 64, 32)
_MIN_POWER = 1e-6  # floor of the features' mean square, for their cosine
_CONTEXT_CHANNELS = (128, 128, 128, 96, 64, 32)
_CONTEXT_DILATIONS = (1, 2, 4, 8, 16, 1)


class FlowLevel(NamedTuple):
    """Result of one level for training; (h, w) is the level's own size.

    Attributes:
        flow: (B, 2, h, w) flow from the first image to the second, in pixels of the images.
        start: (B, 2, h, w) the coarser level's flow, which this one refines; in the same pixels.
        costs: (B, 81, h, w) cost volume of the first features and the second ones warped by
            `start`, activated; channels as in `models.parts.correlation`.
    """

    flow: Tensor
    start: Tensor
    costs: Tensor


class Extractor(nn.Module):
    """Feature pyramid of an image whose sides are multiples of 64, from 1/2 to 1/64 of its size."""

    def __init__(self) -> None:
        """Build six levels of three convolutions each, the first of stride 2."""
        super().__init__()
        inputs = (3, *_PYRAMID_CHANNELS)
        for name, channels_in, channels in zip(_LEVELS, inputs, _PYRAMID_CHANNELS, strict=False):
            level = nn.Sequential(
                *_convolution(channels_in, channels, stride=2),
                *_convolution(channels, channels),
                *_convolution(channels, channels),
            )
            self.add_module(f"module{name}", level)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image (B, 3, H, W) at the six levels, finest first."""
        pyramid = [image]
        for level in self.children():
            pyramid.append(level(pyramid[-1]))
        return pyramid[1:]


class Decoder(nn.Module):
    """Flow of one level from its features and, except at the coarsest, the next coarser level.

    Level l upsamples the coarser flow and features by 4x4 transposed convolutions of stride 2 and
    warps the second features by flow * 20 / 2^l, zero outside the image. The dense layers see (cost
    volume after leaky ReLU, first features, flow, upsampled features), each layer prepending its
    output; level 6 sees the cost volume alone.

    Args:
        level: 6 (coarsest) to 2.
        sampling: rule of the feature warp.
        matching: what the cost volume holds.
    """

    def __init__(self, level: int, sampling: Sampling, matching: Matching = "product") -> None:
        """Build the layers; the coarsest level has no upsampling layers."""
        super().__init__()
        self.sampling = sampling
        self.matching = matching
        self.pixels_per_unit = FLOW_SCALE / 2**level
        channels = decoder_channels(level)
        if level < 6:
            above = decoder_channels(level + 1) + sum(_DENSE_CHANNELS)
            self.moduleUpflow = nn.ConvTranspose2d(2, 2, 4, stride=2, padding=1)
            self.moduleUpfeat = nn.ConvTranspose2d(above, 2, 4, stride=2, padding=1)
        for name, width in zip(_LEVELS, _DENSE_CHANNELS, strict=False):
            self.add_module(f"module{name}", nn.Sequential(*_convolution(channels, width)))
            channels += width
        self.moduleSix = nn.Sequential(nn.Conv2d(channels, 2, 3, padding=1))

    def forward(
        self, first: Tensor, second: Tensor, above: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Estimate the flow (B, 2, h, w), in units of `FLOW_SCALE` pixels, and its features.

        Args:
            first: (B, C, h, w) features of the first image at this level.
            second: the same of the second image.
            above: flow and features of the next coarser level, None at the coarsest.
        """
        features = self._match(first, second, above)
        for name in _LEVELS[:-1]:
            layer = self.get_submodule(f"module{name}")
            features = torch.cat((layer(features), features), dim=1)
        return self.moduleSix(features), features

    def _match(self, first: Tensor, second: Tensor, above: tuple[Tensor, Tensor] | None) -> Tensor:
        if above is None:
            return self._compare(first, second)
        flow = self.moduleUpflow(above[0])
        features = self.moduleUpfeat(above[1])
        displacement = flow * self.pixels_per_unit
        warped = backward_warp(
            second, displacement, self.sampling, padding="zeros", exact=False
        ).warped
        return torch.cat((self._compare(first, warped), first, flow, features), dim=1)

    def _compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Activated cost volume (B, 81, h, w) of two feature maps."""
        if self.matching == "cosine":
            first, second = _normalise(first), _normalise(second)
        return F.leaky_relu(correlation(first, second), 0.1)


class ContextNet(nn.Module):
    """Dilated convolutions over the finest decoder's features that refine its flow.

    The paper's context network; `moduleRefiner` in the released weights.
    """

    def __init__(self) -> None:
        """Build seven layers, dilated by 1, 2, 4, 8, 16, 1, 1."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = decoder_channels(2) + sum(_DENSE_CHANNELS)
        for width, dilation in zip(_CONTEXT_CHANNELS, _CONTEXT_DILATIONS, strict=True):
            layers += _convolution(channels, width, dilation=dilation)
            channels = width
        self.moduleMain = nn.Sequential(*layers, nn.Conv2d(channels, 2, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Correction (B, 2, h, w) in units of `FLOW_SCALE` pixels."""
        correction: Tensor = self.moduleMain(features)
        return correction


def decoder_channels(level: int) -> int:
    """Input channels of the dense layers of the decoder at `level`."""
    return COST_CHANNELS if level == 6 else COST_CHANNELS + _PYRAMID_CHANNELS[level - 1] + 4


def collect_level(flow: Tensor, features: Tensor) -> FlowLevel:
    """Collect a decoder's flow, the flow it started from and its cost volume, in its own units."""
    inputs = features[:, sum(_DENSE_CHANNELS) :]
    costs, others = inputs[:, :COST_CHANNELS], inputs[:, COST_CHANNELS:]
    start = others[:, -4:-2] if others.shape[1] else torch.zeros_like(flow)
    return FlowLevel(flow, start, costs)


def _convolution(
    channels_in: int, channels_out: int, *, stride: int = 1, dilation: int = 1
) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(channels_in, channels_out, 3, stride, padding=dilation, dilation=dilation)
    return layer, nn.LeakyReLU(0.1, inplace=True)


def _normalise(features: Tensor) -> Tensor:
    """Scale features to unit mean square at every pixel; zeros stay."""
    power = features.float().square().mean(dim=1, keepdim=True)
    return features * torch.rsqrt(power + _MIN_POWER).to(features.dtype)
