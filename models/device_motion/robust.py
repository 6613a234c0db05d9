"""Robust and small least squares for batches, without waiting for the device."""

import torch
from torch import Tensor

from models.measurement.tensor_sampling import masked_median

_RIDGE = 1e-9  # of normal equations whose diagonal is 1
_MAD_TO_STD = 1.4826  # standard deviation over median absolute value of a normal distribution


def solve_positive(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite equations (..., K, K) for right sides (..., K, L)."""
    factor = torch.linalg.cholesky_ex(matrix, check_errors=False).L
    return torch.cholesky_solve(right, factor)


def invert_semidefinite(matrix: Tensor) -> Tensor:
    """Inverse of symmetric (..., K, K); rows and columns of zeros stay zero.

    Like a pseudoinverse of the scaled matrix, up to a small ridge.
    """
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    scale = torch.where(diagonal > 0, diagonal, 0).rsqrt().nan_to_num(posinf=0.0)
    scaled = scale[..., None] * matrix * scale[..., None, :]
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    missing = torch.diag_embed((scale == 0).to(matrix.dtype))
    inverse = solve_positive(scaled + missing + _RIDGE * unit, unit.expand_as(matrix))
    return scale[..., None] * inverse * scale[..., None, :]


def masked_std(errors: Tensor, mask: Tensor) -> Tensor:
    """`models.measurement.statistics.robust_std` over the last axis, of the errors in a mask."""
    return _MAD_TO_STD * masked_median(errors.abs(), mask)
