"""What inference can be set to, and the sizes that options and networks share; needs no PyTorch."""

from dataclasses import dataclass
from typing import Literal

SIZE_MULTIPLE = 32
"""Image sides inside the correction networks are multiples of this: five halvings."""

FLOW_SIZE_MULTIPLE = 64
"""Image sides inside PWC-Net are multiples of this: six halvings."""

Channels = Literal["rgb", "bgr"]
"""Channel order that a network's weights expect; inputs and outputs are RGB in any case."""

Precision = Literal["float32", "bfloat16", "auto"]
"""\"auto\" takes bfloat16 where the hardware computes with it."""

TileSize = Literal["auto"] | int | None
"""Pixels that a tile keeps along each side; "auto" tiles only what does not fit; None never."""


@dataclass(frozen=True)
class InferenceSettings:
    """How a network runs.

    Attributes:
        precision: of its convolutions.
        tile: whether it works in tiles.
    """

    precision: Precision = "float32"
    tile: TileSize = "auto"


def frame_instants(count: int) -> tuple[float, ...]:
    """`count` instants evenly spaced over the readout, from 0 to 1.

    Raises:
        ValueError: `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"expected at least 2 frames, got {count}")
    return tuple(index / (count - 1) for index in range(count))
