"""The parallax of each capture of a batch, as `models.measurement.parallax` estimates it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.measurement import parallax as single_capture
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import MIN_CERTAINTY, MIN_CHANGE, Parallax
from models.measurement.tensor_sampling import masked_median


def estimate_parallaxes(t2b: Measurement, b2t: Measurement) -> Parallax:
    """Parallaxes with `middle` and `change` (B, 1, 1, 2), which `Parallax.at` adds to columns."""
    width = t2b.own.shape[-1]
    of_views: Any = zip(t2b, b2t, strict=True)
    both: Any = map(torch.cat, of_views)
    columns, intercepts, is_known = _strip_intercepts(Measurement(*both))
    first, second = intercepts.chunk(2)
    values, known = torch.cat((first, -second), 1), torch.cat(is_known.chunk(2), 1)
    of_both: Any = torch.cat((columns, columns))
    place: Any = Parallax.none(width).across(of_both)
    place = place.expand(len(values), -1)
    change = _fit_change(place, values, known)
    level = values - change[:, None] * place[..., None]
    middle = _median(level, known)
    enough = known.sum(1) >= single_capture.MIN_STRIPS
    shifted = _is_significant(
        middle, level - middle[:, None], known, minimum=single_capture.MIN_PARALLAX
    )
    found = enough & (shifted | change.any(-1))
    found_parts: Any = (
        torch.where(found[:, None], part, 0)[:, None, None] for part in (middle, change)
    )
    middle, change = found_parts
    return Parallax(middle, change, width)


def _strip_intercepts(measurement: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Columns (S,) of strips, their flow (B, S, 2) at gap 0, and whether it is well measured."""
    gap, flow = measurement.gap, measurement.flow
    width, strip = gap.shape[-1], single_capture.STRIP
    band = (gap.abs() < single_capture.MAX_GAP) & measurement.trusted
    missing = -width % strip

    def in_strips(values: Tensor) -> Tensor:
        padded = F.pad(values, (0, missing))
        return padded.unflatten(-1, (-1, strip)).movedim(-2, 1).flatten(2)

    chosen, gaps = in_strips(band), in_strips(gap)
    values = torch.stack([in_strips(flow[..., part]) for part in (0, 1)], dim=-1)
    count, later = chosen.sum(-1), (chosen & (gaps > 0)).sum(-1)
    known = (count >= single_capture.MIN_PIXELS) & (
        torch.minimum(later, count - later) >= single_capture.MIN_SHARE * count
    )
    left = torch.arange(0, width, strip, device=gap.device)
    columns = (left + (left + strip).clamp(max=width) - 1) / 2
    return columns, _fit_line(gaps, values, chosen, iterations=3)[..., 0, :], known


def _fit_change(place: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """Change (B, 2) over half the width of strips (B, N, 2); zero if not significant."""
    line = _fit_line(place, values, known, iterations=single_capture.LINE_ITERATIONS)
    residual = values - line[:, None, 0] - line[:, None, 1] * place[..., None]
    count = known.sum(1, keepdim=True).clamp(min=1)
    mean = (place * known).sum(1, keepdim=True) / count
    spread = (((place - mean).square() * known).sum(1, keepdim=True) / count).sqrt()
    deviations = residual / spread.clamp(min=1e-6)[..., None]
    significant = _is_significant(line[:, 1], deviations, known, minimum=MIN_CHANGE)
    significant &= known.sum(1) >= single_capture.MIN_STRIPS_OF_LINE
    return torch.where(significant[:, None], line[:, 1], 0)


def _is_significant(value: Tensor, deviations: Tensor, known: Tensor, *, minimum: float) -> Tensor:
    """(B,) whether means (B, 2) of strips are large enough, as for a single capture."""
    spread = single_capture.RMS_OVER_MEDIAN * masked_median(deviations.norm(dim=-1), known)
    error = spread.clamp(min=single_capture.MIN_SPREAD) / (known.sum(1).clamp(min=1) / 2).sqrt()
    return value.norm(dim=-1) >= (MIN_CERTAINTY * error).clamp(min=minimum)


def _median(values: Tensor, known: Tensor) -> Tensor:
    """Medians (B, 2) of the known of (B, N, 2)."""
    return masked_median(values.movedim(-1, 1), known[:, None].expand(-1, 2, -1))


def _fit_line(place: Tensor, values: Tensor, known: Tensor, *, iterations: int) -> Tensor:
    """Lines of `values` (..., N, 2) over `place` (..., N) by IRLS with Huber weights.

    Returns:
        (..., 2, 2): value at 0, and slope.
    """
    weight = known.to(values)
    for _ in range(iterations):
        total, first, second = (
            (weight * part).sum(-1) for part in (torch.ones_like(place), place, place**2)
        )
        right, mixed = ((part[..., None] * values).sum(-2) for part in (weight, weight * place))
        total, second = (part[..., None] + 1e-6 for part in (total, second))
        first = first[..., None]
        determinant = total * second - first**2
        level = (second * right - first * mixed) / determinant
        slope = (total * mixed - first * right) / determinant
        residual = values - level[..., None, :] - slope[..., None, :] * place[..., None]
        weight = known / residual.norm(dim=-1).clamp(min=single_capture.HUBER_SCALE)
    return torch.stack((level, slope), dim=-2)
