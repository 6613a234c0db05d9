"""Camera paths of a batch to hundredths of a pixel, as `models.camera.refinement` refines one.

The number of steps is fixed; captures that have converged keep their paths. Both views of all
captures are followed together: the 2 B views are t2b of all captures, then b2t of all.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.camera import followed_points, refinement
from models.camera.path import NOISE_FLOOR, half_diagonal, map_points, place_basis
from models.device_motion.camera_path import COEFFICIENTS, CameraPaths, normalise, time_basis
from models.device_motion.robust import invert_semidefinite, masked_std, solve_positive
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView, coordinate_grid, grid_spacing
from models.measurement.scan import Scan
from models.measurement.tensor_sampling import mean_in_boxes

_CHUNK = 512  # points whose products are summed in single precision
_REST = refinement.OF_LINE + 2  # unknowns of the parallax, contrast and level


class _Equations(NamedTuple):
    """Normal equations of B captures, as `models.camera.refinement` has them of one."""

    cost: Tensor  # (B,) mean squared residual in variances, with limited outliers
    enough: Tensor  # (B,) whether enough points are in both views
    normal: Tensor  # (B, K + R, K + R) of the path's K coefficients and the R others
    right: Tensor  # (B, K + R)

    def of_path(self) -> tuple[Tensor, Tensor]:
        """Equations (B, K, K) and (B, K) of the path, the rest eliminated."""
        path, across, rest = self.parts()
        shares = across @ invert_semidefinite(rest)
        right = self.right[:, :COEFFICIENTS, None] - shares @ self.right[:, COEFFICIENTS:, None]
        return path - shares @ across.mT, right[..., 0]

    def change_of_rest(self, change: Tensor) -> Tensor:
        """Change (B, R) of the others, given that of the path's coefficients (B, K)."""
        _, across, rest = self.parts()
        right = self.right[:, COEFFICIENTS:, None] + across.mT @ change[..., None]
        return -(invert_semidefinite(rest) @ right)[..., 0]

    def covariance_of_rest(self, motion: CameraPaths) -> Tensor:
        """Covariances (B, R, R) of the others, marginalised over the path with its prior."""
        path, across, rest = self.parts()
        path = path + torch.diag_embed(motion.precision())
        return invert_semidefinite(rest - across.mT @ solve_positive(path, across))

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Blocks of `normal`: the path's, across, the others'."""
        above, below = self.normal.split((COEFFICIENTS, _REST), dim=1)
        path, across = above.split((COEFFICIENTS, _REST), dim=2)
        return path, across, below[..., COEFFICIENTS:]


def refine_camera_paths(
    motion: CameraPaths, views: tuple[Tensor, Tensor], scan: Scan, parallax: Any
) -> tuple[CameraPaths, Any]:
    """Refine motions and parallaxes of B captures.

    Args:
        motion: accurate to about half a pixel.
        views: grey levels (B, H, W) of t2b and b2t.
        scan: of t2b, tensors (B, 1, 1).
        parallax: accurate to about half a pixel.
    """
    both: Any = torch.cat(views)
    smoothed = SmoothedView.of(both)
    shift = torch.cat((parallax.middle, parallax.change), -1).flatten(1)
    coarse = _Alignment(smoothed, scan, refinement.COARSE)
    if coarse.points.shape[1] < refinement.MIN_POINTS:
        return motion, parallax
    free = torch.ones_like(shift, dtype=torch.bool)
    started = torch.ones_like(free[:, 0])
    motion, shift, covariance, started = coarse.solve(motion, shift, free, started)
    is_line = _is_significant(shift, covariance, slice(refinement.OF_SHIFT, refinement.OF_LINE))
    without_line = torch.cat((shift[:, : refinement.OF_SHIFT], torch.zeros_like(shift[:, 2:])), 1)
    is_shift = is_line | _is_significant(shift, covariance, slice(refinement.OF_SHIFT))
    kept = torch.where(is_shift[:, None], torch.where(is_line[:, None], shift, without_line), 0)
    shift = torch.where(started[:, None], kept, shift)
    free = torch.stack((is_shift, is_shift, is_line, is_line), dim=1)
    fine = _Alignment(smoothed, scan, refinement.FINE)
    motion, shift, _, _ = fine.solve(motion, shift, free, started)
    middle, change = shift[:, None, None].chunk(2, dim=-1)
    return motion, parallax._replace(middle=middle, change=change)


def _is_significant(shift: Tensor, covariance: Tensor, part: slice) -> Tensor:
    """(B,) whether a part of the parallax (B, 4) is certain."""
    value = shift[:, part].double()
    inverse = invert_semidefinite(covariance[:, part, part])
    squared = torch.einsum("bk,bkl,bl->b", value, inverse, value)
    return squared >= refinement.MIN_CERTAINTY**2


class _Difference(NamedTuple):
    """Comparison of both views at N points of t = 1/2, as in `models.camera.followed_points`."""

    value: Tensor  # (B, N)
    mean: Tensor  # (B, N)
    gradient: Tensor  # (B, 2, N)
    slopes: Tensor  # (B, K, N)
    inside: Tensor  # (B, N)


class _Alignment:
    """Direct alignment of both views at a grid of N points that are followed into them."""

    def __init__(self, view: Any, scan: Any, density: tuple[int, int, int]) -> None:
        min_spacing, max_points, self.window = density
        level = view.level
        self.view, self.size = view, (level.shape[1], level.shape[2])
        spacing = grid_spacing(self.size, min_spacing, max_points)
        columns, rows = ((spacing // 2, side, spacing) for side in self.size[::-1])
        x, y = coordinate_grid(columns, rows, like=level)
        self.shape = x.shape[-2:]
        self.points: Tensor = torch.stack((x, y)).flatten(1)
        columns_of: Any = self.points[0]
        self.across: Any = Parallax.none(self.size[1]).across(columns_of)
        self.basis: Tensor = place_basis(normalise(self.points.T, self.size))
        self.diagonal = half_diagonal(self.size)
        numbers: Any = (  # (2 B, 1) each
            torch.cat(parts)[..., 0] for parts in zip(scan, scan.reversed, strict=True)
        )
        first, row_time = numbers
        self.scan: Any = Scan(first, row_time)
        self.places = self.points.expand(len(first), -1, -1)  # (2 B, 2, N)
        self.last = torch.stack([level.new_full((1,), side - 1) for side in self.size[::-1]])
        self.iterations = followed_points.FIRST_ITERATIONS
        self.variance: Tensor | None = None
        self.brightness = level.new_zeros(len(first) // 2, 2).double()

    def solve(
        self, motion: CameraPaths, shift: Tensor, free: Tensor, active: Tensor
    ) -> tuple[CameraPaths, Tensor, Tensor, Tensor]:
        """Take Gauss-Newton steps while the cost does not rise; the last one is not verified.

        Args:
            motion: of B captures.
            shift: (B, 4) parallaxes.
            free: (B, 4) which of their numbers are unknown.
            active: (B,) which captures to align at all.

        Returns:
            Motions and parallaxes; covariances (B, R, R) from the last equations that were
            accepted; and whether any were.
        """
        found, found_shift, started = motion, shift, torch.zeros_like(active)
        normal = motion.path.new_zeros(len(shift), *2 * (COEFFICIENTS + _REST,))
        lowest = last = torch.full_like(motion.reach, math.inf)
        for _ in range(refinement.MAX_STEPS):
            compared = self._compare(motion, shift, free)
            accepted = active & compared.enough & (compared.cost <= refinement.DIVERGED * lowest)
            started = started | accepted
            found = motion.chosen(accepted, found)
            found_shift = torch.where(accepted[:, None], shift, found_shift)
            normal = torch.where(accepted[:, None, None], compared.normal, normal)
            stepped = motion.step(*compared.of_path())
            change = (stepped.path - motion.path).flatten(1)
            rest = torch.where(accepted[:, None], compared.change_of_rest(change), 0)
            motion = stepped.chosen(accepted, found.chosen(active, motion))
            moved = shift + (rest[:, : refinement.OF_LINE] * free).float()
            back = torch.where(active[:, None], found_shift, shift)
            shift = torch.where(accepted[:, None], moved, back)
            self.brightness = self.brightness + rest[:, refinement.OF_LINE :]
            converged = compared.cost > refinement.CONVERGED * last
            active = accepted & ~converged
            lowest = torch.where(active, torch.minimum(lowest, compared.cost), lowest)
            last = torch.where(active, compared.cost, last)
        covariance = compared._replace(normal=normal).covariance_of_rest(found)
        return motion, shift, covariance, started

    def _compare(self, motion: CameraPaths, shift: Tensor, free: Tensor) -> _Equations:
        """Warp both views to t = 1/2 and compare them."""
        seen = self._difference(motion, shift)
        light = torch.stack((seen.mean, torch.ones_like(seen.mean)), 1)
        residual = seen.value - torch.einsum("bk,bkn->bn", self.brightness, light.double())
        squared, weight = self._weigh(residual, seen)
        noise = (weight * residual**2).sum(1) / (weight > 0).sum(1).clamp(min=1) + NOISE_FLOOR
        of_shift = -seen.gradient / self.diagonal
        of_parallax = torch.cat((of_shift, of_shift * self.across), 1) * free[..., None]
        slopes = torch.cat((seen.slopes, of_parallax, -light), 1)
        factor = (weight / (noise[:, None] * refinement.CORRELATED)).float()
        weighted = slopes * factor[:, None]
        inside = seen.inside.sum(1)
        return _Equations(
            (squared * seen.inside).sum(1) / inside.clamp(min=1),
            inside >= refinement.MIN_POINTS,
            _sum_of_products(weighted, slopes),
            _sum_of_products(weighted, residual.float()[:, None])[..., 0],
        )

    def _weigh(self, residual: Tensor, seen: _Difference) -> tuple[Tensor, Tensor]:
        """Squared residuals (B, N) in variances, and inverse variances with robust weights."""
        if self.variance is None:
            noise = masked_std(residual, seen.inside)[:, None] + refinement.NOISE
            misplacement = refinement.MISPLACEMENT / self.diagonal
            self.variance = noise**2 + (misplacement * seen.gradient).square().sum(1)
        squared = (residual**2 / self.variance).clamp(max=refinement.MAX_SQUARED)
        grid = squared.unflatten(1, self.shape)
        around = mean_in_boxes(grid, self.window, mirrored=True).flatten(1)
        weight = seen.inside / ((1 + squared) * (1 + around / 2)) ** 2 / self.variance
        return squared, weight

    def _difference(self, motion: CameraPaths, shift: Tensor) -> _Difference:
        """Warp both views to t = 1/2 and subtract them."""
        middle, change = (part[..., None] for part in shift.chunk(2, dim=1))
        half = (middle + change * self.across) / 2
        value, gradient, basis, time, inside = self._expose(motion, torch.cat((-half, half)))
        self.iterations = 1
        gradient = gradient.unflatten(0, (2, -1)).mean(0)
        both = torch.cat((gradient, gradient))
        by_component = -(both[:, 0] * basis[0] + both[:, 1] * basis[1])  # (8, 2 B, N)
        slopes = torch.einsum("kbn,btn->bktn", by_component, time).flatten(1, 2)
        first, second = slopes.chunk(2)
        levels = value.chunk(2)
        return _Difference(
            levels[0] - levels[1],
            (levels[0] + levels[1]) / 2,
            gradient,
            (first - second) * motion.known[..., None].float(),
            inside.unflatten(0, (2, -1)).all(0),
        )

    def _expose(
        self, motion: CameraPaths, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Sample the views, shifted by (2 B, 2, N) px, where they expose the points."""
        path = torch.cat((motion.path, motion.path)).float()
        reach = torch.cat((motion.reach, motion.reach)).float()[:, None]
        velocity = -self.diagonal * torch.einsum("bk,ckn->bcn", path[..., 0], self.basis)
        closing: Tensor = self.scan.closing_speed(velocity[:, 1])
        place = self.places
        for _ in range(self.iterations):
            time = time_basis(self.scan.at(place[:, 1]), reach).float().mT
            shown = normalise((place - shift).mT, self.size)
            back = map_points(torch.einsum("bkt,btn->kbn", path, time), shown)
            error = self.diagonal * back.movedim(0, 1) + self.last / 2 - self.points
            down = -error[:, 1] / closing
            along = velocity[:, 0] * self.scan.row_time * down - error[:, 0]
            place = place + torch.stack((along, down), 1)
        self.places = place
        x, y = place.unflatten(2, self.shape).unbind(1)
        level, slopes = self.view.at(x, y)
        along_x, along_y = slopes.flatten(1, 2).unbind(-1)
        # A point that is moved down is exposed at another time, and has moved until then.
        along_y = (along_y + velocity[:, 0] * self.scan.row_time * along_x) / closing
        gradient = self.diagonal * torch.stack((along_x, along_y), 1)
        basis: Tensor = place_basis(normalise((place - shift).mT, self.size))
        margin = followed_points.MARGIN
        inside = ((place >= margin) & (place <= self.last - margin)).all(1)
        return level.flatten(1), gradient, basis, time, inside


def _sum_of_products(first: Tensor, second: Tensor) -> Tensor:
    """(B, K, L) float64 sums over N of the products of (B, K, N) and (B, L, N)."""
    missing = -first.shape[-1] % _CHUNK
    parts = [
        F.pad(values, (0, missing)).unflatten(-1, (-1, _CHUNK)).transpose(1, 2)
        for values in (first, second)
    ]
    return (parts[0] @ parts[1].mT).sum(1, dtype=torch.float64)
