"""Types of NumPy arrays. Vectors (dx, dy) come last and are in pixels, unless stated otherwise."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Luma = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

Floats = TypeVar("Floats", Array, Doubles)
