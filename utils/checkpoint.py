"""Checkpoints: weights of a network, and everything needed to resume a training run.

Weights are `.safetensors` files that name their network. A training checkpoint is one `.pt` file of
tensors and plain containers. Files are written whole or not at all, and reading executes no code.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from data.files.folders import replacing
from models.architecture import Architecture, load_network
from models.parts.network import CorrectionNetwork
from models.weight_files import (
    CHECKSUM,
    checksum,
    find_state,
    read_content,
)
from utils.errors import InputError

_KIND = "dual-reversed-rs training"
_FORMAT = 1
_KEYS = {"network": "generator"}  # in files, where they differ from the fields
_TYPES: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "architecture": (dict,),
    "network": (dict,),
    "teacher": (dict, type(None)),
    "optimizer": (dict,),
    "progress": (dict,),
    "random": (list,),
    "options": (dict,),
    "versions": (dict,),
}

load_generator = load_network
"""Load a correction network, whichever it is, from a file of weights or a training checkpoint."""


@dataclass(frozen=True)
class TrainingState:
    """A training run between two steps.

    Attributes:
        step: number of finished steps; sampler and learning rate are functions of it.
        architecture: of the network, as a dictionary of `Architecture`.
        network: state dict of the network; its key in files is "generator".
        teacher: state dict of the frozen teacher, if the objective has one.
        optimizer: state dict of the optimiser.
        progress: counters, as a dictionary of `utils.training.step.Progress`.
        random: states of the random number generators of every process
            (`utils.system.random_state`).
        options: of the run.
        versions: of Python, packages and code.
    """

    step: int
    architecture: dict[str, Any]
    network: dict[str, Tensor]
    teacher: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    progress: dict[str, Any]
    random: list[dict[str, Any]]
    options: dict[str, Any]
    versions: dict[str, str]


def save_weights(path: str | Path, network: CorrectionNetwork, *, half: bool = False) -> None:
    """Write a network's weights as `.safetensors`.

    Args:
        path: the file, replaced whole.
        network: the network.
        half: store as float16.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    metadata = {name: str(value) for name, value in asdict(Architecture.of(network)).items()}
    write_state(path, network.state_dict(), metadata | {"kind": "generator"}, half=half)


def write_state(
    path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str], *, half: bool
) -> None:
    """Write named tensors and metadata as `.safetensors`.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()
    }
    about = {**metadata, "format": str(_FORMAT)}
    content = to_safetensors(tensors, about | {CHECKSUM: checksum(tensors, about)})
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def save_training(folder: Path, state: TrainingState) -> Path:
    """Write `step_%08d.pt` into `folder` and return its path.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    path = folder / f"step_{state.step:08d}.pt"
    content = {_KEYS.get(name, name): value for name, value in vars(state).items()}
    content |= {"kind": _KIND, "format": _FORMAT}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return path


def load_training(path: str | Path) -> TrainingState:
    """Read a training checkpoint onto the CPU.

    Raises:
        InputError: the file is missing, truncated, would execute code, or holds something else.
    """
    content = read_content(path)
    find_state(content, path)  # refuses files without weights
    fields = {name: _KEYS.get(name, name) for name in TrainingState.__dataclass_fields__}
    if content.get("kind") != _KIND or any(key not in content for key in fields.values()):
        raise InputError(
            f"{path}: expected a training checkpoint (step_*.pt), got a file of weights; to start "
            f"from weights, set path.pretrained_netG"
        )
    if not isinstance(content.get("format"), int) or content["format"] != _FORMAT:
        raise InputError(
            f"{path}: checkpoint format {content.get('format')}, expected {_FORMAT}; "
            "resume it with the version that wrote it"
        )
    read = {name: content[key] for name, key in fields.items()}
    for name, kinds in _TYPES.items():
        if not isinstance(read[name], kinds) or (name == "step" and read[name] < 0):
            raise InputError(
                f"{path}: damaged checkpoint: {name}: expected {kinds[0].__name__}, got "
                f"{type(read[name]).__name__}; resume from another one"
            )
    return TrainingState(**read)


def latest(folder: Path) -> Path | None:
    """The training checkpoint with the most steps in `folder`, if any."""
    return next(reversed(_numbered(folder)), None)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` training checkpoints in `folder`."""
    for path in _numbered(folder)[:-keep]:
        path.unlink()


def _numbered(folder: Path) -> list[Path]:
    """Training checkpoints in ascending order of their step."""
    found = [path for path in folder.glob("step_*.pt") if path.stem[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.stem[5:]))
