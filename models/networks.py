"""Correction networks by the names in option files and weight files; needs no PyTorch.

To add one, write a `models.parts.network.CorrectionNetwork` in a file of its own and add a line to
`NETWORKS` (docs/EXTENDING.md).
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from models.parts.settings import frame_instants

if TYPE_CHECKING:
    from models.parts.network import CorrectionNetwork

NETWORKS: dict[str, str] = {
    "generator": "models.generator:Generator",
    "ifed": "models.ifed:IFED",
    "refiner": "models.refiner.network:Refiner",
    "selfdrsc_plusplus": "models.plusplus.network:SelfDRSCPlusPlus",
}
"""Class of each network, "module:name", by its `net_type`."""

FIXED_INSTANTS = frozenset({"ifed"})
"""Networks that make frames at `fixed_instants` only, and are trained on true frames there."""


def network_class(net_type: str) -> "type[CorrectionNetwork]":
    """Import the class of a network.

    Raises:
        KeyError: there is no such network.
    """
    network: type[CorrectionNetwork] = resolve_name(NETWORKS[net_type])
    return network


def fixed_instants(num_frames: int) -> tuple[float, ...]:
    """Instants of a network of `FIXED_INSTANTS`: evenly spaced from 0 to 1; one frame is at 0.5."""
    return (0.5,) if num_frames == 1 else frame_instants(num_frames)


def memory_factor(num_frames: int) -> float:
    """Memory of a pass or a training step, relative to that of three frames; not below 1.

    Fitted to passes of 960x540 on a CPU: 0.26, 0.48, 0.70 and 1.10 GB for 1, 3, 5 and 9 frames.
    """
    return max(1.0, 0.35 + 0.65 * num_frames / 3)
