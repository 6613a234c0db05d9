"""Hide single pixels from a network that is to rebuild them, so that it cannot copy their noise.

Noise of one pixel says nothing about any other. A network that must rebuild a pixel without having
seen it does best to show what is there without the noise, from around it and from the other view
(J. Batson, L. Royer: Noise2Self, ICML 2019). Not in the paper.
"""

import torch
from torch import Tensor

_RADIUS = 2  # px within which a hidden pixel's substitute lies
_NEIGHBOURS = (2 * _RADIUS + 1) ** 2 - 1


def hide_pixels(pair: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Replace random pixels, each by one of the 24 around it.

    Args:
        pair: (B, 2, 3, H, W), at least 4 rows and columns.
        share: of the pixels to hide, 0 to 1; drawn from the global random state.

    Returns:
        The pair without them, and where they were, (B, 2, 1, H, W) bool.
    """
    height, width = pair.shape[-2:]
    size = (*pair.shape[:2], 1, height, width)
    hidden = torch.rand(size, device=pair.device) < share
    choice = torch.randint(_NEIGHBOURS, size, device=pair.device)
    choice = choice + (choice >= _NEIGHBOURS // 2)  # leaves out the pixel itself
    rows = _beside(choice // (2 * _RADIUS + 1) - _RADIUS, dim=-2)
    columns = _beside(choice % (2 * _RADIUS + 1) - _RADIUS, dim=-1)
    places = (rows * width + columns).expand_as(pair).flatten(-2)
    substitute = pair.flatten(-2).gather(-1, places).unflatten(-1, (height, width))
    return torch.where(hidden, substitute, pair), hidden


def _beside(offset: Tensor, dim: int) -> Tensor:
    """Positions along `dim` at (..., H, W) offsets, turned round where they would lie outside."""
    length = offset.shape[dim]
    here = torch.arange(length, device=offset.device)
    if dim == -2:
        here = here[:, None]
    outside = (here + offset < 0) | (here + offset >= length)
    return here + torch.where(outside, -offset, offset)
