"""Types of NumPy arrays. Vectors (dx, dy) come last and are in pixels, unless stated otherwise."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Luma = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

Floats = TypeVar("Floats", Array, Doubles)


def library(values: Any) -> Any:
    """The library of these values, NumPy or PyTorch; both have functions of the same names."""
    return torch if isinstance(values, Tensor) else np


def single(number: Any) -> Any:
    """A number in single precision, which does not widen arrays; tensors are of it already."""
    return number if isinstance(number, Tensor) else np.float32(number)
