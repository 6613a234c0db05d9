"""Read weight files without executing code, and load them into modules strictly by name."""

import hashlib
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from data.files.reading import expect_regular
from utils.errors import InputError

if TYPE_CHECKING:  # loading torchvision would delay correction
    from torchvision.models import WeightsEnum

NESTED_NAMES = ("generator", "params", "state_dict", "netG", "net", "model")
"""Keys of the weights in checkpoints that hold more than weights, most specific first."""

CHECKSUM = "sha256"
"""Key of the checksum in the metadata of our `.safetensors`."""

_ODD_KINDS: dict[str, Callable[[Tensor], bool]] = {
    "sparse": lambda tensor: tensor.layout != torch.strided,
    "quantised": lambda tensor: tensor.is_quantized,
    "complex": lambda tensor: tensor.is_complex(),
    "meta": lambda tensor: tensor.is_meta,
    "nested": lambda tensor: tensor.is_nested,
}
_HARMLESS = 1 << 28  # bytes
_FRAME_OPCODE = 149  # first of a pickle of protocol 4 or newer, which torch does not read safely
_MAX_NAMES = 3  # in an error message

Choice = TypeVar("Choice")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the named tensors of a weight file onto the CPU without executing code.

    Files other than `.safetensors` are read in PyTorch's format. Weights may be nested one level
    deep under one of `NESTED_NAMES`. The prefix "module." of data-parallel training is removed.

    Raises:
        InputError: the file is missing, cannot be read, is truncated, holds no named tensors, or
            would execute code.
    """
    return find_state(read_content(path), path)


def read_content(path: str | Path) -> Any:
    """Read all that a weight file or checkpoint holds onto the CPU, executing nothing in it.

    Raises:
        InputError: the file is missing, cannot be read, is truncated, or would execute code.
    """
    path = expect_regular(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: expected a weight file, got {found}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        _expect_uncompressed(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_explain_refusal(str(error))}") from error
    except MemoryError:
        raise
    except Exception as error:  # for damaged files the readers raise almost any
        raise InputError(f"{path}: truncated or not a weight file") from error


def find_state(content: Any, path: str | Path) -> dict[str, Tensor]:
    """The named tensors in the content of `path`; see `read_state`.

    Raises:
        InputError: there are none, or they are no plain tensors.
    """
    if isinstance(content, Mapping):
        candidates = (*(content.get(name) for name in NESTED_NAMES), content)
        for candidate in candidates:
            if _is_state(candidate):
                _expect_plain(candidate, path)
                is_parallel = all(name.startswith("module.") for name in candidate)
                prefix = "module." if is_parallel else ""
                return {name.removeprefix(prefix): tensor for name, tensor in candidate.items()}
    got = type(content).__name__
    if isinstance(content, Mapping):
        got = f"{got} with {_first_few(content) or 'nothing'}"
    raise InputError(f"{path}: expected named tensors, got a {got}")


def read_architecture(path: str | Path) -> dict[str, Any]:
    """Architecture stated in our weight files and checkpoints; {} for other files.

    `read_state` must have read the file without error.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    if not zipfile.is_zipfile(path):
        return {}
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    stated = content.get("architecture")
    return dict(stated) if isinstance(stated, Mapping) else {}


def stated_choice(
    stated: Mapping[str, object], key: str, choices: tuple[Choice, ...], path: str | Path
) -> Choice:
    """Value of `key` in the architecture that a file states.

    Raises:
        InputError: it is missing or none of the choices.
    """
    value = stated.get(key)
    for choice in choices:
        if value == choice:
            return choice
    known = " or ".join(f"'{choice}'" for choice in choices)
    raise InputError(
        f"{path}: damaged description of its network: {key}: expected {known}, got {value!r}"
    )


def download_state(weights: "WeightsEnum", *, name: str, otherwise: str = "") -> dict[str, Tensor]:
    """Download torchvision's weights once into torch's hub folder.

    The download is checked against the hash in its name; a failed one leaves no file.

    Args:
        weights: such as `VGG19_Weights.IMAGENET1K_V1`.
        name: name of the network, for the error message.
        otherwise: alternative to a download, for the error message.

    Raises:
        InputError: the download failed, or the file in the folder cannot be read.
    """
    target = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if target.exists():
        return read_state(target)
    try:
        with redirect_stdout(sys.stderr):  # torch prints a line per download
            return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except (OSError, HTTPException, RuntimeError) as error:
        raise InputError(
            f"{name} weights could not be downloaded ({error}): fetch {weights.url} elsewhere and "
            f"put it at {target}{otherwise}"
        ) from None


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load `state` into `module` if names and shapes agree exactly; else change nothing.

    Args:
        module: the network; tensors are converted to its types and devices.
        state: named tensors, as `read_state` returns them.
        path: their file, for the error message.

    Raises:
        InputError: as for `expect_shapes`.
    """
    expect_shapes(module, state, path)
    module.load_state_dict(state)


def expect_shapes(module: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Check that names and shapes of `state` are those of `module`, which may hold no memory.

    Raises:
        InputError: names are missing or unexpected, or shapes differ; the first few are listed.
    """
    expected = module.state_dict()
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    misshapen = [
        f"{name}: expected {tuple(expected[name].shape)}, got {tuple(tensor.shape)}"
        for name, tensor in state.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    problems = [f"{len(names)} {kind} ({_first_few(names)})" for kind, names in kinds if names]
    if problems:
        raise InputError(
            f"{path}: not weights of this {type(module).__name__}: " + "; ".join(problems)
        )


def checksum(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of tensors and metadata, whatever their order; our `.safetensors` state it."""
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read tensors, and compare them with the checksum if the file states one."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata() or {})
    state = load_file(path)
    stated = metadata.pop(CHECKSUM, None)
    if stated is not None and stated != checksum(state, metadata):
        raise InputError(f"{path}: damaged: its checksum differs; copy it again")
    return state


def _expect_uncompressed(path: Path) -> None:
    """Refuse an archive that takes more memory than the file: torch writes none."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > path.stat().st_size:
        raise InputError(
            f"{path}: refused: {path.stat().st_size} bytes that unpack to {size}; save it with "
            "torch.save, which does not compress"
        )


def _expect_plain(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Refuse tensors that are not dense and real, or larger than their file."""
    for name, tensor in state.items():
        kind = next((kind for kind, found in _ODD_KINDS.items() if found(tensor)), None)
        if kind is not None:
            raise InputError(f"{path}: {name}: expected a plain tensor, got a {kind} one")
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    stored = Path(path).stat().st_size
    if size > max(2 * stored, _HARMLESS):  # two names of one tensor are no attack
        raise InputError(
            f"{path}: refused: {stored} bytes that would become tensors of {size}; save them with "
            "all their values"
        )


def _explain_refusal(message: str) -> str:
    """Tell whether torch refused to unpickle because of code or because of damage."""
    function = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    if function is None and f"Unsupported operand {_FRAME_OPCODE}" not in message:
        return "truncated or not a weight file"
    what = f" ({function.group(1)})" if function else ""
    return f"refused: loading it could execute code{what}; save a plain state dict instead"


def _is_state(candidate: object) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(candidate, Mapping)
        and len(candidate) > 0
        and all(isinstance(name, str) for name in candidate)
        and all(isinstance(value, Tensor) for value in candidate.values())
    )


def _first_few(names: Iterable[Any]) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:_MAX_NAMES]) + (", ..." if len(listed) > _MAX_NAMES else "")
