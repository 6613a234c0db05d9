"""Checkpoints: generator weights, and everything that a training run needs to go on.

Weights alone are `.safetensors` files that say which generator they are for. A training checkpoint
is one `.pt` file of tensors and plain containers. Every file is replaced whole or left alone, and
reading never executes anything in it.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from data.files.images import replacing
from models.generator import Channels
from models.networks import CORRECTORS, Corrector, NetType
from models.weight_files import (
    find_state,
    load_strictly,
    read_architecture,
    read_content,
    read_state,
)
from utils.errors import InputError

_KIND = "dual-reversed-rs training"
_FORMAT = 1
_RELEASED_BLOCK = 192  # channels of flow block 0 at width 1


@dataclass(frozen=True)
class Architecture:
    """Which generator weights are for."""

    n_feats: int
    width: float
    num_frames: int
    channels: Channels
    net_type: NetType = "generator"

    @classmethod
    def of(cls, generator: Corrector) -> "Architecture":
        """The architecture of a generator."""
        return cls(
            generator.n_feats,
            generator.width,
            generator.num_frames,
            generator.channels,
            generator.net_type,
        )

    def build(self) -> Corrector:
        """A generator of this architecture with untrained weights."""
        network = CORRECTORS[self.net_type]
        return network(self.num_frames, self.n_feats, self.width, channels=self.channels)


@dataclass(frozen=True)
class TrainingState:
    """A training run between two steps.

    The number of finished steps is also the position of the sampler and of the learning-rate
    schedule: both are functions of it.

    Attributes:
        step: number of finished steps.
        architecture: which network this is, as a dictionary of `Architecture`.
        generator: the network's state dict; it need not be a generator.
        teacher: state dict of the frozen teacher, if the objective has one.
        optimizer: state dict of the optimiser.
        progress: counters, as a dictionary of `utils.training.step.Progress`.
        random: state of the random generators of every process (`utils.system.random_state`).
        options: the options of the run.
        versions: versions of what ran it.
    """

    step: int
    architecture: dict[str, Any]
    generator: dict[str, Tensor]
    teacher: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    progress: dict[str, Any]
    random: list[dict[str, Any]]
    options: dict[str, Any]
    versions: dict[str, str]


def save_weights(path: str | Path, generator: Corrector, *, half: bool = False) -> None:
    """Write a generator's weights as `.safetensors`.

    Args:
        path: the file, replaced whole.
        generator: whose weights.
        half: store as float16, in half the space.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    metadata = {name: str(value) for name, value in asdict(Architecture.of(generator)).items()}
    write_state(path, generator.state_dict(), metadata | {"kind": "generator"}, half=half)


def write_state(
    path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], *, half: bool
) -> None:
    """Write named tensors as `.safetensors`, with what is to be known of them.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()
    }
    _write(Path(path), to_safetensors(tensors, {**metadata, "format": str(_FORMAT)}))


def load_generator(path: str | Path, device: torch.device | str = "cpu") -> Corrector:
    """Load a generator from our weights, our training checkpoints, or released files.

    What a file of ours does not say (released ones say nothing) is read off the shapes; files that
    do not state their channel order expect BGR, as the released ones do.

    Returns:
        The generator in evaluation mode on `device`.

    Raises:
        InputError: the file is missing, truncated, of another network or size, or would execute
            code.
    """
    state = read_state(path)
    architecture = _stated_architecture(Path(path)) or _inferred_architecture(state, path)
    generator = architecture.build()
    load_strictly(generator, state, path)
    return generator.to(device).eval()


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


def save_training(folder: Path, state: TrainingState) -> Path:
    """Write `step_%08d.pt` into `folder` and return its path.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    path = folder / f"step_{state.step:08d}.pt"
    content = {"kind": _KIND, "format": _FORMAT}
    content |= {name: getattr(state, name) for name in TrainingState.__dataclass_fields__}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    _write(path, buffer.getbuffer())
    return path


def load_training(path: str | Path) -> TrainingState:
    """Read a training checkpoint onto the CPU.

    Raises:
        InputError: the file is missing, truncated, would execute code, or holds something else.
    """
    content = read_content(path)
    find_state(content, path)  # refuses files without weights
    fields = TrainingState.__dataclass_fields__
    if content.get("kind") != _KIND or any(name not in content for name in fields):
        raise InputError(
            f"{path}: expected a training checkpoint (step_*.pt), got a file of weights; to start "
            f"from weights, set path.pretrained_netG"
        )
    if content.get("format") != _FORMAT:
        raise InputError(
            f"{path}: checkpoint format {content.get('format')}, expected {_FORMAT}; "
            "resume it with the version that wrote it"
        )
    return TrainingState(**{name: content[name] for name in fields})


def latest(folder: Path) -> Path | None:
    """The training checkpoint of the most steps in `folder`, if there is any."""
    found = _numbered(folder)
    return found[-1] if found else None


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` training checkpoints of `folder`."""
    for path in _numbered(folder)[:-keep]:
        path.unlink()


def _numbered(folder: Path) -> list[Path]:
    """Training checkpoints in ascending order of their step."""
    found = [path for path in folder.glob("step_*.pt") if path.stem[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.stem[5:]))


def _write(path: Path, content: bytes | memoryview) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)


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
    if net_type not in CORRECTORS:
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
