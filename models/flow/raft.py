"""RAFT (Teed and Deng, ECCV 2020) from torchvision, with weights that are downloaded."""

from collections.abc import Callable

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

_SIZE_MULTIPLE = 8
_MIN_SIDE = 128  # px, for torchvision's four levels of matching costs

RAFT_VARIANTS: dict[str, tuple[Callable[[], nn.Module], WeightsEnum]] = {
    "raft_small": (raft_small, Raft_Small_Weights.DEFAULT),
    "raft_large": (raft_large, Raft_Large_Weights.DEFAULT),
}
"""torchvision's constructors and weights by name."""


class RAFTFlow(nn.Module):
    """Flow of a frozen RAFT; gradient still flows through it to the images.

    Args:
        network: torchvision's; set to evaluation mode, parameters without gradient.
    """

    def __init__(self, network: nn.Module) -> None:
        """Freeze the network."""
        super().__init__()
        self.network = network.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "RAFTFlow":
        """Keep the network in evaluation mode: its normalisation must not learn."""
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
        # Matching costs are sums of hundreds of products: half precision is too coarse.
        with torch.autocast(first.device.type, enabled=False):
            start, end = (_pad(images.float()) * 2 - 1 for images in (first, second))
            flow: Tensor = self.network(start, end)[-1]
        return flow[..., :height, :width].to(first.dtype)


def load_raft(name: str) -> RAFTFlow:
    """Load a RAFT of `RAFT_VARIANTS`; its weights are downloaded once into torch's hub folder.

    Raises:
        InputError: the download failed, or the file there holds something else.
    """
    build, weights = RAFT_VARIANTS[name]
    network = build()
    load_strictly(network, download_state(weights, name=name), weights.url)
    return RAFTFlow(network)


def _pad(images: Tensor) -> Tensor:
    """Replicate the last column and row up to a size that the network accepts."""
    rows, columns = (max(round_up(side, _SIZE_MULTIPLE), _MIN_SIDE) for side in images.shape[-2:])
    padding = (0, columns - images.shape[-1], 0, rows - images.shape[-2])
    return F.pad(images, padding, mode="replicate")
