"""Steps whose losses are read later, as on a GPU: the same run, without waiting for the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from data.capture import TrainingSample
from models.flow_pwc import PWCNet
from models.generator import Generator
from models.losses.objective import Objective
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, DistillationObjective, SupervisedObjective
from tests.helpers.tiny_training import same_weights, tiny_options, train
from tests.utils.training.test_correction_network import CPU, Disturbed, folder_of, recorded
from tests.utils.training.test_step import Scaled, training
from utils.checkpoint import latest, load_generator, load_training
from utils.errors import InputError
from utils.system.distributed import Processes
from utils.training.step import Training, begin_step, build_optimizer, read_steps, reads_now

RARELY = {"checkpoint_print": 100, "checkpoint_save": 100, "checkpoint_test": 100}
READS = {"aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero"}
COPIES = {"tolist", "numpy", "cpu"}


@contextmanager
def fused(*, ahead: bool) -> Iterator[None]:
    """Runs on the CPU have a GPU's optimiser and, if `ahead`, read their losses as on a GPU."""
    with (
        patch("utils.training.step.works_ahead", return_value=True),
        patch("utils.training.loop.works_ahead", return_value=ahead),
    ):
        yield


@pytest.mark.parametrize("skipped", [pytest.param(set(), marks=pytest.mark.slow), {0, 2}])
def test_the_run_is_the_same_to_the_last_bit(tmp_path: Path, skipped: set[int]) -> None:
    runs = []
    for name, ahead in (("read", False), ("ahead", True)):
        options = tiny_options(
            tmp_path,
            task=name,
            iterations=5,
            average_decay=0.75,
            **RARELY | {"checkpoint_print": 4},
        )
        with fused(ahead=ahead):
            network = train(options, objective=Disturbed(options, nan_loss=skipped))
        average = load_generator(folder_of(options) / "generator_average.safetensors")
        newest = latest(folder_of(options) / "checkpoints")
        assert newest is not None
        runs.append((network, average, load_training(newest), recorded(options)))
    read, ahead_of_it = runs
    assert same_weights(read[0], ahead_of_it[0])
    assert same_weights(read[1], ahead_of_it[1])
    assert not same_weights(read[0], read[1])
    assert ahead_of_it[2].progress == read[2].progress
    assert read[2].progress["skipped"] == len(skipped)
    torch.testing.assert_close(ahead_of_it[2].optimizer, read[2].optimizer, rtol=0, atol=0)
    assert ahead_of_it[3] == read[3]


def test_resumed_equals_unbroken(tmp_path: Path) -> None:
    with fused(ahead=True):
        whole = train(tiny_options(tmp_path, task="whole", iterations=4, **RARELY))
        parts = tiny_options(tmp_path, task="parts", iterations=4, **RARELY)
        for _ in range(2):
            with pytest.raises(SystemExit):
                train(parts, objective=Disturbed(parts, terminate={0}))
            newest = latest(folder_of(parts) / "checkpoints")
        assert newest is not None and newest.name == "step_00000002.pt"
        assert same_weights(train(parts), whole)
    assert recorded(parts)[-1] == recorded(tiny_options(tmp_path, task="whole"))[-1]


def test_skipped_steps_are_named_and_stop_the_run_as_when_each_is_read(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=30, **RARELY | {"checkpoint_print": 15})
    with fused(ahead=True), pytest.raises(InputError) as caught:
        train(options, objective=Disturbed(options, nan_loss=set(range(3, 30))))
    assert "step 13: stopped after 10 steps in a row without a finite loss" in str(caught.value)
    log = (folder_of(options) / "train.log").read_text()
    for step, count in ((4, 1), (12, 9)):
        line = f"step {step}: skipped, its loss or gradient is not finite ({count} in a row)"
        assert line in log
    assert latest(folder_of(options) / "checkpoints") is None


class Reads(TorchDispatchMode):
    """Collects the operations that read values of tensors, for which a GPU's host would wait."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if str(function.overloadpacket) in READS:
            self.found.append(str(function.overloadpacket))
        return function(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Collects the calls that copy whole tensors to the host."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(function, "__name__", "") in COPIES:
            self.found.append(function.__name__)
        return function(*args, **(kwargs or {}))


@contextmanager
def watching() -> Iterator[list[str]]:
    """What is read or copied to the host meanwhile."""
    found: list[str] = []
    with Reads(found), Copies(found):
        yield found


def ahead_of(run: Training) -> Training:
    run.ahead = True
    run.optimizer = build_optimizer(
        run.network, run.experiment.options.train, torch.device("cuda")
    )  # on tensors of the CPU
    return run


def objectives() -> Iterator[Objective]:
    torch.manual_seed(0)
    weights = {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}
    networks = {"Perceptual": Perceptual()}
    cycle = CycleObjective(weights, flow=PWCNet(), networks=networks)
    yield SupervisedObjective(weights, networks)
    yield cycle
    yield DistillationObjective(cycle, Generator(3, 8, 0.04), border=16)


@pytest.mark.parametrize("index", range(3))
def test_nothing_is_read_between_two_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    # Instants are checked on the CPU only.
    monkeypatch.setattr("data.time_maps._checked_instant", lambda t, like: torch.as_tensor(t))
    objective = list(objectives())[index]
    run = ahead_of(training(tmp_path, objective, average_decay=0.5, **RARELY))
    run.average = torch.optim.swa_utils.AveragedModel(run.network)
    pair = torch.rand(1, 2, 3, 64, 64)
    batch = TrainingSample(pair, torch.linspace(0, 1, 64)[None], torch.tensor([0.5]))
    batch = batch._replace(truth=torch.rand(1, 3, 3, 64, 64))
    with watching() as found:
        for _ in range(2):
            begin_step(run, batch)
            assert not reads_now(run)
    assert not found
    assert run.step == 2 and run.progress.step == 0
    with watching() as found:
        results = list(read_steps(run))
        run.average.update_parameters(run.network)  # as when each step is read
    assert set(found) == {"tolist", "aten._local_scalar_dense"}
    assert [result.skipped for result in results] == [False, False]
    assert run.step == run.progress.step == 2


def test_what_is_due_is_read(tmp_path: Path) -> None:
    rarely = {"checkpoint_print": 6, "checkpoint_save": 4, "checkpoint_test": 9}
    run = ahead_of(training(tmp_path, Scaled(1.0), iterations=11, keep_weights_every=7, **rarely))

    def read_at() -> list[int]:
        steps = []
        for run.progress.step in range(1, 12):
            if reads_now(run):
                steps.append(run.progress.step)
        return steps

    assert read_at() == [4, 6, 7, 8, 9, 11]
    together = Processes(CPU, rank=0, world_size=2)
    object.__setattr__(run.experiment, "processes", together)
    assert read_at() == [4, 6, 7, 8, 9, 10, 11]
    run.stop.signal_number = 15
    assert read_at() == [4, 6, 7, 8, 9, 10, 11]  # not sooner than the other process
    object.__setattr__(run.experiment, "processes", Processes(CPU))
    assert read_at() == list(range(1, 12))
    run.stop.signal_number, run.ahead = 0, False
    assert read_at() == list(range(1, 12))
