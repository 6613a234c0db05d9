"""Fields that follow scattered evidence and are smooth within surfaces, by least squares.

Arrays are NumPy float32 over a grid of h x w cells.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_SMOOTHNESS = 0.02  # weight of a step between cells of one colour; evidence has its gap squared
_LEAST_AFFINITY = 0.02  # share of it that is left between any colours
_COLOUR_RANGE = 0.06  # standard deviation of colours, in [0, 1], within a surface
_EDGE_STEP = 1.0  # larger steps between cells count linearly
_ITERATIONS = 40


def affinity(image: Array) -> tuple[Array, Array]:
    """How likely neighbours belong to one surface: along x (h, w - 1) and along y (h - 1, w).

    Args:
        image: (h, w, 3) RGB in [0, 1].
    """
    across, down = (
        _SMOOTHNESS * (np.exp(-squared / (2 * _COLOUR_RANGE**2)) + _LEAST_AFFINITY)
        for squared in ((np.diff(image, axis=axis) ** 2).sum(-1) for axis in (1, 0))
    )
    return across, down


def edge_weight(field: Array, axis: int) -> Array:
    """Robust weight of the steps of a field (h, w, 2) along an axis: less than 1 across edges."""
    step = np.diff(field, axis=axis)
    weight: Array = _EDGE_STEP / np.maximum(np.hypot(step[..., 0], step[..., 1]), _EDGE_STEP)
    return weight


def diffuse(weight: Array, target: Array, along_x: Array, along_y: Array, start: Array) -> Array:
    """Minimise sum weight u^2 - 2 target u + affinity |step of u|^2 by conjugate gradients.

    Args:
        weight: (h, w) of the evidence.
        target: (h, w, 2) weighted values.
        along_x: (h, w - 1) affinity of neighbours.
        along_y: (h - 1, w).
        start: (h, w, 2) field to start from.

    Returns:
        The field u (h, w, 2).
    """
    # Components first: NumPy is slow along short axes.
    solution, residual = (np.moveaxis(part, -1, 0).copy() for part in (start, target))
    scale = np.reciprocal(np.maximum(_diagonal(weight, along_x, along_y), np.float32(1e-12)))
    residual -= _apply(solution, weight, along_x, along_y)
    direction = preconditioned = scale * residual
    energy = _products(residual, preconditioned)
    for _ in range(_ITERATIONS):
        image = _apply(direction, weight, along_x, along_y)
        step = energy / np.maximum(_products(direction, image), 1e-20)
        solution += step * direction
        residual -= step * image
        preconditioned = scale * residual
        previous, energy = energy, _products(residual, preconditioned)
        direction = preconditioned + energy / np.maximum(previous, 1e-20) * direction
    return np.ascontiguousarray(np.moveaxis(solution, 0, -1))


def _products(first: Array, second: Array) -> Array:
    """Inner products (2, 1, 1) of the components of two fields (2, h, w)."""
    products: Array = np.einsum("cyx,cyx->c", first, second)[:, None, None]
    return products


def _apply(u: Array, weight: Array, along_x: Array, along_y: Array) -> Array:
    """The matrix of the normal equations times the components of `u` (2, h, w)."""
    result = u * weight
    across = np.diff(u, axis=2) * along_x
    down = np.diff(u, axis=1) * along_y
    result[:, :, 1:] += across
    result[:, :, :-1] -= across
    result[:, 1:] += down
    result[:, :-1] -= down
    return result


def _diagonal(weight: Array, along_x: Array, along_y: Array) -> Array:
    diagonal = weight.copy()
    diagonal[:, :-1] += along_x
    diagonal[:, 1:] += along_x
    diagonal[:-1] += along_y
    diagonal[1:] += along_y
    return diagonal
