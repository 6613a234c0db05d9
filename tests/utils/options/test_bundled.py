import shutil
from pathlib import Path

import pytest

from utils.options.evaluation import EvaluationOptions
from utils.options.files import load_options
from utils.options.real import RealOptions
from utils.options.training import TrainingOptions

OPTIONS = Path(__file__).parents[3] / "options"


def test_bundled_files_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = OPTIONS / "test_real.json"
    monkeypatch.chdir(OPTIONS.parent)
    assert load_options(file, [], RealOptions).datasets.test.data_root == "data/samples"
    monkeypatch.chdir(tmp_path)
    options = load_options(file, [], RealOptions)
    assert Path(str(options.path.pretrained_netG)).is_file()
    assert Path(options.datasets.test.data_root).is_dir()


def test_data_results_and_given_paths_are_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["path.pretrained_netG=pretrained/own.pth"]
    evaluation = load_options(OPTIONS / "test.json", given, EvaluationOptions)
    assert evaluation.path.pretrained_netG == "pretrained/own.pth"
    assert (evaluation.path.root, evaluation.datasets.test.data_root) == (
        "results",
        "datasets/RS-GOPRO",
    )
    smoke = load_options(OPTIONS / "smoke_stage2.json", [], TrainingOptions)
    assert smoke.path.pretrained_netG == "experiments/smoke_stage1/generator.safetensors"
    tuning = load_options(OPTIONS / "finetune_captures.json", [], TrainingOptions)
    assert Path(str(tuning.path.pretrained_netG)).is_file()


def test_paths_of_other_option_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(OPTIONS / "test_real.json", tmp_path)
    assert load_options("test_real.json", [], RealOptions).datasets.test.data_root == "data/samples"
