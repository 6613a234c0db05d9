"""What a run says at its start."""

import json
import logging
from pathlib import Path

import pytest
import torch

from tests.helpers.capture_folders import write_rs_gopro
from tests.helpers.tiny_training import tiny_options
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.training.correction_network import build_subject
from utils.training.data import build_training_set
from utils.training.experiment import Experiment
from utils.training.records.announcement import (
    announce_run,
    describe_training_set,
    format_duration,
)


def options_of(root: Path, **valid) -> TrainingOptions:
    content = tiny_options(root / "out").model_dump(mode="json")
    data = {"dataset_type": "rs_gopro", "data_root": str(root)}
    loading = {"patch_size": 32, "dataloader_batch_size": 3, "dataloader_num_workers": 0}
    content["datasets"] = {"train": data | loading, "valid": data | valid}
    return TrainingOptions.model_validate_json(json.dumps(content))


def test_a_run_names_its_data_its_length_and_its_processes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rs_gopro(tmp_path, split="train", sequences=("a", "b"), pairs=3, frames=3, size=(32, 32))
    write_rs_gopro(tmp_path, split="valid", sequences=("c", "d"), pairs=4, frames=3, size=(32, 32))
    options = options_of(tmp_path, count=2, choice="spread")
    processes = Processes(torch.device("cpu"))
    subject = build_subject(options, processes)
    versions = {"processes": "1", "devices": "cpu"}
    log = logging.getLogger("announced")
    experiment = Experiment(options, processes, tmp_path, None, versions, log)
    subject.network.ife_net.requires_grad_(False)
    with caplog.at_level(logging.INFO, "announced"):
        announce_run(subject.network, experiment, subject.described)
    weights = [weight.numel() for weight in subject.network.parameters()]
    frozen = [weight.numel() for weight in subject.network.ife_net.parameters()]
    trained = sum(weights) - sum(frozen)
    assert caplog.messages == [
        f"training on {tmp_path}/train: 2 sequences, 6 pairs, 18 true frames",
        "an epoch is 6 crops, 2 steps; 4 steps are 2 epochs",
        f"validating on {tmp_path}/valid: 2 sequences, 8 pairs, 24 true frames",
        "scored are 2 pairs (spread over the sequences), protocol 'full': c/00000002, d/00000002",
        f"Generator: {sum(weights):,} parameters, {trained:,} of them trained",
        "processes: 1, on cpu",
    ]


def test_simulated_scenes_are_described(tmp_path: Path) -> None:
    subject = build_subject(tiny_options(tmp_path), Processes(torch.device("cpu")))
    scenes = "simulated scenes of 32x32 pixels from scikit-image's photos"
    assert subject.described == (
        f"training on {scenes}",
        f"validating on 1 captures of {scenes}",
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "00:00:00"), (3_725, "01:02:05"), (180_000, "2 d 02:00:00"), (float("inf"), "?")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(("epoch_steps", "total"), [("auto", 8), (5, 20)])
def test_where_iterations_count_epochs_their_steps_are_announced(
    tmp_path: Path, epoch_steps: int | str, total: int
) -> None:
    write_rs_gopro(tmp_path, split="train", sequences=("a", "b"), pairs=3, frames=3, size=(32, 32))
    write_rs_gopro(tmp_path, split="valid", sequences=("c",), pairs=1, frames=3, size=(32, 32))
    options = options_of(tmp_path, count=1, choice="first")
    train = options.train.model_copy(update={"epoch_steps": epoch_steps})
    options = options.model_copy(update={"train": train})
    lines = describe_training_set(options, build_training_set(options))
    assert lines[1] == f"an epoch is 6 crops, 2 steps; {total} steps are {total // 2} epochs"
