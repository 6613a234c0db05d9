"""Training on one's own captures, without any true frame."""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import main_train_stage1
import main_train_stage2
from data.capture import TrainingSample
from models.losses.objective import Loss
from tests.helpers.capture_folders import write_pixels
from tests.helpers.tiny_training import same_weights, tiny_options, train
from utils.checkpoint import load_generator, save_weights
from utils.options.command_line import run
from utils.options.training import TrainingOptions
from utils.training.correction_network import build_network, build_objective
from utils.training.reporting import read_records
from utils.training.validation import Validation

ROOT = Path(__file__).parents[2]


def crashing_objective(options: TrainingOptions, *, at: int) -> nn.Module:
    """An objective that fails at one call, counted from 0."""
    objective = build_objective(options, torch.device("cpu"))
    calls = itertools.count()
    compute = objective.forward

    def compute_or_crash(generator: nn.Module, batch: TrainingSample) -> Loss:
        if next(calls) == at:
            raise RuntimeError("crash")
        found: Loss = compute(generator, batch)
        return found

    objective.forward = compute_or_crash
    return objective


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures")
    for index in range(4):
        for direction in ("t2b", "b2t"):
            write_pixels(folder / f"{index}_{direction}.png", (64, 72))
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, captures: Path):
    options = captures_options(tmp_path_factory.mktemp("unbroken"), captures)
    return options, train(options)


def captures_options(root: Path, captures: Path, **step: Any) -> TrainingOptions:
    content = tiny_options(root, objective="cycle", hidden_share=0.2, **step).model_dump(
        mode="json"
    )
    data = content["datasets"]
    data["train"] |= {"dataset_type": "captures", "data_root": str(captures)}
    data["train"] |= {"patch_size": 32, "crops_per_scene": 3}
    for key in ("scene", "procedural_textures", "flows", "sensor_rows"):
        del data["train"][key]
    data["valid"] = {"dataset_type": "captures", "every": 4}
    return TrainingOptions.model_validate_json(json.dumps(content))


def recorded(options: TrainingOptions) -> list[dict[str, float]]:
    """Records without what depends on the machine's speed."""
    records = read_records(Path(options.path.root) / options.task / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k != "samples_per_second"} for record in records]


def test_crashed_and_resumed_equals_unbroken(tmp_path: Path, captures: Path, unbroken) -> None:
    broken = captures_options(tmp_path, captures)
    with pytest.raises(RuntimeError, match="crash"):
        train(broken, objective=crashing_objective(broken, at=3))
    assert same_weights(train(broken), unbroken[1])
    assert recorded(broken) == recorded(unbroken[0])


def test_scores_without_truth_choose_the_best_weights(unbroken) -> None:
    options, _ = unbroken
    scored = [record for record in recorded(options) if "valid_cycle_psnr" in record]
    assert [record["step"] for record in scored] == [3, 4]
    assert all(5 < record["valid_cycle_psnr"] < 60 for record in scored)
    assert all(0 < record["valid_disagreement"] < 255 for record in scored)
    best = Path(options.path.root) / options.task / "checkpoints" / "best.safetensors"
    assert load_generator(best).n_feats == 8


def test_pretrained_weights_stay_the_best_where_training_spoils_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, captures: Path
) -> None:
    start = tmp_path / "start.safetensors"
    save_weights(start, build_network(captures_options(tmp_path, captures)))
    falling = itertools.count()
    monkeypatch.setattr(
        "utils.training.correction_network.validate",
        lambda *_: Validation({"valid_cycle_psnr": 30.0}, -float(next(falling))),
    )
    step = {"pretrained": start, "iterations": 2, "checkpoint_test": 1}
    whole, broken = (
        captures_options(tmp_path / name, captures, **step) for name in ("whole", "broken")
    )
    train(whole)
    assert [r["step"] for r in recorded(whole) if "valid_cycle_psnr" in r] == [0, 1, 2]
    best = load_generator(tmp_path / "whole" / "tiny" / "checkpoints" / "best.safetensors")
    assert same_weights(best, load_generator(start))
    with pytest.raises(RuntimeError, match="crash"):
        train(broken, objective=crashing_objective(broken, at=1))
    train(broken)
    assert recorded(broken) == recorded(whole)


@pytest.mark.slow
def test_shipped_options_fine_tune_the_bundled_weights_in_both_stages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, captures: Path
) -> None:
    monkeypatch.chdir(ROOT)
    common = [f"path.root={tmp_path}", f"datasets.train.data_root={captures}", "device=cpu"]
    common += ["train.iterations=2", "datasets.valid.every=2", "train.checkpoint_test=1"]
    common += ["datasets.train.patch_size=32", "datasets.train.dataloader_num_workers=0"]
    best = tmp_path / "finetune_captures" / "checkpoints" / "best.safetensors"
    stages = [
        (main_train_stage1, "finetune_captures", []),
        (
            main_train_stage2,
            "finetune_captures_stage2",
            [f"path.pretrained_netG={best}", "datasets.train.patch_size=64", "train.border=16"],
        ),
    ]
    for script, name, more in stages:
        words = [script.__file__, "--opt", f"options/{name}.json", "--set", *common, *more]
        monkeypatch.setattr(sys, "argv", words)
        script.main()
        trained = load_generator(tmp_path / name / "generator.safetensors")
        assert not same_weights(
            trained, load_generator("pretrained/drsc_light_generator.safetensors")
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["datasets.train.data_root=none"], "none: no such folder of captures"),
        (["datasets.train.patch_size=96"], "patch_size 96x96 is larger than the image, 64x72"),
        (["datasets.valid.every=9"], "datasets.valid.every is 9, but there are only 4 captures"),
        (
            ['datasets.valid={"dataset_type": "captures", "data_root": "{captures}"}'],
            "is one of the training captures; name others, or leave it out",
        ),
        (
            ["train.objective=supervised", "train.hidden_share=0"],
            "'supervised' needs true frames; 'captures' have none",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, captures: Path, overrides, message
) -> None:
    monkeypatch.chdir(ROOT)
    words = ["main_train_stage1.py", "--opt", "options/finetune_captures.json", "--set"]
    words += [f"path.root={tmp_path / 'out'}", f"datasets.train.data_root={captures}"]
    words += ["datasets.train.patch_size=32", "datasets.valid.every=2", "device=cpu"]
    words += [override.replace("{captures}", str(captures)) for override in overrides]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        run(main_train_stage1.main)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
