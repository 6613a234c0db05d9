"""Which network weights are for, and loading it: from our files, and from released ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.networks import NETWORKS, network_class
from models.parts.network import CorrectionNetwork
from models.parts.settings import Channels
from models.weight_files import load_strictly, read_architecture, read_state
from utils.errors import InputError

_RELEASED_BLOCK = 192  # channels of flow block 0 at width 1


@dataclass(frozen=True)
class Architecture:
    """Which network weights are for."""

    n_feats: int
    width: float
    num_frames: int
    channels: Channels
    net_type: str = "generator"

    @classmethod
    def of(cls, network: CorrectionNetwork) -> "Architecture":
        """The architecture of a network."""
        return cls(
            network.n_feats,
            network.width,
            network.num_frames,
            network.channels,
            network.net_type,
        )

    def build(self) -> CorrectionNetwork:
        """A network of this architecture with untrained weights, in channels-last layout.

        In that layout convolutions on a CPU, and in half precision on a GPU, are fastest.
        """
        network = network_class(self.net_type)(
            self.num_frames, self.n_feats, self.width, channels=self.channels
        )
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_network(path: str | Path, device: torch.device | str = "cpu") -> CorrectionNetwork:
    """Load a correction network from our weights, our training checkpoints, or released files.

    What a file of ours does not say (released ones say nothing) is read off the shapes; files that
    do not state their channel order expect BGR, as the released ones do.

    Returns:
        The network in evaluation mode on `device`.

    Raises:
        InputError: the file is missing, truncated, of another network or size, or would execute
            code.
    """
    state = read_state(path)
    architecture = _stated_architecture(Path(path)) or _inferred_architecture(state, path)
    network = architecture.build()
    load_strictly(network, state, path)
    return network.to(device).eval()


def expect_architecture(
    found: Mapping[str, Any], expected: Mapping[str, Any], path: str | Path
) -> None:
    """Check that weights of `path` fit the network that the options describe.

    Args:
        found: what the file says of its network; files of earlier versions leave `net_type` out.
        expected: the same of the network in question, as a dictionary of `Architecture`.
        path: the file.

    Raises:
        InputError: they differ in kind, size or channel order.
    """
    for name, got in ({"net_type": "generator"} | dict(found)).items():
        if got != expected.get(name):
            raise InputError(
                f"{path}: weights of another network: expected {name} {expected.get(name)}, got "
                f"{got}; choose other weights or change the options of the network"
            )


def _stated_architecture(path: Path) -> Architecture | None:
    """What a file of ours says about itself; None for files of others."""
    stated = read_architecture(path)
    try:
        return _parse_architecture(stated) if "n_feats" in stated else None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged description of its generator: {error}") from error


def _parse_architecture(stated: Mapping[str, Any]) -> Architecture:
    channels = stated["channels"]
    if channels not in ("rgb", "bgr"):
        raise ValueError(f"channels {channels!r}")
    net_type = stated.get("net_type", "generator")
    if net_type not in NETWORKS:
        raise ValueError(f"net_type {net_type!r}")
    return Architecture(
        n_feats=int(stated["n_feats"]),
        width=float(stated["width"]),
        num_frames=int(stated["num_frames"]),
        channels=channels,
        net_type=net_type,
    )


def _inferred_architecture(state: Mapping[str, Tensor], path: str | Path) -> Architecture:
    """Read a generator's size off the shapes of its first layers."""
    first, context = "flow_net.block0.conv0.0.0.weight", "ife_net.conv0.conv1.0.weight"
    if any(name not in state or state[name].ndim != 4 for name in (first, context)):
        raise InputError(
            f"{path}: not a generator of this method: expected tensors such as '{first}', got "
            f"{', '.join(sorted(state)[:3])}, ..."
        )
    block, inputs = state[first].shape[:2]
    width = block / _RELEASED_BLOCK
    n_feats = max(1, round(state[context].shape[0] / width))
    num_frames = max(1, (inputs - 6) // 2)  # two images and an offset map per frame and image
    return Architecture(n_feats, width, num_frames, "bgr")
