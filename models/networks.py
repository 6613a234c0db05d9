"""Correction networks by the names in option files and weight files; needs no PyTorch.

To add one, write a `models.parts.network.CorrectionNetwork` in a file of its own and add a line to
`NETWORKS` (docs/EXTENDING.md).
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.parts.network import CorrectionNetwork

NETWORKS: dict[str, str] = {
    "generator": "models.generator:Generator",
    "refiner": "models.refiner.network:Refiner",
    "selfdrsc_plusplus": "models.plusplus.network:SelfDRSCPlusPlus",
}
"""Class of each network, "module:name", by its `net_type`."""


def network_class(net_type: str) -> "type[CorrectionNetwork]":
    """Import the class of a network.

    Raises:
        KeyError: there is no such network.
    """
    network: type[CorrectionNetwork] = resolve_name(NETWORKS[net_type])
    return network
