"""Checkpoints: weights of a network, and everything needed to resume a training run.

Weights are `.safetensors` files that name their network. A training checkpoint is one `.pt` file of
tensors and plain containers. Files are written whole or not at all, and reading executes no code.
"""

import io
import json
import zipfile
import zlib
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
_LENGTH_BYTES = 8  # at the start of a .safetensors: length of its header
_OPTIONAL = ("average",)  # fields that came after the format
_KEYS = {"network": "generator"}  # in files, where they differ from the fields
_TYPES: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "architecture": (dict,),
    "network": (dict,),
    "teacher": (dict, type(None)),
    "average": (dict, type(None)),
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
        average: state dict of the moving average of the weights, if the run has one.
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
    average: dict[str, Tensor] | None = None


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
    about |= {CHECKSUM: checksum(tensors, about)}
    content = _in_order(to_safetensors(tensors, about))
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


def _in_order(content: bytes) -> bytes:
    """Sort the metadata of a `.safetensors`, which its library writes in a random order.

    So equal weights make equal files.
    """
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    header = json.loads(content[_LENGTH_BYTES:start])
    metadata = header.pop("__metadata__")
    ordered = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _LENGTH_BYTES)  # tensors start at a multiple of 8 bytes
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + content[start:]


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
        InputError: the file is missing, truncated, damaged, would execute code, or holds something
            else.
    """
    content = read_content(path)
    check_archive(path)
    find_state(content, path)  # refuses files without weights
    fields = {name: _KEYS.get(name, name) for name in TrainingState.__dataclass_fields__}
    needed = [key for name, key in fields.items() if name not in _OPTIONAL]
    if content.get("kind") != _KIND or any(key not in content for key in needed):
        raise InputError(
            f"{path}: expected a training checkpoint (step_*.pt), got a file of weights; to start "
            f"from weights, set path.pretrained_netG"
        )
    if not isinstance(content.get("format"), int) or content["format"] != _FORMAT:
        raise InputError(
            f"{path}: checkpoint format {content.get('format')}, expected {_FORMAT}; "
            "resume it with the version that wrote it"
        )
    given: dict[str, Any] = {name: content[key] for name, key in fields.items() if key in content}
    for name, kinds in _TYPES.items():
        value = given.get(name)  # missing only if optional, which may be None
        if not isinstance(value, kinds) or (name == "step" and value < 0):
            raise InputError(
                f"{path}: damaged checkpoint: {name}: expected {kinds[0].__name__}, got "
                f"{type(value).__name__}; resume from another one"
            )
    return TrainingState(**given)


def check_archive(path: str | Path) -> None:
    """Check a file of PyTorch's zip format against its checksums; other files pass.

    PyTorch writes a CRC-32 of every part and does not compare it when it reads.

    Raises:
        InputError: a part differs from its checksum.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        reason = str(error) or "it ends too early"
        raise InputError(f"{path}: damaged: {reason}") from error
    if part is not None:
        raise InputError(f"{path}: damaged: its part {part!r} differs from its checksum")


def latest(folder: Path) -> Path | None:
    """The training checkpoint with the most steps in `folder`, if any."""
    return next(reversed(_numbered(folder)), None)


def latest_sound(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest training checkpoint in `folder` that can be read and agrees with its checksums.

    Returns:
        The checkpoint, None without any; and what is wrong with the newer ones, by path.

    Raises:
        InputError: there are checkpoints, and all are damaged.
        OSError: there is no permission to read one.
    """
    damaged: dict[Path, str] = {}
    for path in reversed(_numbered(folder)):
        path.open("rb").close()  # a file without permission is not damaged
        try:
            read_content(path)
            check_archive(path)
        except InputError as error:
            damaged[path] = str(error)
        else:
            return path, damaged
    if damaged:
        problem = next(iter(damaged.values()))
        raise InputError(f"{problem}; no sound checkpoint is left: --resume never starts over")
    return None, {}


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` training checkpoints in `folder`."""
    for path in _numbered(folder)[:-keep]:
        path.unlink()


def _numbered(folder: Path) -> list[Path]:
    """Training checkpoints in ascending order of their step."""
    found = [path for path in folder.glob("step_*.pt") if path.stem[5:].isdecimal()]
    return sorted(found, key=lambda path: int(path.stem[5:]))
