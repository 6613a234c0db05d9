"""Studies: one folder per seed, and no mixture of options."""

import json
from pathlib import Path

import pytest

from tests.helpers.tiny_training import tiny_options
from utils.errors import InputError
from utils.options.seeds import runs_of
from utils.options.training import TrainingOptions


def study(root: Path, seeds: list[int] | None, resume: str = "auto", *overrides: str, **train):
    options = tiny_options(root, task="study", **train)
    return runs_of(options, seeds, resume=resume, overrides=overrides)


def record(options: TrainingOptions) -> None:
    folder = Path(options.path.root) / options.task
    folder.mkdir(parents=True)
    (folder / "options.json").write_text(json.dumps(options.model_dump(mode="json")))


def test_every_seed_has_a_folder_and_is_else_the_same(tmp_path: Path) -> None:
    single = study(tmp_path, None)
    assert single == [tiny_options(tmp_path, task="study")]
    runs = study(tmp_path, [0, 7])
    assert [run.seed for run in runs] == [0, 7]
    assert [Path(run.path.root) / run.task for run in runs] == [
        *(tmp_path / "study" / "seed_0", tmp_path / "study" / "seed_7")
    ]
    assert runs[0].train == runs[1].train == single[0].train


def test_stage_2_starts_from_the_stage_1_of_its_seed(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, pretrained=Path("s1/seed_{seed}/generator.safetensors"))
    starts = [
        run.path.pretrained_netG for run in runs_of(options, [3, 4], resume="auto", overrides=[])
    ]
    assert starts == [f"s1/seed_{seed}/generator.safetensors" for seed in (3, 4)]


@pytest.mark.parametrize(
    ("seeds", "resume", "overrides", "message"),
    [
        ([1, 1], "auto", [], "--seeds 1 1: expected different seeds"),
        ([-1], "auto", [], "--seeds -1: expected 0 to"),
        ([2**62], "auto", [], "expected 0 to 4611686018427387903"),
        ([1], "auto", ["seed=3"], "--seeds 1: names the seeds; leave out --set seed="),
        ([1], "x.pt", [], "--resume x.pt: expected auto or never with --seeds"),
    ],
)
def test_bad_seeds(tmp_path: Path, seeds, resume, overrides, message) -> None:
    with pytest.raises(InputError, match=message):
        study(tmp_path, seeds, resume, *overrides)


def test_a_run_of_a_single_seed_is_in_the_way(tmp_path: Path) -> None:
    record(tiny_options(tmp_path, task="study"))
    with pytest.raises(InputError, match="study: holds a run of a single seed; choose another"):
        study(tmp_path, [0, 1])


def test_all_seeds_of_a_study_share_their_options(tmp_path: Path) -> None:
    for run in study(tmp_path, [0, 1]):
        record(run)
    study(tmp_path, [0, 1, 2])
    study(tmp_path, [0, 1], iterations=6)  # trained further
    study(tmp_path, [2], checkpoint_save=3)  # changes no weights
    message = "seed_1: was run with other options: train.G_optimizer_lr: 0.001 -> 0.002; choose"
    with pytest.raises(InputError, match=message):
        study(tmp_path, [0], "never", G_optimizer_lr=2e-3)
    study(tmp_path, [0, 1], "never", G_optimizer_lr=2e-3)
    with pytest.raises(InputError, match="seed_0: was run with other options: train.iterations"):
        study(tmp_path, [2], iterations=6)


def test_an_unreadable_record_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "seed_0"
    folder.mkdir(parents=True)
    (folder / "options.json").write_text("{")
    with pytest.raises(InputError, match="options.json: not the options of a run of this version"):
        study(tmp_path, [0])
