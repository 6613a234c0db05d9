"""What is said about memory before and when a run needs more than there is."""

import logging

import pytest
import torch
from torch import nn

from data.capture import TrainingSample, split_batch
from models.generator import Generator
from tests.helpers.tiny_training import tiny_options, train
from tests.models.test_objectives import random_batch
from tests.utils.training.test_step import Scaled, training
from utils.errors import InputError
from utils.system.distributed import Processes
from utils.training.experiment import Experiment
from utils.training.step import take_step
from utils.training.step_memory import announce_step, estimate_step, explain_exhaustion


def experiment(tmp_path, **options) -> Experiment:
    chosen = tiny_options(tmp_path, **options)
    processes, log = Processes(torch.device("cpu")), logging.getLogger("test_step_memory")
    return Experiment(chosen, processes, tmp_path, None, {}, log)


def test_need_and_room_are_logged(tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("utils.training.step_memory.free_memory", lambda device: 20.1e9)
    with caplog.at_level(logging.INFO):
        announce_step(Generator(3, 8, 0.04), experiment(tmp_path))
    assert "a step needs about 0.0 GB; 20.1 GB free" in caplog.text


def test_too_little_room_stops_with_the_cures(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("utils.training.step_memory.free_memory", lambda device: 1e5)
    with pytest.raises(InputError) as caught:
        announce_step(Generator(3, 8, 0.04), experiment(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    for cure in (
        "patch_size",
        "dataloader_batch_size",
        "precision",
        "gradient_checkpointing",
        "accumulation_steps",
    ):
        assert cure in message


def test_parts_and_precision_lower_the_estimate(tmp_path) -> None:
    network = Generator(3, 8, 0.04)
    whole = estimate_step(tiny_options(tmp_path), network)
    for change in (
        {"accumulation_steps": 2},
        {"gradient_checkpointing": True},
        {"precision": "bfloat16"},
    ):
        assert estimate_step(tiny_options(tmp_path, **change), network) < whole


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("allocator: can't allocate memory: 9")]
)
def test_running_out_of_memory_is_one_line(tmp_path, error) -> None:
    class Greedy(nn.Module):
        def forward(self, generator: nn.Module, batch: TrainingSample) -> None:
            raise error

    with pytest.raises(InputError, match=r"out of memory in a training step: lower .*patch_size"):
        train(tiny_options(tmp_path), objective=Greedy())


def test_a_killed_loader_worker_is_explained() -> None:
    lost = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    assert "a loader worker was killed" in str(explain_exhaustion(lost))
    assert explain_exhaustion(RuntimeError("shapes differ")) is None


def test_parts_of_a_batch_are_its_samples() -> None:
    batch = random_batch(32, count=4)
    halves = split_batch(batch, 2)
    assert [len(half.pair) for half in halves] == [2, 2]
    assert halves[1].truth is None
    torch.testing.assert_close(halves[1].t, batch.t[2:])
    with pytest.raises(ValueError, match="4 samples cannot be split into 3 equal parts"):
        split_batch(batch, 3)


def test_accumulated_gradients_are_those_of_the_batch(tmp_path) -> None:
    class Mean(nn.Module):
        """A loss that is a mean over samples."""

        def forward(self, generator: nn.Module, batch: TrainingSample):
            return Scaled(1.0)(generator, batch._replace(pair=batch.pair * 0 + 0.3))

    batch, weights = random_batch(32, count=4), []
    for parts in (1, 2):
        run = training(tmp_path, Mean(), accumulation_steps=parts)
        result = take_step(run, batch)
        weights.append(torch.cat([weight.grad.flatten() for weight in run.network.parameters()]))
        assert not result.skipped
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-6)
