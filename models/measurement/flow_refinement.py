"""Subpixel refinement of optical flow by least squares in small windows (Lucas and Kanade, 1981).

DIS searches patches at half size (`models.flow.dis`) and errs by tenths of a pixel; Gauss-Newton
steps at full size remove most of that error.
"""

from models.measurement.arrays import Array, Bools, every_nth, library, single
from models.measurement.sampling import (
    SmoothedView,
    box_mean,
    grid_spacing,
    pixel_grid,
    sample_image,
)
from models.measurement.statistics import geman_mcclure_weight, match_levels

_STEPS = 2
_SPACING, _MAX_POINTS = 2, 600_000  # px between the refined points; their number
_WINDOW = 5  # points a side
_MAX_STEP = 0.5  # px: larger errors are wrong matches
_RESIDUAL_SCALE = 10.0  # grey levels, of the Geman-McClure loss
_MIN_SLOPE = 1.4  # grey levels per px: damping that keeps points without texture in place
_BRIGHTNESS_STRIDE = 4  # one of so many points is used to fit gain and offset
_MARGIN = 2  # px from the border, where the blur has data on one side only


def refine_flow(flow: Array, first: SmoothedView, second: SmoothedView) -> Array:
    """Refine flow (H, W, 2) from `first` to `second` that is accurate to about a pixel.

    The views may differ by a gain and an offset.
    """
    xp = library(flow)
    size = height, width = first.level.shape[-2:]
    spacing = grid_spacing((height, width), _SPACING, _MAX_POINTS)
    columns, rows = pixel_grid(size, spacing, like=flow)
    level, searched = (every_nth(part, spacing) for part in (first.level, flow))
    slopes = first.slopes(columns, rows)
    refined = searched + 0
    for _ in range(_STEPS):
        x, y = columns + refined[..., 0], rows + refined[..., 1]
        matched_level, matched_slopes = second.at(x, y)
        inside = (xp.minimum(x, y) >= _MARGIN) & (x < width - _MARGIN) & (y < height - _MARGIN)
        gain, offset = match_levels(level, matched_level, inside, _BRIGHTNESS_STRIDE)
        mean_slopes = (gain[..., None] * slopes + matched_slopes) / 2
        refined += _gauss_newton_step(mean_slopes, gain * level + offset - matched_level, inside)
    x, y = (part / spacing for part in pixel_grid(size, like=flow))
    return flow + sample_image(refined - searched, x, y)


def _gauss_newton_step(slopes: Array, residual: Array, inside: Bools) -> Array:
    """Displacement (h, w, 2) in px that minimises each window's weighted squared residuals."""
    xp = library(slopes)
    weight = inside * geman_mcclure_weight((residual / _RESIDUAL_SCALE) ** 2)
    weight = xp.asarray(weight, dtype=xp.float32)
    weighted = slopes * weight[..., None]
    diagonal = box_mean(weighted * slopes, _WINDOW) + single(_MIN_SLOPE**2)
    mixed = box_mean(weighted[..., 0] * slopes[..., 1], _WINDOW)
    right = box_mean(weighted * residual[..., None], _WINDOW)
    determinant = diagonal[..., 0] * diagonal[..., 1] - mixed**2
    step_x = (diagonal[..., 1] * right[..., 0] - mixed * right[..., 1]) / determinant
    step_y = (diagonal[..., 0] * right[..., 1] - mixed * right[..., 0]) / determinant
    excess = (xp.hypot(step_x, step_y) / _MAX_STEP).clip(1, None)
    step: Array = xp.stack((step_x / excess, step_y / excess), axis=-1)
    return step
