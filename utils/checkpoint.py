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

from data.files.folders import replacing
from models.architecture import Architecture
from models.architecture import load_network as load_generator
from models.parts.network import CorrectionNetwork
from models.weight_files import (
    find_state,
    read_content,
)
from utils.errors import InputError

_KIND = "dual-reversed-rs training"
_FORMAT = 1

__all__ = [
    "TrainingState",
    "latest",
    "load_generator",
    "load_training",
    "prune",
    "save_training",
    "save_weights",
    "write_state",
]


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


def save_weights(path: str | Path, network: CorrectionNetwork, *, half: bool = False) -> None:
    """Write a network's weights as `.safetensors`.

    Args:
        path: the file, replaced whole.
        network: whose weights.
        half: store as float16, in half the space.

    Raises:
        InputError: no space left, no permission, or no such folder.
    """
    metadata = {name: str(value) for name, value in asdict(Architecture.of(network)).items()}
    write_state(path, network.state_dict(), metadata | {"kind": "generator"}, half=half)


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
