"""RAFT (Teed and Deng, ECCV 2020) as torchvision offers it, with weights to be downloaded."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.optical_flow import (
    Raft_Large_Weights,
    Raft_Small_Weights,
    raft_large,
    raft_small,
)

from models.parts.checks import check_frames
from models.parts.padding import round_up
from models.weight_files import download_state, load_strictly

RaftSize = Literal["raft_small", "raft_large"]

_SIZE_MULTIPLE = 8
_LEAST_SIDE = 128
"""Below this torchvision's network cannot build its four levels of matching costs."""


class _Variant(NamedTuple):
    build: Callable[[], nn.Module]
    weights: WeightsEnum


RAFT_VARIANTS: Mapping[RaftSize, _Variant] = MappingProxyType(
    {
        "raft_small": _Variant(raft_small, Raft_Small_Weights.DEFAULT),
        "raft_large": _Variant(raft_large, Raft_Large_Weights.DEFAULT),
    }
)
"""The networks that torchvision has trained."""


class RAFTFlow(nn.Module):
    """Flow of a frozen RAFT; gradient still flows through it to the images.

    Args:
        network: one of torchvision's; put in evaluation mode, its parameters without gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        """Freeze the network."""
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "RAFTFlow":
        """Leave the network in evaluation mode: its normalisation must not learn."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from `first` to `second`: where each pixel of `first` is found in `second`.

        Args:
            first: (B, 3, H, W) RGB in [0, 1], any size.
            second: (B, 3, H, W).

        Returns:
            (B, 2, H, W) displacements (dx, dy) in pixels, of the last iteration.

        Raises:
            ValueError: the images are not of one shape (B, 3, H, W).
        """
        check_frames(first, second)
        height, width = first.shape[-2:]
        # Its matching costs are sums over hundreds of products: half precision is too coarse.
        with torch.autocast(first.device.type, enabled=False):
            start, end = (_pad(images.float()) * 2 - 1 for images in (first, second))
            flow: Tensor = self.network(start, end)[-1]
        return flow[..., :height, :width].to(first.dtype)


def load_raft(size: RaftSize) -> RAFTFlow:
    """RAFT with torchvision's weights, downloaded once into torch's hub folder.

    Raises:
        InputError: the download failed, or the file there holds something else.
    """
    variant = RAFT_VARIANTS[size]
    network = variant.build()
    load_strictly(network, download_state(variant.weights, name=size), variant.weights.url)
    return RAFTFlow(network)


def _pad(images: Tensor) -> Tensor:
    """Repeat the last column and row up to a size that the network takes."""
    rows, columns = (max(round_up(side, _SIZE_MULTIPLE), _LEAST_SIDE) for side in images.shape[-2:])
    padding = (0, columns - images.shape[-1], 0, rows - images.shape[-2])
    return F.pad(images, padding, mode="replicate")
