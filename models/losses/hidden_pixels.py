"""Hide random pixels from the network, so that it cannot copy their noise. Not in the paper.

Noise is independent between pixels. A network that must rebuild a pixel it has not seen does best
to predict the noise-free value from the neighbourhood and the other view (Batson and Royer:
Noise2Self, ICML 2019).
"""

import torch
from torch import Tensor

_RADIUS = 2  # px, of the neighbourhood that a substitute is taken from
_NEIGHBOURS = (2 * _RADIUS + 1) ** 2 - 1


def hide_pixels(pair: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Replace random pixels by one of their 24 neighbours each.

    Args:
        pair: (B, 2, 3, H, W), at least 4 rows and columns.
        share: share of pixels to hide, 0 to 1; drawn from the global random state.

    Returns:
        The pair with pixels replaced, and the mask of these, (B, 2, 1, H, W) bool.
    """
    height, width = pair.shape[-2:]
    size = (*pair.shape[:2], 1, height, width)
    hidden = torch.rand(size, device=pair.device) < share
    choice = torch.randint(_NEIGHBOURS, size, device=pair.device)
    choice = choice + (choice >= _NEIGHBOURS // 2)  # leaves out the pixel itself
    rows = _neighbour_positions(choice // (2 * _RADIUS + 1) - _RADIUS, dim=-2)
    columns = _neighbour_positions(choice % (2 * _RADIUS + 1) - _RADIUS, dim=-1)
    places = (rows * width + columns).expand_as(pair).flatten(-2)
    substitute = pair.flatten(-2).gather(-1, places).unflatten(-1, (height, width))
    return torch.where(hidden, substitute, pair), hidden


def _neighbour_positions(offset: Tensor, dim: int) -> Tensor:
    """Positions along `dim` at (..., H, W) offsets, mirrored where they would lie outside."""
    length = offset.shape[dim]
    here = torch.arange(length, device=offset.device)
    if dim == -2:
        here = here[:, None]
    outside = (here + offset < 0) | (here + offset >= length)
    return here + torch.where(outside, -offset, offset)
