"""Networks of the refiner: matching of both views, motion of cells, fusion at half size."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.parts.correlation import COST_CHANNELS, correlation
from models.parts.generator_layers import draw_weights, resize

SLOPE = 0.1
"""Negative slope of the leaky ReLUs."""

_BLOCK = 16  # channels that oneDNN convolves at once


class Change(NamedTuple):
    """Output of the fusion network."""

    displacement: Tensor  # (N, 4, H/2, W/2)
    preference: Tensor  # (N, 1, H, W) logit of the weight of t2b
    residual: Tensor  # (N, 3, H, W) colours


class MatchingNet(nn.Module):
    """Cost volumes between both views at successively halved sizes."""

    def __init__(self, inputs: int, features: int, levels: int) -> None:
        """Create the network for input features of twice the first level's size."""
        super().__init__()
        sources = [inputs] + [features] * (levels - 1)
        self.down = nn.ModuleList(_convs(source, features, stride=2) for source in sources)

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Cost volumes (N, 81, h / 2, w / 2), (N, 81, h / 4, w / 4), ... of cosines."""
        views, costs = torch.cat((first, second)), []
        for down in self.down:
            views = down(views)
            of_first, of_second = F.normalize(views.float(), dim=1).chunk(2)
            costs.append(views.shape[1] * correlation(of_first, of_second))
        return costs


class UNet(nn.Module):
    """U-Net that takes a cost volume at each level below the finest.

    The caller applies its first layers, `first`, and can then free the input.
    """

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int) -> None:
        """Create the network; `widths` are the channels of the levels, the finest one first."""
        super().__init__()
        self.first = _convs(inputs, widths[0])
        self.down = nn.ModuleList(
            _conv(shallow, deep, stride=2)
            for shallow, deep in zip(widths[:-1], widths[1:], strict=True)
        )
        self.compare = nn.ModuleList(_conv(deep + COST_CHANNELS, deep) for deep in widths[1:])
        targets = [outputs, *widths[1:-1]]
        self.up = nn.ModuleList(
            _convs(below + skip, target, count=1)
            for below, skip, target in zip(
                [*targets[1:], widths[-1]], widths[:-1], targets, strict=True
            )
        )

    def forward(self, finest: Tensor, costs: Sequence[Tensor]) -> Tensor:
        """Features (N, C, h, w), given those of `first` at that size and the cost volumes."""
        levels = [finest]
        for down, compare, cost in zip(self.down, self.compare, costs, strict=True):
            shallow = down(levels[-1])
            levels.append(compare(torch.cat((shallow, cost.to(shallow.dtype)), dim=1)))
        value = levels.pop()
        for up in reversed(list(self.up)):
            value = up(torch.cat((resize(value, 2), levels.pop()), dim=1))
        return value


class DilatedConv2d(nn.Conv2d):
    """A dilated convolution that can be trained in bfloat16 on a CPU.

    There, channels of zeros pad the input to a multiple of 16: otherwise oneDNN's gradient of the
    weights reads uninitialised memory (3.10.2, PyTorch 2.11).
    """

    def forward(self, image: Tensor) -> Tensor:
        """Convolve an image (N, C, H, W)."""
        missing = -self.in_channels % _BLOCK
        on_cpu = image.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not (missing and on_cpu and torch.is_grad_enabled()):
            return super().forward(image)
        image, weight = (F.pad(part, (0, 0) * 2 + (0, missing)) for part in (image, self.weight))
        return self._conv_forward(image, weight, self.bias)


class FusionNet(nn.Module):
    """Corrections of displacement, preference and colour from half-size features."""

    def __init__(self, inputs: int, features: int) -> None:
        """Create the network for so many input channels; its layers have `features` channels."""
        super().__init__()
        self.body = nn.Sequential(
            _conv(inputs, features),
            _conv(features, features),
            _conv(features, features, dilation=2),
            _conv(features, features, dilation=4),
        )
        self.head = zeroed(nn.Conv2d(features, 4 + 4 * (1 + 3), 3, padding=1))

    def forward(self, image: Tensor) -> Change:
        """Corrections, given features (N, C, H/2, W/2)."""
        change = self.head(self.body(image))
        full = F.pixel_shuffle(change[:, 4:], 2)
        return Change(change[:, :4].float(), full[:, :1], full[:, 1:])


def displace(motion: Tensor, offset: Tensor) -> Tensor:
    """Displacements (N, 4, h, w) to both views: velocity * offset + acceleration * offset²."""
    velocity, acceleration = motion.chunk(2, dim=1)
    views = [velocity * part + acceleration * part**2 for part in offset.chunk(2, dim=1)]
    return torch.cat(views, dim=1)


def _convs(inputs: int, outputs: int, *, stride: int = 1, count: int = 2) -> nn.Sequential:
    more = [_conv(outputs, outputs) for _ in range(count - 1)]
    return nn.Sequential(_conv(inputs, outputs, stride=stride), *more)


def _conv(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    kind = nn.Conv2d if dilation == 1 else DilatedConv2d
    convolution = kind(inputs, outputs, 3, stride, dilation, dilation)
    draw_weights(convolution.weight, a=SLOPE)
    return nn.Sequential(convolution, nn.LeakyReLU(SLOPE, inplace=True))


def zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """Set all weights of a convolution to zero."""
    for parameter in convolution.parameters():
        nn.init.zeros_(parameter)
    return convolution
