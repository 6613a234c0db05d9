"""Captures of a smooth texture that moves uniformly, by bicubic sampling at the exact places."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

MARGIN = 48
"""How far in pixels anything may move."""


def smooth_texture(size: tuple[int, int], *, seed: int = 0) -> Array:
    """(H, W, 3) random colours without steps, from 0 to 1."""
    noise = np.random.default_rng(seed).random((*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


class Pan:
    """A texture that moves by `velocity` px over the readout, in its own place at t = 1/2."""

    def __init__(
        self,
        velocity: Sequence[float],
        size: tuple[int, int],
        *,
        scan: tuple[float, float] | None = None,
        parallax: Sequence[float] = (0.0, 0.0),
    ) -> None:
        """Describe the capture.

        Args:
            velocity: (dx, dy).
            size: (H, W).
            scan: exposure instant of the first t2b row, and the step to the next; by default the
                readout has just these rows.
            parallax: (dx, dy) by which b2t sees all displaced against t2b.
        """
        self.velocity, self.size, self.parallax = velocity, size, parallax
        self.scan = scan or (0.0, 1 / (size[0] - 1))
        self._texture = smooth_texture((size[0] + 2 * MARGIN, size[1] + 2 * MARGIN))

    def frame(self, t: float) -> Array:
        """(H, W, 3) seen from between the cameras at instant `t`."""
        return self._expose(np.full(self.size[0], t), 0)

    def views(self) -> tuple[Array, Array]:
        """The images t2b and b2t, (H, W, 3) each."""
        exposed = self.scan[0] + self.scan[1] * np.arange(self.size[0])
        return self._expose(exposed, -0.5), self._expose(1 - exposed, 0.5)

    def _expose(self, instants: npt.NDArray[np.float64], side: float) -> Array:
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
