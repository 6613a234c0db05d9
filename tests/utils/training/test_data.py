"""Options to data sets."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data.time_maps import scan_time
from data.training.crops import FolderTrainingSet, SimulatedTrainingSet
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels, write_rs_gopro
from tests.helpers.tiny_training import tiny_options
from utils.errors import InputError
from utils.options.training import TrainingOptions
from utils.training.data import build_training_set, build_validation_set


def with_data(options: TrainingOptions, **datasets: dict[str, Any]) -> TrainingOptions:
    """The same options with other data."""
    content = options.model_dump(mode="json")
    content["datasets"] |= datasets
    return TrainingOptions.model_validate_json(json.dumps(content))


def test_simulated_training_set(tmp_path: Path) -> None:
    sample = build_training_set(tiny_options(tmp_path))[5]
    assert sample.pair.shape == (2, 3, 32, 32)
    assert sample.truth is not None
    assert sample.truth.shape == (3, 3, 32, 32)
    assert sample.truth_flows is None


def test_simulated_scenes_have_the_textures_and_cameras_of_the_options(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, size=64)
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
    assert first.truth.shape == (9, 3, 32, 32)
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


def captures_options(root: Path, *, patch: int = 32, **valid: Any) -> TrainingOptions:
    """Options that train on the captures in a folder."""
    train = {"dataset_type": "captures", "data_root": str(root / "captures"), "patch_size": patch}
    options = tiny_options(root, objective="cycle")
    return with_data(options, train=train, valid={"dataset_type": "captures", **valid})


def write_captures(folder: Path, count: int, size: tuple[int, int] = (40, 48)) -> None:
    for index in range(count):
        for direction in ("t2b", "b2t"):
            write_pixels(folder / f"{index}_{direction}.png", size)


def test_every_nth_capture_is_held_out_of_training(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures", 11)
    options = captures_options(tmp_path, every=3)
    held_out = build_validation_set(options)
    assert held_out is not None
    assert [held_out[index].name for index in range(len(held_out))] == ["2", "5", "8"]
    training_set = build_training_set(options)
    assert isinstance(training_set, FolderTrainingSet)
    captures = training_set.captures
    names = [captures.load(index).name for index in range(len(captures))]
    assert names == ["0", "1", "3", "4", "6", "7", "9", "10"]


def test_crops_of_captures_are_what_the_images_hold(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures", 2)
    options = captures_options(tmp_path, every=2)
    sample, again = (build_training_set(options)[7] for _ in range(2))
    assert torch.equal(sample.pair, again.pair)
    assert sample.truth is None
    t2b, b2t = (as_image(random_pixels(f"0_{d}.png", (40, 48))) for d in ("t2b", "b2t"))
    rows = scan_time(40)
    matches = []
    for upside_down in (False, True):
        times = 1 - rows.flip(0) if upside_down else rows
        top = int((times - sample.scan_time[0]).abs().argmin())
        assert torch.allclose(times[top : top + 32], sample.scan_time)
        for first in (t2b, b2t):
            image = first.flip(1) if upside_down else first
            for mirrored in (image, image.flip(2)):
                strips = mirrored[:, top : top + 32].unfold(2, 32, 1)
                matches.append(
                    bool((strips.movedim(2, 0) == sample.pair[0]).flatten(1).all(1).any())
                )
    assert sum(matches) == 1


def test_captures_to_validate_on_may_lie_elsewhere(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures", 2)
    write_captures(tmp_path / "held_out", 3)
    found = build_validation_set(captures_options(tmp_path, data_root=str(tmp_path / "held_out")))
    assert found is not None
    assert len(found) == 3


def test_training_captures_are_refused_for_validation(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures" / "rest", 2)
    write_captures(tmp_path / "captures" / "few", 1)
    for folder in ("captures", "captures/few"):
        options = captures_options(tmp_path, data_root=str(tmp_path / folder))
        with pytest.raises(InputError, match=r"0_b2t\.png is one of the training captures; name"):
            build_validation_set(options)


def test_too_few_captures_to_hold_some_out(tmp_path: Path) -> None:
    write_captures(tmp_path / "captures", 2)
    with pytest.raises(InputError, match="every is 3, but there are only 2 captures, so none"):
        build_validation_set(captures_options(tmp_path, every=3))


def test_bad_folders_of_captures_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    with pytest.raises(InputError, match=r"captures: no captures; expected pairs of NAME_t2b\.png"):
        build_training_set(captures_options(tmp_path, every=3))
    write_captures(tmp_path / "captures", 3)
    with pytest.raises(InputError, match="patch_size 64x64 is larger than the image, 40x48"):
        build_training_set(captures_options(tmp_path, patch=64, every=3))


def test_no_validation(tmp_path: Path) -> None:
    content = tiny_options(tmp_path).model_dump(mode="json")
    content["datasets"]["valid"] = None
    options = TrainingOptions.model_validate_json(json.dumps(content))
    assert build_validation_set(options) is None


@pytest.mark.parametrize(
    ("valid", "chosen"),
    [
        ({"count": 3}, [0, 1, 2]),
        ({"count": 3, "choice": "spread"}, [1, 4, 7]),
        ({"count": 99, "choice": "spread"}, list(range(9))),
        ({"protocol": "ifed"}, [1, 4, 7]),
        ({"protocol": "ifed", "count": 1, "choice": "spread"}, [4]),
    ],
    ids=str,
)
def test_which_captures_are_validated_on(tmp_path: Path, valid, chosen: list[int]) -> None:
    for split in ("train", "valid"):
        write_rs_gopro(tmp_path, split=split, sequences=("a", "b", "c"), pairs=3, frames=3)
    names = [f"{sequence}/{index:08d}" for sequence in "abc" for index in range(3)]
    found = build_validation_set(validating(tmp_path, **valid))
    assert found.names == [names[index] for index in chosen]


def test_a_protocol_that_leaves_out_every_capture(tmp_path: Path) -> None:
    write_rs_gopro(tmp_path, split="valid", pairs=2, frames=3)
    with pytest.raises(InputError, match="datasets.valid.protocol: 'ifed' leaves out the first"):
        build_validation_set(validating(tmp_path, protocol="ifed"))


def validating(root: Path, **valid) -> TrainingOptions:
    content = tiny_options(root / "out").model_dump(mode="json")
    data = {"dataset_type": "rs_gopro", "data_root": str(root)}
    content["datasets"]["valid"] = data | valid
    return TrainingOptions.model_validate_json(json.dumps(content))
