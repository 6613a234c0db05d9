"""Settings of simulated scenes, and what each may be; needs no PyTorch."""

import math
from dataclasses import dataclass

from utils.errors import InputError

MAX_TEXTURES = 10_000
"""Procedural textures, which all stay in memory."""

LIMITS = {
    "height": (2, math.inf),
    "width": (1, math.inf),
    "camera_motion": (0, math.inf),
    "object_motion": (0, math.inf),
    "acceleration": (0, math.inf),
    "camera_shake": (0, math.inf),
    "max_objects": (0, math.inf),
    "gamma": (1, 10),
    "view_difference": (0, 1),
}
"""Minimum and maximum of the settings that are single numbers."""

RANGE_LIMITS = {
    "strength": (0, 10),
    "exposure": (0, 1),
    "shot_noise": (0, 1),
    "read_noise": (0, 1),
}
"""Minimum and maximum of the settings that may be a range to draw from."""

MAX_READOUTS = 20
"""Longest clip: rotation and perspective grow with it, until the scene is seen edge on."""

Range = float | tuple[float, float]
"""One number, or a range (low, high) to draw from per scene."""


@dataclass(frozen=True)
class SceneSettings:
    """Distribution of the scenes to draw; a `Range` is drawn from per scene."""

    height: int = 540  # sensor rows, at least 2
    width: int = 960  # sensor columns
    # Longest translations over the readout at strength 1, in px: of the camera (rotation, zoom and
    # perspective are proportional), and of objects relative to the background.
    camera_motion: float = 60.0
    object_motion: float = 90.0
    acceleration: float = 12.0  # largest deviation of either from uniform translation, in px
    camera_shake: float = 0.0  # largest shift by a hand's shake at strength 1, in px
    max_objects: int = 4
    strength: Range = 1.0  # scales all motion, 0 to 10
    exposure: Range = 0.0  # exposure time of each row as a share of the readout, 0 to 1
    gamma: float = 2.2  # image values are light ** (1 / gamma), 1 to 10
    shot_noise: Range = 0.0  # standard deviation at white, as a share of white in light, 0 to 1
    read_noise: Range = 0.0  # standard deviation at black, likewise
    view_difference: float = 0.0  # largest difference of gains between t2b and b2t, 0 to 1
    parallax: tuple[float, float] = (0.0, 0.0)  # (x, y) px, content of b2t right and below t2b's

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a setting is out of range.
        """
        for name, (lowest, highest) in (LIMITS | RANGE_LIMITS).items():
            value = getattr(self, name)
            low, high = self.range_of(name)
            if not (lowest <= low <= high <= highest and high < math.inf):
                expected = f"at least {lowest}" if highest == math.inf else f"{lowest} to {highest}"
                either = ", or a range (low, high) of that" if name in RANGE_LIMITS else ""
                raise InputError(f"scene: {name} must be {expected}{either}, got {value}")
        if len(self.parallax) != 2 or not all(map(math.isfinite, self.parallax)):
            raise InputError(f"scene: parallax must be (x, y) in px, got {self.parallax}")

    def range_of(self, name: str) -> tuple[float, float]:
        """(low, high) of a setting; equal for a single number."""
        value = getattr(self, name)
        low, high = (value, value) if isinstance(value, (int, float)) else value
        return low, high
