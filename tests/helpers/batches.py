"""Arrays of one capture as tensors of a batch of one, to compare both forms of a formula."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.classical.field import MotionField
from models.measurement.scan import Scan


def batch(values: Any) -> Any:
    """The same as tensors with a leading 1: an array, or a tuple or named tuple of them.

    Numbers become (1, 1, 1).
    """
    if isinstance(values, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(values))[None]
    if isinstance(values, tuple):
        parts = map(batch, values)
        return type(values)(*parts) if hasattr(values, "_fields") else tuple(parts)
    return torch.full((1, 1, 1), float(values))


def batch_field(field: MotionField) -> MotionField:
    """A motion field of arrays as that of a batch."""
    parallax = field.parallax
    shifts = (torch.from_numpy(part).reshape(1, 1, 1, 2) for part in parallax[:2])
    parts: Any = {
        name: batch(getattr(field, name))
        for name in ("velocity", "camera", "deviation", "measurements", "readout", "noise")
    }
    scan = Scan(*batch(tuple(field.scan)))
    moved: Any = parallax._replace(**dict(zip(("middle", "change"), shifts, strict=True)))
    return replace(field, **parts, scan=scan, parallax=moved)
