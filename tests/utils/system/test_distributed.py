"""One process alone, and two that agree through gloo."""

import os
import subprocess
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from models.parts.device import choose_device
from utils.errors import InputError
from utils.system.distributed import Processes, process_group

ROOT = Path(__file__).parents[3]
SECOND = timedelta(seconds=1)

# What each of two processes asserts.
TWO = """
import torch
from utils.system.distributed import process_group

with process_group("cpu", launched=True) as processes:
    rank = processes.rank
    assert processes.world_size == 2 and processes.is_main == (rank == 0)
    assert processes.mean(torch.tensor([1.0, 2.0 * rank])).tolist() == [1, 1]
    assert processes.mean(torch.tensor(float("nan") if rank else 1.0)).isnan()
    assert processes.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    assert processes.from_main(f"from {rank}") == "from 0"
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, rank + 1.0)
    wrapped = processes.wrap(network)
    assert network.weight.item() == 1  # the main process's
    wrapped(torch.full((1, 1), 1.0 + 2 * rank)).sum().backward()
    assert network.weight.grad.item() == 2  # the mean of 1 and 3
    assert processes.device_names() == ["cpu", "cpu"]
"""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_agrees_with_itself(alone) -> None:
    with process_group("cpu") as processes:
        assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
        values = torch.tensor([1.0, 2.0])
        assert torch.equal(processes.mean(values), values)
        assert processes.gather("a") == ["a"]
        assert processes.from_main("b") == "b"
        network = torch.nn.Linear(1, 1)
        assert processes.wrap(network) is network


def test_only_rank_0_is_the_main_process() -> None:
    assert not Processes(torch.device("cpu"), 1, 2).is_main


def test_dist_without_a_launcher(alone) -> None:
    with pytest.raises(InputError, match="no launcher found; start with torchrun"):
        process_group("cpu", launched=True).__enter__()


def test_a_world_without_a_launcher(alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="WORLD_SIZE is 2, but no launcher set LOCAL_RANK"):
        process_group("cpu").__enter__()


@pytest.mark.slow
def test_two_processes_agree(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--nproc_per_node=2", str(script)], env=environment, check=True)


class Reshaping(torch.nn.Module):
    """A 1x1 convolution that reshapes its kernel, as `WarpedContextNet` does."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(6, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kernel = self.layer.weight.unflatten(1, (2, 3)).transpose(0, 1).flatten(0, 1)
        return torch.nn.functional.conv2d(images, kernel) + self.layer.bias.sum()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_gradients_of_1x1_kernels_fit_the_buckets(
    layout: torch.memory_format, tmp_path: Path
) -> None:
    """PyTorch warns where a gradient's strides differ from the weight's, in every process."""
    torch.manual_seed(0)
    network = Reshaping()
    network.to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.rand(2, 3, 6, 6).to(memory_format=layout)
    expected = torch.autograd.grad(network(images).square().sum(), list(network.parameters()))
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'group'}", 60 * SECOND, 1, 0)
    warned_always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        parallel = Processes(torch.device("cpu"), 0, 2).wrap(network)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parallel(images).square().sum().backward()
    finally:
        torch.set_warn_always(warned_always)
        torch.distributed.destroy_process_group()
    for weight, gradient in zip(network.parameters(), expected, strict=True):
        assert torch.equal(weight.grad, gradient)
        assert weight.grad.stride() == weight.stride()


def test_cuda_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="'cuda' asked for, but PyTorch finds no CUDA GPU"):
        choose_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="'mps' asked for, but this machine has none"):
        choose_device("mps")
    assert choose_device("auto") == torch.device("cpu")


def test_each_process_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    with pytest.raises(InputError, match="process 2 of this machine has no GPU"):
        choose_device("auto", local_rank=2)
