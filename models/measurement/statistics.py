"""Robust statistics: estimates that outliers hardly change."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.measurement.arrays import Array, Floats, library
from models.measurement.tensor_sampling import masked_median

_MAD_TO_STD = 1.4826  # standard deviation over median absolute value of a normal distribution
_MIN_POINTS = 100
_MIN_CONTRAST = 0.02  # standard deviation below which gain and offset cannot be told apart
_MIN_MEAN = 0.01  # below it a view is black, and a ratio of means says nothing
_ITERATIONS = 10
_FIRST_SCALE, _LAST_SCALE, _SCALE_DECAY = 0.1, 0.01, 0.7
_WHITE = np.float32(255)


def geman_mcclure_weight(squared: Floats) -> Floats:
    """IRLS weights 1 / (1 + r²)² of the Geman-McClure loss r² / (1 + r²), given r² of any shape."""
    weight: Floats = library(squared).reciprocal((1 + squared) ** 2)
    return weight


def robust_std(errors: npt.NDArray[np.floating[Any]]) -> float:
    """Standard deviation of normally distributed errors with outliers, from the median |error|."""
    return _MAD_TO_STD * float(np.median(np.abs(errors)))


def fit_line(first: Array, second: Array) -> tuple[float, float]:
    """Gain and offset in second = gain * first + offset, given values (N,) in [0, 1].

    Robust reduced major axis regression: the gain is the ratio of the standard deviations, which
    noise in either view does not bias. Points have Geman-McClure weights (IRLS), the scale of which
    decreases from 0.1 to 0.01. Without contrast the gain is the ratio of the means, or 1 where a
    view is black; for fewer than 100 points the result is (1, 0).
    """
    if len(first) < _MIN_POINTS:
        return 1.0, 0.0
    gain, offset, scale = 1.0, float(np.median(second - first)), _FIRST_SCALE
    for _ in range(_ITERATIONS):
        residual = second - gain * first - offset
        weight = geman_mcclure_weight((residual / scale) ** 2)
        means = [float(np.average(values, weights=weight)) for values in (first, second)]
        spreads = [
            float(np.average((values - mean) ** 2, weights=weight)) ** 0.5
            for values, mean in zip((first, second), means, strict=True)
        ]
        if min(spreads) >= _MIN_CONTRAST:
            gain = spreads[1] / spreads[0]
        else:
            gain = means[1] / means[0] if min(means) >= _MIN_MEAN else 1.0
        offset = means[1] - gain * means[0]
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
    return gain, offset


def fit_lines(first: Tensor, second: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """`fit_line` of each of B sets of chosen values (B, N): gains and offsets (B,)."""
    both = torch.stack((first, second), dim=1)  # (B, 2, N)
    gain = first.new_ones(len(first))
    offset, scale = masked_median(second - first, chosen), _FIRST_SCALE
    for _ in range(_ITERATIONS):
        residual = torch.addcmul(second - offset[:, None], gain[:, None], first, value=-1)
        weight = (chosen * geman_mcclure_weight((residual / scale) ** 2))[:, None]
        total = weight.sum(-1).clamp(min=1e-12)
        means = (weight * both).sum(-1) / total
        spreads = ((weight * (both - means[..., None]) ** 2).sum(-1) / total).sqrt()
        is_lit, has_contrast = means.amin(1) >= _MIN_MEAN, spreads.amin(1) >= _MIN_CONTRAST
        of_means = torch.where(is_lit, means[:, 1] / means[:, 0], 1.0)
        gain = torch.where(has_contrast, spreads[:, 1] / spreads[:, 0], of_means)
        offset = torch.addcmul(means[:, 1], gain, means[:, 0], value=-1)
        scale = max(scale * _SCALE_DECAY, _LAST_SCALE)
    enough = chosen.sum(-1) >= _MIN_POINTS
    return torch.where(enough, gain, 1.0), torch.where(enough, offset, 0.0)


def fit_levels(first: Array, second: Array) -> tuple[np.float32, np.float32]:
    """`fit_line` for grey levels (N,) in [0, 255]; the offset is in grey levels, too."""
    gain, offset = fit_line(first / _WHITE, second / _WHITE)
    return np.float32(gain), np.float32(offset) * _WHITE


def match_levels(first: Any, second: Any, chosen: Any, stride: int) -> tuple[Any, Any]:
    """`fit_levels` of images (H, W), or of a batch (B, H, W): results (B, 1, 1).

    One of `stride` chosen pixels is used; of a batch one of so many pixels, if it is chosen.
    """
    if isinstance(first, Tensor):
        parts = (part.flatten(1)[:, ::stride] for part in (first, second, chosen))
        levels, others, used = parts
        gains, offsets = fit_lines(levels / 255, others / 255, used)
        return gains[:, None, None], 255 * offsets[:, None, None]
    return fit_levels(*(part[chosen][::stride] for part in (first, second)))
