"""Networks compiled by `torch.compile` for training: what it needs, and how its failures read."""

import importlib.util
import os
import shutil
import sys
from typing import Literal

import torch
from torch import nn

from utils.errors import InputError

Compiled = Literal["default", "reduce-overhead"]
"""Modes of `torch.compile`; "reduce-overhead" adds CUDA graphs."""

_OFF = "set train.compile to 'off'"


def compile_network(network: nn.Module, mode: Compiled, device: torch.device) -> nn.Module:
    """`network`, compiled at its first call for the shapes of that call; the weights are shared.

    Raises:
        InputError: the device is not supported, or there is no compiler for it.
    """
    expect_compiler(mode, device)
    compiled: nn.Module = torch.compile(network, dynamic=False, mode=mode)  # type: ignore[assignment]
    return compiled


def expect_compiler(mode: Compiled, device: torch.device) -> None:
    """Check that `torch.compile` can work in this mode on this device.

    Raises:
        InputError: the device is not supported, or there is no compiler for it.
    """
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"train.compile: not on the device '{device.type}'; {_OFF}")
    if device.type == "cpu":
        if mode == "reduce-overhead":
            raise InputError(
                "train.compile: 'reduce-overhead' takes CUDA graphs, but the device is 'cpu'; set "
                "it to 'default' or 'off'"
            )
        _expect_program("C++", "CXX", "clang++" if sys.platform == "darwin" else "g++")
        return
    if importlib.util.find_spec("triton") is None:
        raise InputError(
            "train.compile: on a GPU it needs the package triton, which is not installed: install "
            f"it, or {_OFF}"
        )
    _expect_program("C", "CC", "gcc", "clang")


def explain_compilation(error: RuntimeError) -> str | None:
    """One line for an error of PyTorch's compiler; None for other errors."""
    if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return None
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"train.compile: PyTorch's compiler failed: {lines[0].strip()}; {_OFF}"


def _expect_program(language: str, variable: str, *usual: str) -> None:
    """Check that a compiler is there: the one that an environment variable names, or a usual one.

    Raises:
        InputError: there is none.
    """
    named = os.environ.get(variable)
    programs = [named] if named else list(usual)
    if not any(shutil.which(program) for program in programs):
        raise InputError(
            f"train.compile: no {language} compiler found, looked for {' and '.join(programs)} "
            f"({variable}): install g++, or {_OFF}"
        )
