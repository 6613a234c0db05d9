"""Edge-preserving interpolation of scattered evidence over h x w cells, by least squares."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.measurement.arrays import Array, library
from models.measurement.tensor_sampling import links_between, with_neighbours

_SMOOTHNESS = 0.02  # weight of a step between cells of one colour; evidence has its gap squared
_MIN_AFFINITY = 0.02  # share of it between cells of any colours
_COLOUR_SCALE = 0.06  # standard deviation of colours, in [0, 1], within a surface
_HUBER_SCALE = 1.0  # steps between cells that are larger have linear loss
_ITERATIONS = 40


def affinity(image: Array) -> tuple[Array, Array]:
    """Weights of the steps between neighbours, along x (h, w - 1) and along y (h - 1, w).

    They are a Gaussian of the difference in colour; the image is (h, w, 3) RGB in [0, 1].
    """
    xp = library(image)
    along_x, along_y = (
        _SMOOTHNESS * (xp.exp(-squared / (2 * _COLOUR_SCALE**2)) + _MIN_AFFINITY)
        for squared in ((xp.diff(image, axis=axis) ** 2).sum(-1) for axis in (-2, -3))
    )
    return along_x, along_y


def edge_weight(field: Array, axis: int) -> Array:
    """Huber weights (IRLS) of the steps of a field (h, w, 2) along an axis: below 1 at edges."""
    xp = library(field)
    step = xp.diff(field, axis=axis)
    weight: Array = _HUBER_SCALE / xp.hypot(step[..., 0], step[..., 1]).clip(_HUBER_SCALE, None)
    return weight


def diffuse(weight: Array, target: Array, along_x: Array, along_y: Array, start: Array) -> Array:
    """Minimise sum weight u² - 2 target u + affinity |step of u|².

    By conjugate gradients with a Jacobi preconditioner.

    Args:
        weight: (h, w) of the evidence.
        target: (h, w, 2) weighted values.
        along_x: (h, w - 1) affinity of neighbours.
        along_y: (h - 1, w).
        start: (h, w, 2) the field u to start from.
    """
    if isinstance(weight, Tensor):
        of_tensors: Array = _diffuse_tensors(weight, target, along_x, along_y, start)
        return of_tensors
    # Components first: NumPy is slow along short axes.
    solution, residual = (np.stack((part[..., 0], part[..., 1])) for part in (start, target))
    diagonal = weight + 0
    diagonal[:, :-1] += along_x
    diagonal[:, 1:] += along_x
    diagonal[:-1] += along_y
    diagonal[1:] += along_y
    scale = np.reciprocal(diagonal.clip(1e-12, None))
    residual -= _apply(solution, weight, along_x, along_y)
    direction = preconditioned = scale * residual
    energy = _products(residual, preconditioned)
    for _ in range(_ITERATIONS):
        image = _apply(direction, weight, along_x, along_y)
        step = energy / _products(direction, image).clip(1e-20, None)
        solution += step * direction
        residual -= step * image
        preconditioned = scale * residual
        previous, energy = energy, _products(residual, preconditioned)
        direction = preconditioned + energy / previous.clip(1e-20, None) * direction
    return np.stack((solution[0], solution[1]), axis=-1)


def _products(first: Array, second: Array) -> Array:
    """Inner products (2, 1, 1) of the components of two fields (2, h, w)."""
    products: Array = np.einsum("cyx,cyx->c", first, second)
    return products[:, None, None]


def _apply(u: Array, weight: Array, along_x: Array, along_y: Array) -> Array:
    """Multiply the components of `u` (2, h, w) by the matrix of the normal equations."""
    result = u * weight
    step_x, step_y = np.diff(u, axis=-1) * along_x, np.diff(u, axis=-2) * along_y
    result[..., 1:] += step_x
    result[..., :-1] -= step_x
    result[..., 1:, :] += step_y
    result[..., :-1, :] -= step_y
    return result


def _diffuse_tensors(
    weight: Tensor, target: Tensor, along_x: Tensor, along_y: Tensor, start: Tensor
) -> Tensor:
    """`diffuse` for a batch, with few operations: their number matters on a GPU."""
    links = links_between(torch.stack((F.pad(along_x, (0, 1)), F.pad(along_y, (0, 0, 0, 1))), 1))
    diagonal = weight[:, None] + links.sum((2, 3))
    scale = diagonal.clamp(min=1e-12).reciprocal()
    start, target = start.movedim(-1, 1), target.movedim(-1, 1)
    around, direction = with_neighbours(start)

    def image_of_direction() -> Tensor:  # `around` sees what is written to it
        return diagonal * direction - (around * links).sum((2, 3))

    solution = start.clone()
    residual = target - image_of_direction()
    preconditioned = scale * residual
    direction.copy_(preconditioned)
    energy = (residual * preconditioned).sum((2, 3), keepdim=True)
    for _ in range(_ITERATIONS):
        image = image_of_direction()
        step = energy / (direction * image).sum((2, 3), keepdim=True).clamp(min=1e-20)
        solution.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        preconditioned = scale * residual
        previous, energy = energy, (residual * preconditioned).sum((2, 3), keepdim=True)
        share = energy / previous.clamp(min=1e-20)
        torch.addcmul(preconditioned, share, direction, out=direction)
    return solution.movedim(1, -1)
