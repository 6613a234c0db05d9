"""Features that OpenCV matches on the CPU for captures on a device, where flow fails.

Only here does the motion estimate wait for the device: for masks of where flow fails; where it
does, for grey 8-bit views; and if features match, for the motion known so far. Objects to try go
back to the device.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.classical.field import MotionField
from models.classical.lost_objects import match_features_within, propose_objects
from models.flow.dis import single_threaded_opencv
from models.measurement.arrays import Array
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan

_Matched = tuple[Array, Array]


@contextmanager
def match_features_of(
    views: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor]
) -> Iterator["Matching"]:
    """Match features of B captures on the CPU, while this block gives the device work.

    Args:
        views: grey levels (B, H, W) of t2b and b2t, whole numbers.
        masks: (B, H, W) where features are searched in them.
    """
    chosen = _to_host(torch.stack(masks, 1).byte())
    if not chosen.any():
        yield Matching([])
        return
    given = _to_host(torch.stack(views, 1).byte())
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # An iterator: it is waited for where its results are read.
        yield Matching(pool.map(match_features_within, given, chosen))


class Matching:
    """Features of B captures that are being matched."""

    def __init__(self, found: Iterable[_Matched]) -> None:
        """Keep what `match_features_within` finds in each capture, or nothing at all."""
        self._found = found

    def propose_objects(self, field: MotionField) -> list[tuple[Tensor, Tensor]]:
        """Objects to try in the motion fields of the captures, as `propose_objects` finds them.

        Velocities (B, h, w, 2), and cells (B, h, w) in which each may show. Captures that have
        fewer objects than others are given some that show nowhere.
        """
        matched = list(self._found)
        if not any(len(places) for places, _ in matched):
            return []
        fields = _fields_on_host(field)
        found = [list(propose_objects(*given)) for given in zip(matched, fields, strict=True)]
        size = field.velocity.shape[1:3]
        nothing = np.zeros((*size, 2), np.float32), np.zeros(size, bool)
        count = max(map(len, found))
        padded = [objects + [nothing] * (count - len(objects)) for objects in found]
        to_try: list[tuple[Tensor, Tensor]] = []
        for objects in zip(*padded, strict=True):
            velocities, around = (np.stack(part) for part in zip(*objects, strict=True))
            to_try.append((_to_device(velocities, field), _to_device(around, field)))
        return to_try


def _fields_on_host(field: MotionField) -> list[MotionField]:
    """The field of each capture as arrays, as far as `propose_objects` reads it."""
    velocities = _to_host(field.velocity)
    parallax: Any = field.parallax
    scan: Any = field.scan
    numbers = torch.cat(
        (
            parallax.middle.flatten(1),
            parallax.change.flatten(1),
            *(part.flatten(1) for part in scan),
        ),
        dim=1,
    )
    return [
        replace(
            field,
            velocity=velocity,
            parallax=Parallax(known[:2], known[2:4], parallax.width),
            scan=Scan(float(known[4]), float(known[5])),
        )
        for velocity, known in zip(velocities, _to_host(numbers), strict=True)
    ]


def _to_host(values: Any) -> Any:
    """An array of the values of a tensor, waited for."""
    return values.cpu().numpy()


def _to_device(values: Any, field: Any) -> Tensor:
    """A tensor on the device of the field."""
    return torch.from_numpy(values).to(field.velocity.device, non_blocking=True)
