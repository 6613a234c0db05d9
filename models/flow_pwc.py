"""PWC-Net (Sun et al., CVPR 2018): optical flow between two frames, in plain PyTorch.

Modules carry the names of the released weights, so its state dict is that of the released file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.correlation import correlation
from models.warping import Sampling, backward_warp
from models.weight_files import load_strictly, read_state

ChannelOrder = Literal["rgb", "bgr"]

FLOW_SCALE = 20.0
"""The network works on flows in units of this many pixels."""
SIZE_MULTIPLE = 64
"""Six halvings: what the sides of the network's input must be a multiple of."""

_RADIUS = 4
_COST_CHANNELS = (2 * _RADIUS + 1) ** 2
_LEVELS = ("One", "Two", "Thr", "Fou", "Fiv", "Six")
_PYRAMID_CHANNELS = (16, 32, 64, 96, 128, 196)
_DENSE_CHANNELS = (128, 128, 96, 64, 32)
_REFINER_CHANNELS = (128, 128, 128, 96, 64, 32)
_REFINER_DILATIONS = (1, 2, 4, 8, 16, 1)


class Extractor(nn.Module):
    """Feature pyramid of an image, from 1/2 to 1/64 of its size, a multiple of 64."""

    def __init__(self) -> None:
        """Build six levels of three convolutions each."""
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
    """Flow of one level from its features and, but for the coarsest, from the level above.

    Args:
        level: 6 (coarsest) to 2.
        sampling: rule of the feature warp.
    """

    def __init__(self, level: int, sampling: Sampling) -> None:
        """Build the layers; the coarsest level has no upsampling ones."""
        super().__init__()
        self.sampling = sampling
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
            return _activate(correlation(first, second, _RADIUS))
        flow = self.moduleUpflow(above[0])
        features = self.moduleUpfeat(above[1])
        displacement = flow * self.pixels_per_unit
        warped = backward_warp(second, displacement, self.sampling, padding="zeros").warped
        costs = _activate(correlation(first, warped, _RADIUS))
        return torch.cat((costs, first, flow, features), dim=1)


class Refiner(nn.Module):
    """Dilated convolutions over the finest decoder's features: a correction to its flow."""

    def __init__(self) -> None:
        """Build seven layers, the last without activation."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = decoder_channels(2) + sum(_DENSE_CHANNELS)
        for width, dilation in zip(_REFINER_CHANNELS, _REFINER_DILATIONS, strict=True):
            layers += _convolution(channels, width, dilation=dilation)
            channels = width
        self.moduleMain = nn.Sequential(*layers, nn.Conv2d(channels, 2, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Correction (B, 2, h, w) in units of `FLOW_SCALE` pixels."""
        correction: Tensor = self.moduleMain(features)
        return correction


class PWCNet(nn.Module):
    """Optical flow by PWC-Net.

    Args:
        sampling: rule of the feature warps. Points outside the image give zero features under
            either rule (see `models.warping`).
        channels: the order that the weights expect; images are given as RGB and turned for "bgr".
    """

    def __init__(self, sampling: Sampling = "aligned", *, channels: ChannelOrder = "rgb") -> None:
        """Build the network with PyTorch's default initial weights."""
        super().__init__()
        self.channels = channels
        self.moduleExtractor = Extractor()
        self.moduleTwo = Decoder(2, sampling)
        self.moduleThr = Decoder(3, sampling)
        self.moduleFou = Decoder(4, sampling)
        self.moduleFiv = Decoder(5, sampling)
        self.moduleSix = Decoder(6, sampling)
        self.moduleRefiner = Refiner()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size.
            second: (B, 3, H, W).

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels.

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        if first.ndim != 4 or first.shape[1] != 3 or first.shape != second.shape:
            got = f"{tuple(first.shape)} and {tuple(second.shape)}"
            raise ValueError(f"images must both be (B, 3, H, W), got {got}")
        height, width = first.shape[-2:]
        rows, columns = _round_up(height), _round_up(width)
        images = torch.cat((first, second))
        if self.channels == "bgr":
            images = images.flip(1)
        flow = self._estimate(_resize(images, rows, columns))
        flow = _resize(flow, height, width) * FLOW_SCALE
        return flow * flow.new_tensor((width / columns, height / rows))[:, None, None]

    def _estimate(self, images: Tensor) -> Tensor:
        """Flow from a batch's first half to its second, quarter size, in `FLOW_SCALE` units."""
        pyramid = [features.chunk(2) for features in self.moduleExtractor(images)]
        flow, features = self.moduleSix(*pyramid[5], None)
        finer = (self.moduleFiv, self.moduleFou, self.moduleThr, self.moduleTwo)
        for decoder, (first, second) in zip(finer, pyramid[4:0:-1], strict=True):
            flow, features = decoder(first, second, (flow, features))
        refined: Tensor = flow + self.moduleRefiner(features)
        return refined


def decoder_channels(level: int) -> int:
    """Channels that enter the dense layers of the decoder at `level`.

    The coarsest sees the cost volume alone, the others also the first features, the upsampled flow
    and two upsampled feature channels.
    """
    return _COST_CHANNELS if level == 6 else _COST_CHANNELS + _PYRAMID_CHANNELS[level - 1] + 4


def load_pwc(
    path: str | Path, sampling: Sampling = "aligned", *, channels: ChannelOrder | None = None
) -> PWCNet:
    """Load PWC-Net weights, frozen: in evaluation mode, its parameters without gradient.

    Gradient still flows through the network to its images.

    Args:
        path: a `.safetensors`, `.pth` or `.pytorch` file. Names may be of the older style
            (`moduleExtractor...`) or the newer (`netExtractor...`), after any common prefix.
        sampling: rule of the feature warps: "released" is what released weights were run with.
        channels: the order that the weights expect. By default "rgb" for a `.safetensors` file,
            which is ours, and "bgr" for any other, which is a released one.

    Raises:
        InputError: the file cannot be used (see `read_state`) or holds another network.
    """
    if channels is None:
        channels = "rgb" if Path(path).suffix == ".safetensors" else "bgr"
    network = PWCNet(sampling, channels=channels)
    load_strictly(network, released_names(read_state(path)), path)
    return network.eval().requires_grad_(False)


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the older released names, from either style and without a common prefix."""
    renamed = {re.sub(r"\bnet(?=[A-Z])", "module", name): value for name, value in state.items()}
    mark = "moduleExtractor.moduleOne.0.weight"
    prefix = next((name.removesuffix(mark) for name in renamed if name.endswith(mark)), "")
    return {name.removeprefix(prefix): value for name, value in renamed.items()}


def _convolution(
    channels_in: int, channels_out: int, *, stride: int = 1, dilation: int = 1
) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(channels_in, channels_out, 3, stride, padding=dilation, dilation=dilation)
    return layer, nn.LeakyReLU(0.1)


def _activate(costs: Tensor) -> Tensor:
    return F.leaky_relu(costs, 0.1)


def _round_up(size: int) -> int:
    return -(-size // SIZE_MULTIPLE) * SIZE_MULTIPLE


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
