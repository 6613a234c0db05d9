"""Arrays of the motion estimate. Vectors (dx, dy) come last and are in pixels, if not stated.

Formulas take NumPy arrays of one capture, (H, W, ...), or tensors of a batch, (B, H, W, ...), for
which the types of the arrays stand, too. Numbers of a capture, such as times, are tensors (B, 1, 1)
then.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Luma = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

Floats = TypeVar("Floats", Array, Doubles, Tensor)
Result = TypeVar("Result")


def library(values: Any) -> Any:
    """The library of these values, NumPy or PyTorch; both have functions of the same names."""
    return torch if isinstance(values, Tensor) else np


def single(number: Any) -> Any:
    """A number in single precision, which does not widen arrays; tensors are of it already."""
    return number if isinstance(number, Tensor) else np.float32(number)


def same_kind(values: Array, like: Any) -> Any:
    """An array as it is, or as a tensor on the device of `like` if that is a tensor."""
    if isinstance(like, Tensor):
        return torch.from_numpy(values).to(like.device, non_blocking=True)
    return values


def to_array(values: Any) -> Array:
    """The array of a batch's first capture, for which the device is waited; arrays as they are."""
    if isinstance(values, Tensor):
        array: Array = np.ascontiguousarray(values[0].cpu().numpy())
        return array
    given: Array = values
    return given


def read_numbers(*numbers: Any) -> list[float]:
    """Numbers of one capture on the CPU; for those of tensors the device is waited once."""
    if not isinstance(numbers[0], Tensor):
        return list(map(float, numbers))
    found: list[float] = torch.stack([part.reshape(()).double() for part in numbers]).tolist()
    return found


def every_nth(values: Any, step: int) -> Any:
    """Every `step`-th row and column of an array (H, W, ...) or of tensors (B, H, W, ...)."""
    if isinstance(values, Tensor):
        return values[:, ::step, ::step]
    return values[::step, ::step]


def map_views(function: Callable[..., Result], *views: Sequence[Any]) -> tuple[Result, Result]:
    """Results of a function of both views: on the CPU's cores, or for tensors one by one.

    A device works in parallel by itself.
    """
    if isinstance(views[0][0], Tensor):
        first, second = map(function, *views)
        return first, second
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(function, *views)
    return first, second
