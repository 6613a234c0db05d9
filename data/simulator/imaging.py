"""Imaging by the two cameras: exposure, noise, gains, parallax, transfer curve."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Imaging:
    """The cameras of a capture; ideal by default: equal, noiseless, without exposure time.

    Light is linear, 0 at black and 1 at white; image values are light ** (1 / gamma).
    """

    exposure: float = 0.0  # of each row as a share of the readout, centred on the row's instant
    gamma: float = 2.2
    shot_noise: float = 0.0  # standard deviation at white, in light; proportional to its root
    read_noise: float = 0.0  # standard deviation at any light, in light
    gains: tuple[RGB, RGB] = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))  # of light in t2b and b2t
    parallax: tuple[float, float] = (0.0, 0.0)  # (x, y) px, content of b2t right and below t2b's
    noise_seed: int = 0

    @property
    def is_ideal(self) -> bool:
        """Whether images are sharp, noiseless, of equal gain and without parallax."""
        return self == Imaging(gamma=self.gamma, noise_seed=self.noise_seed)

    @property
    def shifts(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(x, y) px by which content is displaced in t2b and in b2t."""
        x, y = self.parallax
        return (-x / 2, -y / 2), (x / 2, y / 2)

    def instants(self, middle: Tensor, count: int) -> Tensor:
        """Instants (count, ...) evenly spread over exposures centred on `middle` (...)."""
        shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5
        offsets = (self.exposure * shares).to(middle).reshape(-1, *([1] * middle.ndim))
        return middle + offsets

    def to_light(self, values: Tensor) -> Tensor:
        """Convert image values in [0, 1] to light."""
        return values**self.gamma

    def to_values(self, light: Tensor) -> Tensor:
        """Convert light to image values in [0, 1]; light above white is clipped."""
        return light.clamp(0, 1) ** (1 / self.gamma)

    def record(self, light: Tensor, *, corner: tuple[int, int] = (0, 0)) -> Tensor:
        """Apply gains, noise and transfer curve to the light of both sensors.

        Args:
            light: (2, 3, H, W) mean light during the exposures of t2b and b2t.
            corner: sensor row and column of the first pixel; part of the noise seed.

        Returns:
            (2, 3, H, W) image values in [0, 1].
        """
        light = light * light.new_tensor(self.gains)[:, :, None, None]
        if self.shot_noise or self.read_noise:
            seed = (self.noise_seed, *(position % 2**32 for position in corner))
            noise = np.random.default_rng(seed).standard_normal(tuple(light.shape), np.float32)
            deviation = (self.shot_noise**2 * light + self.read_noise**2).sqrt_()
            light = light + deviation * torch.from_numpy(noise).to(light)
        return self.to_values(light)
