"""Clips of a smooth texture that moves along any path, sampled bicubically at exact positions."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from data.time_maps import scan_time
from models.measurement.arrays import Array
from tests.helpers.moving_texture import smooth_texture

_MARGIN = 160  # largest possible motion in pixels

Position = Callable[[Array], tuple[Array, Array]]
"""Displacement (dx, dy) in px at times in frame intervals."""


def uniform(dx: float, dy: float) -> Position:
    """A motion by so many px per frame interval."""
    return lambda time: (dx * time, dy * time)


def accelerated(dx: float, change: float) -> Position:
    """A motion along x of velocity `dx` at time 1, which grows by `change` per frame interval."""
    return lambda time: (dx * (time - 1) + change / 2 * (time - 1) ** 2, 0 * time)


class MovingClip:
    """Consecutive pairs without a gap; their readout fills `ratio` of a frame interval."""

    def __init__(
        self,
        position: Position,
        size: tuple[int, int] = (96, 128),
        *,
        seed: int = 0,
        ratio: float = 1,
    ) -> None:
        """Describe the clip; size is (H, W)."""
        self.position, self.size = position, size
        self.scan = (scan_time(size[0]) - 0.5) * ratio + 0.5
        shape = (size[0] + 2 * _MARGIN, size[1] + 2 * _MARGIN)
        self._texture = smooth_texture(shape, seed=seed)

    def frame(self, time: float) -> Tensor:
        """(3, H, W) at a time in frame intervals."""
        return self._expose(np.full(self.size[0], time, np.float32))

    def pair(self, number: int) -> Tensor:
        """(2, 3, H, W) t2b and b2t of a pair."""
        scan = self.scan.numpy().astype(np.float32)
        return torch.stack((self._expose(number + scan), self._expose(number + 1 - scan)))

    def _expose(self, times: Array) -> Tensor:
        rows, columns = np.mgrid[: self.size[0], : self.size[1]].astype(np.float32)
        dx, dy = self.position(times[:, None])
        x, y = columns + _MARGIN - dx, rows + _MARGIN - dy
        sampled = cv2.remap(
            self._texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC
        )
        return torch.from_numpy(np.clip(sampled, 0, 1)).permute(2, 0, 1)
