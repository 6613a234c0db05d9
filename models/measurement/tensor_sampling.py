"""Sampling of batches of images in PyTorch, on any device, without waiting for it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_linearly(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample (B, H, W) or (B, H, W, C) at pixels (x, y), (B, ..., w) each; repeat the border."""
    batch, height, width = values.shape[:3]
    place = torch.broadcast_tensors((2 * x + 1) / width - 1, (2 * y + 1) / height - 1)
    grid = torch.stack(place, -1)
    grid = grid.expand(batch, *grid.shape[1:])
    sampled = F.grid_sample(
        values.reshape(batch, height, width, -1).movedim(-1, 1),
        grid.reshape(batch, -1, grid.shape[-2], 2),
        padding_mode="border",
        align_corners=False,
    )
    return sampled.movedim(1, -1).reshape(*grid.shape[:-1], *values.shape[3:])
