"""A folder's record says what made its weights: other options are refused, not noted down."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.tiny_training import same_weights, tiny_options, train
from utils.checkpoint import latest
from utils.errors import InputError
from utils.options.seeds import runs_of
from utils.options.training import TrainingOptions
from utils.training.reporting import read_records

RECORD = ("options.json", "versions.json", "history.jsonl", "generator.safetensors")


def changed(options: TrainingOptions, **values: Any) -> TrainingOptions:
    """Options with other values by key, dots as double underscores."""
    content = options.model_dump(mode="json")
    for key, value in values.items():
        *groups, name = key.split("__")
        place = content
        for group in groups:
            place = place[group]
        place[name] = value
    return TrainingOptions.model_validate_json(json.dumps(content))


def record_of(options: TrainingOptions) -> dict[str, bytes]:
    folder = Path(options.path.root) / options.task
    return {name: (folder / name).read_bytes() for name in RECORD}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    options = tiny_options(tmp_path_factory.mktemp("finished"), iterations=2)
    train(options)
    return options


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"seed": 3}, "seed: 0 -> 3"),
        ({"train__iterations": 1}, "train.iterations: 2 -> 1"),
        ({"train__G_optimizer_lr": 0.5}, "train.G_optimizer_lr: 0.001 -> 0.5"),
        ({"datasets__valid__seed": 5}, "datasets.valid.seed: 1000000 -> 5"),
        ({"seed": 3, "train__warmup_steps": 1}, "seed: 0 -> 3; train.warmup_steps: 0 -> 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_finished_run_takes_no_other_options(finished, values, named: str) -> None:
    before = record_of(finished)
    with pytest.raises(InputError) as caught:
        train(changed(finished, **values))
    said = str(caught.value)
    assert "has taken 2 of 2 steps" in said
    assert f": {named}; start over by --resume never, which keeps the earlier run aside" in said
    assert said.endswith("or choose another task")
    assert "\n" not in said
    assert record_of(finished) == before


@pytest.mark.slow
def test_both_cures_work(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=2)
    first = train(options)
    other = changed(options, seed=3)
    elsewhere = train(changed(other, task="other"))
    assert same_weights(train(other, resume="never"), elsewhere)
    assert not same_weights(elsewhere, first)
    assert json.loads((tmp_path / "tiny" / "options.json").read_text())["seed"] == 3
    assert json.loads((tmp_path / "tiny.1" / "options.json").read_text())["seed"] == 0


def test_the_same_options_again_touch_nothing(finished) -> None:
    before = record_of(finished)
    train(finished)
    assert record_of(finished) == before
    log = (Path(finished.path.root) / "tiny" / "train.log").read_text()
    assert "finished before: the files in" in log


def test_a_finished_run_may_name_the_channel_order_of_its_weights(finished) -> None:
    before = record_of(finished)
    train(changed(finished, netG__channels="rgb"))
    assert record_of(finished) == before
    with pytest.raises(InputError, match="expected channels bgr, got rgb"):
        train(changed(finished, netG__channels="bgr"))


def test_a_run_whose_folder_moved_is_the_same_run(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    (tmp_path / "tiny").rename(tmp_path / "renamed")
    before = record_of(changed(options, task="renamed"))
    train(changed(options, task="renamed"))
    assert record_of(changed(options, task="renamed")) == before


@pytest.mark.parametrize("key", ["seed", "path__pretrained_netG"])
def test_on_the_way_the_start_cannot_be_changed(tmp_path: Path, key: str) -> None:
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    weights = str(tmp_path / "tiny" / "generator.safetensors")
    value = 3 if key == "seed" else weights
    further = changed(options, train__iterations=2)
    before = record_of(options)
    source = tmp_path / "tiny" / "checkpoints" / "step_00000001.pt"
    message = f"has taken 1 steps; these cannot be .* another task and --resume {source}, or start"
    with pytest.raises(InputError, match=message):
        train(changed(further, **{key: value}))
    assert record_of(options) == before
    train(changed(further, task="on", **{key: value}), resume=str(source))
    log = (tmp_path / "on" / "train.log").read_text()
    assert "resuming at step 1" in log and f"changed option {key.replace('__', '.')}: " in log
    train(further)
    assert json.loads((tmp_path / "tiny" / "options.json").read_text())["train"]["iterations"] == 2


def test_every_start_that_takes_steps_is_in_the_history(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    train(options)
    train(changed(options, train__iterations=2, train__G_optimizer_lr=0.5))
    lines = (tmp_path / "tiny" / "history.jsonl").read_text().splitlines()
    starts = [json.loads(line) for line in lines]
    assert [start["step"] for start in starts] == [0, 1]
    assert [start["options"]["train"]["G_optimizer_lr"] for start in starts] == [1e-3, 0.5]
    assert starts[1]["versions"] == json.loads((tmp_path / "tiny" / "versions.json").read_text())
    assert starts[1]["versions"]["processes"] == "1"
    assert starts[1]["versions"]["devices"] == "cpu"


def test_a_run_can_be_ended_early_by_the_number_of_its_steps(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=2, checkpoint_save=1)
    train(options)
    folder = tmp_path / "tiny"
    # As after a kill between steps 1 and 2.
    (folder / "checkpoints" / "step_00000002.pt").unlink()
    (folder / "generator.safetensors").unlink()
    wrong = changed(options, train__iterations=1, train__warmup_steps=1)
    with pytest.raises(InputError, match="has taken 1 of 2 steps, and train.iterations is 1: no"):
        train(wrong)
    assert not (folder / "generator.safetensors").exists()
    versions = (folder / "versions.json").read_bytes()
    train(changed(options, train__iterations=1))
    assert (folder / "generator.safetensors").exists()
    assert json.loads((folder / "options.json").read_text())["train"]["iterations"] == 1
    assert (folder / "versions.json").read_bytes() == versions
    assert "ended early, after 1 steps" in (folder / "train.log").read_text()


def test_a_finished_run_leaves_no_step_to_another_folder(finished) -> None:
    source = latest(Path(finished.path.root) / "tiny" / "checkpoints")
    other = changed(finished, task="copy", train__G_optimizer_lr=0.5)
    message = "it has 2 steps already and train.iterations is 2; raise train.iterations to go on"
    with pytest.raises(InputError, match=message):
        train(other, resume=str(source))
    assert not (Path(finished.path.root) / "copy" / "generator.safetensors").exists()


def test_uncommitted_changes_are_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.training.experiment.uncommitted_changes", lambda: "-a\n+b")
    found = {"torch": "2", "commit": "c", "uncommitted": "abc"}
    monkeypatch.setattr("utils.training.experiment.find_versions", lambda: dict(found))
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    assert (tmp_path / "tiny" / "uncommitted_abc.diff").read_text() == "-a\n+b\n"
    assert json.loads((tmp_path / "tiny" / "versions.json").read_text())["uncommitted"] == "abc"
    found["uncommitted"] = "def"
    train(changed(options, train__iterations=2))
    assert (tmp_path / "tiny" / "uncommitted_abc.diff").exists()
    log = (tmp_path / "tiny" / "train.log").read_text()
    assert "changed version of uncommitted: 'abc' -> 'def'" in log


def test_a_study_trains_every_seed_as_alone_and_goes_on(tmp_path: Path) -> None:
    shared = tiny_options(tmp_path, task="study", iterations=1)
    runs = runs_of(shared, [0, 5], resume="auto", overrides=[])
    train(runs[0])
    for run in runs:
        train(run)
    train(changed(shared, seed=5, task="alone"))
    weights = "generator.safetensors"
    study = [(tmp_path / "study" / f"seed_{seed}" / weights).read_bytes() for seed in (0, 5)]
    assert study[1] == (tmp_path / "alone" / weights).read_bytes()
    assert study[0] != study[1]
    assert len(read_records(tmp_path / "study" / "seed_0" / "metrics.jsonl")) == 1
    with pytest.raises(InputError, match="study: holds the runs of a study with several seeds"):
        train(shared)


def test_two_runs_of_the_same_training_leave_equal_files(tmp_path: Path) -> None:
    one, two = (tiny_options(tmp_path, task=task, iterations=2) for task in ("one", "two"))
    train(one)
    train(two)
    for name in ("generator.safetensors", "checkpoints/best.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
