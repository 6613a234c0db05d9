"""Options to data sets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.training_set import SimulatedTrainingSet
from tests.capture_folders import write_rs_gopro
from tests.tiny_training import tiny_options
from utils.errors import InputError
from utils.options import TrainingOptions
from utils.training_data import build_training_set, build_validation_set


def with_data(options: TrainingOptions, **datasets: dict[str, Any]) -> TrainingOptions:
    """The same options with other data."""
    content = options.model_dump(mode="json")
    content["datasets"] |= datasets
    return TrainingOptions.model_validate_json(json.dumps(content))


def test_simulated_training_set(tmp_path: Path) -> None:
    sample = build_training_set(tiny_options(tmp_path))[5]
    assert sample.pair.shape == (2, 3, 64, 64)
    assert sample.truth is not None
    assert sample.truth.shape == (3, 3, 64, 64)
    assert sample.truth_flows is None


def test_simulated_scenes_have_the_textures_and_cameras_of_the_options(tmp_path: Path) -> None:
    options = tiny_options(tmp_path)
    train = options.datasets.train.model_dump(mode="json")
    train |= {"procedural_textures": 1, "patch_size": [32, 64]}
    train["scene"] |= {"exposure": 0.2, "read_noise": [0.01, 0.02]}
    dataset = build_training_set(with_data(options, train=train))
    assert isinstance(dataset, SimulatedTrainingSet)
    assert dataset.textures[-1].shape == (3, 720, 1080)
    assert dataset.scene.range_of("exposure") == (0.2, 0.2)
    assert dataset.scene.range_of("read_noise") == (0.01, 0.02)
    assert dataset[0].pair.shape == (2, 3, 32, 64)


def test_truth_is_loaded_only_where_it_is_used(tmp_path: Path) -> None:
    sample = build_training_set(tiny_options(tmp_path, objective="cycle"))[5]
    assert sample.truth is None


def test_simulated_validation_captures_repeat(tmp_path: Path) -> None:
    captures = build_validation_set(tiny_options(tmp_path))
    assert captures is not None
    assert len(captures) == 1
    first, again = captures[0], captures[0]
    assert first.truth is not None
    assert first.truth.shape == (9, 3, 64, 64)
    assert torch.equal(first.t2b, again.t2b)
    assert first.truth_times is not None
    assert first.truth_times.tolist() == [index / 8 for index in range(9)]


def test_rs_gopro_folders(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_rs_gopro(tmp_path, split=split, pairs=3, frames=5, size=(40, 48))
    folder = {"dataset_type": "rs_gopro", "data_root": str(tmp_path)}
    train = {**folder, "patch_size": 32, "dataloader_batch_size": 1}
    options = with_data(tiny_options(tmp_path), train=train, valid={**folder, "count": 2})
    sample = build_training_set(options)[0]
    assert sample.truth is not None
    assert sample.truth.shape == (3, 3, 32, 32)
    captures = build_validation_set(options)
    assert captures is not None
    assert len(captures) == 2
    truth = captures[1].truth
    assert truth is not None
    assert truth.shape == (5, 3, 40, 48)


def test_count_may_exceed_what_is_there(tmp_path: Path) -> None:
    write_rs_gopro(tmp_path, split="valid", pairs=3, size=(40, 48))
    valid = {"dataset_type": "rs_gopro", "data_root": str(tmp_path), "count": 9}
    captures = build_validation_set(with_data(tiny_options(tmp_path), valid=valid))
    assert captures is not None
    assert len(captures) == 3


def test_supervised_validation_needs_truth(tmp_path: Path) -> None:
    write_rs_gopro(tmp_path, split="valid", frames=0, size=(40, 48))
    valid = {"dataset_type": "rs_gopro", "data_root": str(tmp_path)}
    options = with_data(tiny_options(tmp_path), valid=valid)
    with pytest.raises(InputError, match="validating 'supervised' needs true frames"):
        build_validation_set(options)


def test_no_validation(tmp_path: Path) -> None:
    content = tiny_options(tmp_path).model_dump(mode="json")
    content["datasets"]["valid"] = None
    options = TrainingOptions.model_validate_json(json.dumps(content))
    assert build_validation_set(options) is None
