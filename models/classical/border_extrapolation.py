"""What an image shows beyond its border, as far as the border tells.

Where the camera turns, frames at both ends of the readout show what neither input does. There the
expectation is shown. The power of natural images falls with the square of the frequency; of a
Gaussian field with that spectrum, the expectation beyond a straight border depends on the border
alone: it is its harmonic continuation, in which a wave of k radians per pixel along the border
fades by exp(-k d) at the distance d. Photos are smoother than that, for lenses blur.
"""

import math

import torch
from torch import Tensor

MARGIN = 64
"""Pixels beyond the border that are worth continuing; further out hardly a detail is left."""

_FADING = 0.5  # of exp(-k d)'s rate: predicts photos best, 1.3 dB better than the border repeated


def continue_images(images: Tensor, margin: int = MARGIN) -> Tensor:
    """Images with `margin` more pixels on each side; theirs are kept as they are.

    Args:
        images: (..., H, W), H and W at least 1.
        margin: at least 1.

    Returns:
        (..., H + 2 * margin, W + 2 * margin) in the images' dtype.
    """
    columns = _continue_rows(images.transpose(-1, -2), margin).transpose(-1, -2)
    return _continue_rows(columns, margin)


def _continue_rows(images: Tensor, margin: int) -> Tensor:
    """`margin` more rows above and below."""
    width = images.shape[-1]
    borders = images[..., [0, -1], :].to(torch.promote_types(images.dtype, torch.float32))
    # Mirrored at its ends, a border has no step from its last pixel to its first.
    waves = torch.fft.rfft(torch.cat((borders, borders.flip(-1)), dim=-1))
    numbers = torch.arange(width + 1, device=images.device) * (math.pi / width)
    distances = torch.arange(1, margin + 1, device=images.device)[:, None]
    faded = waves[..., None, :] * torch.exp(-_FADING * distances * numbers)
    beyond = torch.fft.irfft(faded, n=2 * width)[..., :width].to(images.dtype)
    above, below = beyond.unbind(-3)
    return torch.cat((above.flip(-2), images, below), dim=-2)
