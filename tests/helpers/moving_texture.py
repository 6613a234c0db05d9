"""Captures of a smooth texture in uniform motion, sampled bicubically at exact positions."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from models.measurement.arrays import Array
from models.measurement.scan import Scan

MARGIN = 48
"""Largest possible motion in pixels."""


def smooth_texture(size: tuple[int, int], *, seed: int = 0) -> Array:
    """(H, W, 3) blurred random colours from 0 to 1."""
    noise = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


class Pan:
    """A texture that moves by `velocity` px per readout and is undisplaced at t = 1/2."""

    def __init__(
        self,
        velocity: Sequence[float],
        size: tuple[int, int],
        *,
        scan: Scan | None = None,
        parallax: Sequence[float] = (0.0, 0.0),
    ) -> None:
        """Describe the capture.

        Args:
            velocity: (dx, dy).
            size: (H, W).
            scan: of t2b; by default the rows fill the readout.
            parallax: (dx, dy) from t2b to b2t.
        """
        self.velocity, self.size, self.parallax = velocity, size, parallax
        self.scan = scan or Scan.of(None, size[0])
        self._texture = smooth_texture((size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))

    def frame(self, t: float) -> Array:
        """(H, W, 3) at time `t`, seen from between the cameras."""
        return self._expose(np.full(self.size[0], t, np.float32), 0)

    def views(self) -> tuple[Array, Array]:
        """The images t2b and b2t, (H, W, 3) each."""
        rows = np.arange(self.size[0], dtype=np.float32)
        scans = self.scan, self.scan.reversed
        first, second = (
            self._expose(scan.at(rows), side) for scan, side in zip(scans, (-0.5, 0.5), strict=True)
        )
        return first, second

    def pair(self) -> Tensor:
        """The images as (2, 3, H, W)."""
        return torch.from_numpy(np.stack(self.views())).permute(0, 3, 1, 2)

    def _expose(self, instants: Array, side: float) -> Array:
        rows, columns = np.mgrid[: self.size[0], : self.size[1]].astype(np.float32)
        moved = instants[:, None] - 0.5
        x, y = (
            place + MARGIN - step * moved - side * shift
            for place, step, shift in zip(
                (columns, rows), self.velocity, self.parallax, strict=True
            )
        )
        sampled = cv2.remap(
            self._texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC
        )
        return np.clip(sampled, 0, 1)
