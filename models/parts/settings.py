"""Inference settings and constants shared by options and networks; needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SIZE_MULTIPLE = 32
"""Image sides inside the correction networks are multiples of this: five halvings."""

FLOW_SIZE_MULTIPLE = 64
"""Image sides inside PWC-Net are multiples of this: six halvings."""

Channels = Literal["rgb", "bgr"]
"""Channel order that a network's weights expect; inputs and outputs are always RGB."""

InitialWeights = Literal["kaiming", "pytorch"]
"""Distribution of a network's initial weights."""

Precision = Literal["float32", "bfloat16", "auto"]
"""\"auto\" selects bfloat16 if the hardware supports it."""

Blending = Literal["choose", "average"]
"""How both warped views become a frame: "choose" takes the one exposed clearly nearer in time where
they disagree, so that no frame shows both, half transparent, near t = 0 and 1; "average" weights
them everywhere."""

MotionEstimate = Literal["auto", "opencv", "torch"]
"""What estimates classical motion: "opencv" on the CPU, "torch" on the device of the images, or
"auto": "torch" on a CUDA device, else "opencv"."""

TileSize = Literal["auto"] | int | None
"""Pixels that a tile keeps along each side; "auto": tiles only if memory is short; None: never."""


_MAX_LISTED = 9


@dataclass(frozen=True)
class InferenceSettings:
    """Settings of a network at inference.

    Attributes:
        precision: precision of the convolutions.
        tile: tile size.
        blending: how both views are blended; a refiner's only.
        motion_estimate: what estimates the motion that it starts from; a refiner's only.
    """

    precision: Precision = "float32"
    tile: TileSize = "auto"
    blending: Blending = "choose"
    motion_estimate: MotionEstimate = "auto"


def frame_instants(count: int) -> tuple[float, ...]:
    """`count` evenly spaced instants from 0 to 1.

    Raises:
        ValueError: `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"expected at least 2 frames, got {count}")
    return tuple(index / (count - 1) for index in range(count))


def list_instants(times: Sequence[float]) -> str:
    """Instants for a message: "0, 0.125, 1"; of many the first ones."""
    shown = ", ".join(f"{t:.6g}" for t in times[:_MAX_LISTED])
    return shown + (", ..." if len(times) > _MAX_LISTED else "")
