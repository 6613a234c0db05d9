"""Compiled networks: what they need, how failures read, and that they train as the plain ones."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.parts.generator_blocks import FlowBlock
from tests.helpers.tiny_training import same_weights, tiny_options, train
from utils.errors import InputError
from utils.options.training import TrainingOptions
from utils.system.compiling import (
    Compiled,
    compile_network,
    expect_compiler,
    explain_compilation,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def refusal(mode: Compiled, device: torch.device) -> str:
    with pytest.raises(InputError) as caught:
        expect_compiler(mode, device)
    return str(caught.value)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    found = refusal("default", CPU)
    assert found == (
        "train.compile: no C++ compiler found, looked for g++ (CXX): install g++, or set "
        "train.compile to 'off'"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert "no C compiler found, looked for gcc and clang (CC)" in refusal("default", GPU)
    monkeypatch.setenv("CXX", "my-compiler")
    assert "looked for my-compiler (CXX)" in refusal("default", CPU)
    program = tmp_path / "my-compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    expect_compiler("default", CPU)


def test_devices_that_it_cannot_work_on_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("default", torch.device("mps")) == (
        "train.compile: not on the device 'mps'; set train.compile to 'off'"
    )
    assert "'reduce-overhead' takes CUDA graphs, but the device is 'cpu'; set it to" in refusal(
        "reduce-overhead", CPU
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "needs the package triton, which is not installed" in refusal("default", GPU)


def test_failures_of_the_compiler_become_one_line() -> None:
    failure = torch._dynamo.exc.TorchDynamoException("\nPython.h: no such file\nand much more")
    assert explain_compilation(failure) == (
        "train.compile: PyTorch's compiler failed: Python.h: no such file; set train.compile to "
        "'off'"
    )
    assert explain_compilation(RuntimeError("shapes differ")) is None


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compile: not with gradient_checkpointing; set one"):
        tiny_options(tmp_path, compile="default", gradient_checkpointing=True)
    content = tiny_options(tmp_path, compile="default").model_dump(mode="json")
    content["netG"]["net_type"] = "refiner"
    with pytest.raises(ValueError, match=r"train.compile: not for the network 'refiner'; set it"):
        TrainingOptions.model_validate_json(json.dumps(content))


def test_a_run_without_a_compiler_ends_before_it_reads_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"^train.compile: no C\+\+ compiler found"):
        train(tiny_options(tmp_path, compile="default"))
    assert not (tmp_path / "tiny").exists()


class Counted(nn.Module):
    """Stands for a compiled network: the network, its calls counted."""

    def __init__(self, network: nn.Module, **settings: Any) -> None:
        super().__init__()
        self.network, self.settings, self.calls = network, settings, 0

    def __len__(self) -> int:
        raise TypeError("as a compiled network without a length")

    def forward(self, *inputs: torch.Tensor) -> Any:
        self.calls += 1
        return self.network(*inputs)


def test_steps_take_the_compiled_network_and_scores_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Counted] = []

    def compile_module(network: nn.Module, **settings: Any) -> Counted:
        made.append(Counted(network, **settings))
        return made[-1]

    monkeypatch.setattr("utils.system.compiling.expect_compiler", lambda *given: None)
    monkeypatch.setattr("utils.training.correction_network.expect_compiler", lambda *given: None)
    monkeypatch.setattr("torch.compile", compile_module)
    compiled = train(tiny_options(tmp_path, task="compiled", compile="default"))
    assert [each.calls for each in made] == [4]
    assert made[0].settings == {"dynamic": False, "mode": "default"}
    assert same_weights(compiled, train(tiny_options(tmp_path, task="plain")))


@pytest.mark.slow
@pytest.mark.timeout(1800)  # compiling the whole network would take many minutes, this takes one
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_block_trains_as_the_plain_one() -> None:
    torch.manual_seed(0)
    plain = FlowBlock(12, 8, 3, scale=2)
    parts = [torch.rand(2, 6, 16, 16) for _ in range(2)]
    start, trained = plain.conv1.weight.detach().clone(), []
    for network in (plain, copy.deepcopy(plain)):
        called = network if network is plain else compile_network(network, "default", CPU)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            called(*parts).square().mean().backward()
            optimizer.step()
        trained.append(network.state_dict())
    torch.testing.assert_close(trained[1], trained[0], rtol=0, atol=1e-4)
    assert (trained[0]["conv1.weight"] - start).abs().max() > 1e-2
