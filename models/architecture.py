"""The architecture that weights belong to, and loading networks from our and released files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.networks import NETWORKS, network_class
from models.parts.network import CorrectionNetwork
from models.parts.settings import Channels
from models.weight_files import (
    expect_shapes,
    find_state,
    load_strictly,
    read_architecture,
    read_content,
    stated_choice,
)
from utils.errors import InputError

_LIMITS = {"n_feats": (1, 1024), "width": (1e-3, 8), "num_frames": (1, 1000)}
_RELEASED_CHANNELS = 192  # of flow block 0 at width 1
_IFED_MODEL = "IFED"  # at the key "model" of IFED's files
_IFED_PREFIX = "model."  # of every name in the files of IFED, after "module."
_PLUSPLUS_CHANNELS = 20  # of pyramid level 1 at width 1


@dataclass(frozen=True)
class Architecture:
    """Kind, size and channel order of a correction network."""

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
        """Build a network with untrained weights in channels-last layout.

        That is the fastest layout for convolutions on a CPU, and in half precision on a GPU.
        """
        network = network_class(self.net_type)(
            self.num_frames, self.n_feats, self.width, channels=self.channels
        )
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_network(path: str | Path, device: torch.device | str = "cpu") -> CorrectionNetwork:
    """Load a correction network from our weights, our training checkpoints, or released files.

    The architecture of files that do not state it, such as the released ones, is inferred from the
    tensors' names and shapes, and their channel order is BGR as in the released ones. A file is
    IFED's if it says so, if all names start with "model.", or if T is not three.

    Returns:
        The network in evaluation mode on `device`.

    Raises:
        InputError: the file is missing, truncated, of another network or size, or would execute
            code.
    """
    content = read_content(path)
    state = find_state(content, path)
    architecture = _stated_architecture(Path(path))
    if architecture is None:
        wrapped = all(name.startswith(_IFED_PREFIX) for name in state)
        if wrapped:
            state = {name.removeprefix(_IFED_PREFIX): value for name, value in state.items()}
        says_so = content.get("model") == _IFED_MODEL
        architecture = _inferred_architecture(state, path, is_ifed=wrapped or says_so)
    with torch.device("meta"):  # shapes without memory: a small file may state a huge network
        expect_shapes(architecture.build(), state, path)
    network = architecture.build()
    load_strictly(network, state, path)
    return network.to(device).eval()


def expect_architecture(
    found: Mapping[str, Any], expected: Mapping[str, Any], path: str | Path
) -> None:
    """Check that the weights of `path` fit the network that the options describe.

    Args:
        found: architecture that the file states; files of earlier versions lack `net_type`.
        expected: architecture that the options describe, as a dictionary of `Architecture`.
        path: the file.

    Raises:
        InputError: they differ in kind, size or channel order.
    """
    stated = {"net_type": "generator"} | dict(found)
    others = {name: got for name, got in stated.items() if got != expected.get(name)}
    if not others:
        return
    name, got = next(iter(others.items()))
    cure = "choose other weights or change the options of the network"
    if stated["net_type"] in NETWORKS and expected.get("net_type") in NETWORKS:
        settings = " ".join(f"netG.{name}={got}" for name, got in others.items())
        cure = f"choose other weights, or --set {settings}"
    raise InputError(
        f"{path}: weights of another network: expected {name} {expected.get(name)}, got {got}; "
        f"{cure}"
    )


def _stated_architecture(path: Path) -> Architecture | None:
    """The architecture that a file of ours states; None for other files."""
    stated = {"net_type": "generator"} | read_architecture(path)
    if "n_feats" not in stated:
        return None
    channels: Channels = stated_choice(stated, "channels", ("rgb", "bgr"), path)
    net_type = stated_choice(stated, "net_type", tuple(NETWORKS), path)
    try:
        n_feats, num_frames = int(stated["n_feats"]), int(stated["num_frames"])
        made = Architecture(n_feats, float(stated["width"]), num_frames, channels, net_type)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path}: damaged description of its network: {error}") from error
    return _within_limits(made, path)


def _inferred_architecture(
    state: Mapping[str, Tensor], path: str | Path, *, is_ifed: bool
) -> Architecture:
    """Infer network and size from the shapes of the first layers."""
    other = _other_network(state, path)
    if other is not None:
        return _within_limits(other, path)
    first, context = "flow_net.block0.conv0.0.0.weight", "ife_net.conv0.conv1.0.weight"
    flows = "flow_net.conv0.0.weight"
    if any(name not in state or state[name].ndim != 4 for name in (first, context, flows)):
        raise InputError(
            f"{path}: not a generator of this method: expected tensors such as '{first}', got "
            f"{', '.join(sorted(state)[:3])}, ..."
        )
    width = state[first].shape[0] / _RELEASED_CHANNELS
    n_feats = max(1, round(state[context].shape[0] / width)) if width else 0
    num_frames = max(1, state[flows].shape[0] // 4)  # (dx, dy) for each frame and image
    net_type = "ifed" if is_ifed or num_frames != 3 else "generator"
    return _within_limits(Architecture(n_feats, width, num_frames, "bgr", net_type), path)


def _within_limits(architecture: Architecture, path: str | Path) -> Architecture:
    for name, (low, high) in _LIMITS.items():
        value = getattr(architecture, name)
        if not low <= value <= high:
            raise InputError(
                f"{path}: damaged description of its network: {name}: expected {low} to {high}, "
                f"got {value:g}"
            )
    return architecture


def _other_network(state: Mapping[str, Tensor], path: str | Path) -> Architecture | None:
    """Recognise a file of SelfDRSC++ by its tensors; None for other networks.

    Raises:
        InputError: the file holds an interpolator.
    """
    if "contextnet.conv1.conv1.0.weight" in state:
        raise InputError(
            f"{path}: expected the weights of a correction network, got those of an interpolator, "
            "which go to path.pretrained_interpolator"
        )
    pyramid = state.get("encoder.pyramid1.0.0.bias")
    if pyramid is None or "feat_encoder.conv1.weight" not in state:
        return None
    return Architecture(32, len(pyramid) / _PLUSPLUS_CHANNELS, 3, "bgr", "selfdrsc_plusplus")
