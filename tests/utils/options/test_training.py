"""Option files: every shipped one parses, and every mistake is named with its key and cure."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from data.simulator.settings import SceneSettings
from utils.errors import InputError
from utils.options.data import SceneOptions
from utils.options.evaluation import EvaluationOptions
from utils.options.files import OptionGroup, changed_options, load_options, with_defaults
from utils.options.flow_training import FlowTrainingOptions
from utils.options.real import RealOptions
from utils.options.training import TrainingOptions
from utils.training.step import learning_rate

OPTIONS = Path(__file__).parents[3] / "options"
RECIPES = OPTIONS / "recipes"
TRAINING_FILES = sorted(
    file
    for file in [*OPTIONS.glob("*.json"), *RECIPES.glob("*.json")]
    if not file.stem.startswith(("test", "eval", "train_flow", "train_interpolator"))
)

MINIMAL = """
{ // a comment; "quotes" and { in it are fine
  "task": "here",
  "path": { "pretrained_rsg": "https://example.org//pwc" }, // the URL is kept
  "datasets": { "train": { "dataset_type": "simulated" } },
  "train": {
    "objective": "supervised", "G_lossfn_type": "1*Charbonnier", "iterations": 3,
  },
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train_stage1.json"
    path.write_text(MINIMAL)
    return path


def load(file: Path, *overrides: str) -> TrainingOptions:
    return load_options(file, overrides, TrainingOptions)


def problem(file: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load(file, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("file", TRAINING_FILES, ids=lambda file: file.stem)
def test_shipped_files_parse(file: Path) -> None:
    load(file)


def test_a_recipe_is_found_where_it_moved() -> None:
    said = problem(OPTIONS / "train_refiner.json")
    assert said == (
        f"{OPTIONS / 'train_refiner.json'}: no such option file; it moved to "
        f"{RECIPES / 'train_refiner.json'}"
    )


def test_stage_1_is_the_released_recipe() -> None:
    options = load(OPTIONS / "train_stage1.json")
    train, data = options.train, options.datasets.train
    assert (data.dataloader_batch_size, data.patch_size, data.times) == (48, 256, "released")
    assert (train.G_optimizer_lr, train.G_scheduler_eta_min) == (1e-4, 1e-7)
    assert (train.G_optimizer_wd, train.G_optimizer_clipgrad) == (0.01, 20)
    assert (train.G_scheduler_periods, train.iterations) == (300_000, 205_000)
    assert train.loss_weights == {"Charbonnier": 1, "Perceptual": 0.1, "Variation": 0.1}
    assert (data.augment, options.netG.init) == (False, "pytorch")
    assert (train.perceptual_channels, train.sampling, train.flow_gradients) == (
        *("bgr", "released"),
        True,
    )


def test_stage_1_ends_within_the_first_period_of_its_schedule() -> None:
    train = load(OPTIONS / "train_stage1.json").train
    assert learning_rate(0, train) == 1e-4
    assert learning_rate(150_000, train) == pytest.approx((1e-4 + 1e-7) / 2)
    assert learning_rate(train.iterations - 1, train) == pytest.approx(2.2846e-5, rel=1e-4)


def test_stage_2_is_the_released_recipe() -> None:
    options = load(OPTIONS / "train_stage2.json")
    train, data = options.train, options.datasets.train
    assert (data.dataloader_batch_size, data.patch_size, train.border) == (32, 320, 32)
    assert (train.G_optimizer_lr, train.G_scheduler_eta_min) == (5e-5, 1e-6)
    assert train.iterations == 110_000
    assert (data.augment, train.perceptual_channels, train.sampling) == (False, "bgr", "released")
    assert options.netG.channels is None  # of the stage-1 file: BGR in the authors'


@pytest.mark.parametrize("stage", ["train_stage1", "train_stage2"])
def test_the_augmented_recipe_differs_from_the_released_one_in_these_keys(stage: str) -> None:
    released, ours = (
        load(OPTIONS / f"{stage}{kind}.json").model_dump(mode="json") for kind in ("", "_augmented")
    )
    differing = {line.partition(":")[0] for line in changed_options(released, ours)}
    own = {"netG.init"} if stage == "train_stage1" else {"path.pretrained_netG"}
    assert differing == own | {
        *("task", "datasets.train.augment", "train.perceptual_channels", "train.sampling")
    }


def test_options_of_earlier_versions_mean_what_they_meant() -> None:
    """Recorded before these options existed: flips, Kaiming's weights, VGG-19 on RGB."""
    options = load(OPTIONS / "smoke.json")
    recorded = options.model_dump(mode="json")
    recorded["netG"] |= {"channels": "rgb"}
    del recorded["netG"]["init"], recorded["train"]["perceptual_channels"]
    del recorded["datasets"]["train"]["sensor_rows"], recorded["datasets"]["valid"]["scene"]
    then = TrainingOptions.model_validate_json(json.dumps(recorded))
    assert (then.netG.channels, then.netG.init) == ("rgb", None)
    assert (then.train.perceptual_channels, then.datasets.train.augment) == ("rgb", True)
    completed = with_defaults(recorded, TrainingOptions)
    assert list(changed_options(completed, then.model_dump(mode="json"))) == []
    assert completed == then.model_dump(mode="json")


def test_one_stage_is_the_released_recipe() -> None:
    options = load(OPTIONS / "train_plusplus.json")
    train, data = options.train, options.datasets.train
    assert (options.netG.net_type, train.rebuilding) == ("selfdrsc_plusplus", "interpolation")
    assert (data.dataloader_batch_size, data.patch_size, data.times) == (16, 256, "released")
    assert not data.augment
    assert (train.G_optimizer_lr, train.G_scheduler_eta_min) == (2e-4, 5e-5)
    assert (train.G_optimizer_wd, train.G_optimizer_clipgrad) == (0.01, 20)
    assert (train.G_scheduler_periods, train.iterations) == (100_000, 150_000)
    assert train.loss_weights == {"Lap": 1, "Perceptual": 0.1}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["path.pretrained_interpolator=null"],
            "'path.pretrained_interpolator': train.rebuilding 'interpolation' needs the file "
            "flownet_sdi.pkl of InterpAny-Clearer",
        ),
        (["path.pretrained_interpolator=null"], "got null; train.rebuilding 'flow' needs none"),
        (["train.rebuilding=flow"], "'path.pretrained_rsg': 'cycle' needs a PWC-Net file"),
        (["train.rebuilding=rife"], "'train.rebuilding' must be 'flow' or 'interpolation'"),
        (
            ["datasets.train.patch_size=[96, 32]"],
            "'datasets.train.patch_size': the term 'Lap' needs at least 64 rows",
        ),
    ],
)
def test_impossible_options_of_the_one_stage_recipe(overrides: list[str], message: str) -> None:
    said = problem(OPTIONS / "train_plusplus.json", *overrides)
    assert message in said
    assert "\n" not in said


def test_comments_go_and_urls_stay(file: Path) -> None:
    assert load(file).path.pretrained_rsg == "https://example.org//pwc"


def test_defaults_of_scenes_are_the_simulator_s() -> None:
    options, settings = SceneOptions(), SceneSettings()
    for field in dataclasses.fields(SceneSettings):
        value = getattr(options, field.name)
        single = value if field.name == "parallax" or not isinstance(value, tuple) else value[0]
        assert single == getattr(settings, field.name), field.name
    assert {field.name for field in dataclasses.fields(SceneSettings)} == set(
        SceneOptions.model_fields
    )


def test_overrides_are_json_where_they_parse_and_text_otherwise(file: Path) -> None:
    options = load(
        file,
        "train.G_optimizer_lr=2e-4",
        "task=second run",
        "path.pretrained_rsg=null",
        "datasets.train.scene.strength=[0.5, 2]",
        "netG.width=0.5",
    )
    assert options.train.G_optimizer_lr == 2e-4
    assert options.task == "second run"
    assert options.path.pretrained_rsg is None
    assert options.datasets.train.scene.strength == (0.5, 2)
    assert options.netG.width == 0.5


def test_crops_and_cameras_of_simulated_scenes(file: Path) -> None:
    options = load(
        file,
        "datasets.train.patch_size=[64,128]",
        "datasets.train.procedural_textures=4",
        "datasets.train.scene.exposure=[0.1, 0.3]",
        "datasets.train.scene.read_noise=0.01",
        "datasets.train.scene.parallax=[4, -1]",
    )
    data = options.datasets.train
    assert (data.patch_size, data.patch, data.procedural_textures) == ((64, 128), (64, 128), 4)
    assert (data.scene.exposure, data.scene.read_noise) == ((0.1, 0.3), (0.01, 0.01))
    assert data.scene.parallax == (4, -1)
    assert load(file).datasets.train.patch == (256, 256)


def test_override_reaches_into_an_absent_group(file: Path) -> None:
    set_valid = ("datasets.valid.dataset_type=simulated", "datasets.valid.count=2")
    valid = load(file, *set_valid).datasets.valid
    assert valid is not None
    assert valid.count == 2


def test_options_are_frozen(file: Path) -> None:
    with pytest.raises(ValidationError):
        load(file).task = "other"


def test_mistyped_key_in_the_file_names_the_nearest(file: Path) -> None:
    file.write_text(MINIMAL.replace('"iterations"', '"G_optimizer_lrr": 1e-4, "iterations"'))
    assert problem(file) == (
        "train_stage1.json: unknown key 'train.G_optimizer_lrr'; "
        "did you mean 'train.G_optimizer_lr'?"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("G_optimizer_lr=1", "unknown key 'G_optimizer_lr'; did you mean 'train.G_optimizer_lr'?"),
        ("netG.zzz=1", "unknown key 'netG.zzz'; known keys: netG.net_type, netG.n_feats"),
        ("train.iterations=abc", "'train.iterations' must be a valid integer, got \"abc\""),
        ("train.iterations=1.5", "'train.iterations' must be a valid integer, got 1.5"),
        ("train.iterations=0", "'train.iterations' must be greater than 0, got 0"),
        ("train.G_optimizer_lr=0", "'train.G_optimizer_lr' must be greater than 0, got 0"),
        ("train.G_optimizer_lr=NaN", "'train.G_optimizer_lr' must be a finite number, got NaN"),
        ("train.flow_gradients=1", "'train.flow_gradients' must be a valid boolean, got 1"),
        ("train=3", "'train' must be a group {...} of keys, got 3"),
        ("device=gpu", "'device' must be 'auto', 'cpu', 'cuda' or 'mps', got \"gpu\""),
        ("task=a/b", "'task': expected a folder name without separators, got 'a/b'"),
        ("train.G_optimizer_lr=1e-9", "expected at most G_optimizer_lr (1e-09), got 1e-07"),
        ("train.G_lossfn_type=1*Charbonier", "unknown term 'Charbonier'"),
        ("train.G_lossfn_type=1*Flow", "'datasets.train.flows': the term 'Flow' needs exact flows"),
        ("train.G_lossfn_type=1*Perceptual", "'path.perceptual_weights': the term 'Perceptual'"),
        (
            "datasets.train.patch_size=100",
            "'datasets.train.patch_size': expected a multiple of 32 or two, [rows, columns], "
            "got 100",
        ),
        ("datasets.train.patch_size=[96]", "or two, [rows, columns], got [96]"),
        ("datasets.train.patch_size=[96,100]", "or two, [rows, columns], got [96, 100]"),
        ("datasets.train.scene.exposure=2", "scene.exposure': expected 0 to 1, got 2"),
        ("datasets.train.scene.strength=[-1, 2]", "expected 0 to 10, got [-1.0, 2.0]"),
        ("datasets.train.scene.read_noise=[0.2, 0.1]", "expected [low, high], got [0.2, 0.1]"),
        ("datasets.train.scene.gamma=0.5", "scene.gamma': expected 1 to 10, got 0.5"),
        ("datasets.train.sensor_rows=[0.9, 0.1]", "low < high <= 1, got [0.9, 0.1]"),
        ("train.threads=100000", "'train.threads' must be less than or equal to 1024, got 100000"),
        ("train.G_optimizer_lr=1e300", "must be less than or equal to 1, got 1e+300"),
        ("netG.width=1e9", "'netG.width' must be less than or equal to 8, got 1000000000.0"),
        ("seed=99999999999999999999", "'seed' must be less than 4611686018427387904, got 999"),
        ("datasets.train.patch_size=true", "or two, [rows, columns], got True"),
        (
            "datasets.train.patch_size=[544,64]",
            "'datasets.train.patch_size': [544, 64] is larger than the scene (540x960)",
        ),
        (
            "datasets.train.patch_size=544",
            "'datasets.train.patch_size': 544 is larger than the scene (540x960)",
        ),
        ("datasets.train.dataloader_batch_size=0", "must be greater than 0, got 0"),
        ("datasets.train.scene.strength=[2, 1]", "expected [low, high], got [2.0, 1.0]"),
        ("datasets.train.dataset_type=captures", "expected a folder for 'captures', got null"),
        ("train.iterations", "--set train.iterations: expected key.path=value"),
        ("task.x=1", "--set task.x=1: 'task' is a value, not a group of keys"),
    ],
)
def test_wrong_values_name_key_and_cure(file: Path, override: str, message: str) -> None:
    said = problem(file, override)
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["path.pretrained_rsg=null"],
            "'path.pretrained_rsg': 'distillation' needs a PWC-Net",
        ),
        (["path.pretrained_netG=null"], "'path.pretrained_netG': 'distillation' needs stage-1"),
        (["train.border=0"], "'train.border': 'distillation' needs a border, got 0"),
        (["train.border=160"], "a positive multiple of 32, got 320 - 2 * 160 = 0"),
        (["train.border=8"], "a positive multiple of 32, got 320 - 2 * 8 = 304"),
        (["datasets.train.patch_size=[320,64]"], "multiple of 32, got 64 - 2 * 32 = 0"),
        (
            ["train.objective=supervised", "datasets.train.dataset_type=captures"],
            "needs true frames",
        ),
        (["datasets.train.scene={}"], "only for 'simulated' data, not 'rs_gopro'"),
        (["datasets.valid.seed=4"], "seed': only for 'simulated' data, not 'rs_gopro'"),
        (["datasets.train.split=../x"], "expected a folder name without separators, got '../x'"),
        (["netG.net_type=refiner", "netG.channels=bgr"], "'refiner' works on 'rgb', got 'bgr'"),
        (
            ["netG.net_type=refiner", "netG.init=pytorch"],
            "'netG.init': 'refiner' has initial weights of its own, got 'pytorch'; leave it out",
        ),
        (
            ["train.motion_estimate=torch"],
            "'train.motion_estimate': not for the network 'generator'; set it to 'auto'",
        ),
        (
            ["netG.net_type=refiner", "train.motion_estimate=gpu"],
            "'train.motion_estimate' must be 'auto', 'opencv' or 'torch', got \"gpu\"",
        ),
        (["netG.init=xavier"], "'netG.init' must be 'kaiming' or 'pytorch', got \"xavier\""),
        (["train.perceptual_channels=grey"], "'train.perceptual_channels' must be 'rgb' or 'bgr'"),
        (["train.G_lossfn_type=1*Variation"], "distillation needs Charbonnier or Perceptual"),
        (
            ["train.G_lossfn_type=1*Charbonnier", "train.hidden_share=0.001"],
            "hidden_share': expected 0 or at least 0.01",
        ),
        (["datasets.train.procedural_textures=4"], "procedural_textures': only for 'simulated'"),
        (["datasets.train.flows=true"], "'datasets.train.flows': only for 'simulated' data"),
        (["datasets.train.sensor_rows=[0, 0.5]"], "sensor_rows': only for 'simulated' data"),
        (
            ["datasets.train.distinct_samples=100"],
            "distinct_samples': expected a multiple of dataloader_batch_size times "
            "dataloader_num_workers (256), got 100",
        ),
        (
            ['datasets.valid={"dataset_type": "captures", "every": 5}'],
            "'datasets.valid.every': holds out some of the training captures, but "
            "datasets.train.dataset_type is 'rs_gopro'",
        ),
        (
            ['datasets.valid={"dataset_type": "captures", "every": 5, "data_root": "x"}'],
            "'datasets.valid.every': holds captures of datasets.train.data_root out of training",
        ),
        (
            ['datasets.valid={"dataset_type": "rs_gopro", "every": 5, "data_root": null}'],
            "'datasets.valid.every': only for 'captures' data, not 'rs_gopro'",
        ),
        (
            ['datasets.valid={"dataset_type": "captures", "every": 1}'],
            "'datasets.valid.every' must be greater than or equal to 2, got 1",
        ),
        (["train.hidden_share=0.6"], "'train.hidden_share' must be less than or equal to 0.5"),
        (["train.hidden_share=0.1"], "'train.hidden_share': Perceptual needs whole images; remove"),
        (
            ['datasets.valid={"dataset_type": "simulated"}'],
            "'datasets.valid.count': expected how many scenes to simulate, got null",
        ),
    ],
)
def test_options_that_do_not_agree(overrides: list[str], message: str) -> None:
    said = problem(OPTIONS / "train_stage2.json", *overrides)
    assert message in said
    assert "\n" not in said


def test_every_problem_has_a_line_of_its_own(file: Path) -> None:
    said = problem(file, "sed=1", "train.iterations=0").splitlines()
    assert said == [
        "--set: 'train.iterations' must be greater than 0, got 0",
        "--set: unknown key 'sed'; did you mean 'seed'?",
    ]


def test_missing_key(file: Path) -> None:
    content = {"task": "a", "path": {}, "datasets": {"train": {"dataset_type": "simulated"}}}
    file.write_text(json.dumps(content))
    assert problem(file) == "train_stage1.json: missing key 'train'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"task": }', "train_stage1.json: not valid JSON:"),
        ('{"task": "a", "task": "b"}', 'not valid JSON: Duplicate key "task"'),
        ("[1]", "expected a group {...} of options, got [1]"),
        ("", "train_stage1.json: not valid JSON:"),
    ],
)
def test_broken_files(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    said = problem(file)
    assert message in said
    assert "\n" not in said


def test_unreadable_files(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    assert problem(missing) == f"{missing}: cannot read the option file: No such file or directory"
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert problem(binary) == f"{binary}: cannot read the option file: not UTF-8 text"


def option_groups(group: type[OptionGroup] = OptionGroup) -> Iterator[type[OptionGroup]]:
    for derived in group.__subclasses__():
        if derived.__module__.startswith("utils."):
            yield derived
        yield from option_groups(derived)


def test_every_option_is_explained_where_it_is_defined() -> None:
    groups = list(option_groups())
    assert {TrainingOptions, FlowTrainingOptions, EvaluationOptions, RealOptions} <= {*groups}
    for group in groups:
        for name in set(group.__annotations__) & set(group.model_fields):
            assert f"`{name}`" in str(group.__doc__), f"{group.__name__}: {name}"


def test_an_option_file_of_the_released_code_gets_one_answer(tmp_path: Path) -> None:
    file = tmp_path / "released.json"
    released = {
        "task": "stage1",
        "model": "plain",
        "gpu_ids": [0, 1],
        "total_iter": 300000,
        "path": {"root": "experiments", "pretrained_netE": None},
        "datasets": {"train": {"data_root": "data", "H_size": 256}, "test": {"name": "test"}},
        "netG": {"net_type": "generator", "init_type": "orthogonal"},
        "train": {"E_decay": 0, "G_optimizer_type": "adam", "mystery": 1},
    }
    file.write_text(json.dumps(released))
    said = problem(file)
    assert "\n" not in said
    assert said.startswith("released.json: an option file of the released code; start from")
    for part in (
        "'total_iter' is train.iterations",
        "'datasets.train.H_size' is datasets.train.patch_size",
        "leave out 'path.pretrained_netE', 'train.E_decay', 'model'",
        "1 more keys are unknown: 'train.mystery'",
        "train_stage2.json, which are its recipe (weight decay 0.01 was in force",
        "'datasets.test' is datasets.valid in training",
        "'netG.init_type' is netG.init, \"pytorch\" as released",
    ):
        assert part in said, said
    with pytest.raises(InputError) as caught:
        load_options(file, (), EvaluationOptions)
    said = str(caught.value)
    assert "\n" not in said
    assert "start from options/test.json or test_real.json, where" in said
    assert "'netG' is read from the weights" in said
    assert "'train' is for training only" in said


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5000 * "[" + 5000 * "]", "expected at most 4096 characters, got 10000"),
        ('"a\\u0000b"', "expected text without NUL characters and surrogates, got 'a\\x00b'"),
        ('"\\ud800"', "expected text without NUL characters and surrogates, got '\\ud800'"),
        (400 * "9", "expected a number below 2^128, got one of 1329 bits"),
        (json.dumps("x" * 10**6), "expected at most 4096 characters, got 1000000"),
    ],
)
@pytest.mark.parametrize("key", ["task", "train.iterations", "path.pretrained_netG", "netG.zzz"])
def test_values_that_no_option_takes(file: Path, key: str, value: str, message: str) -> None:
    assert problem(file, f"{key}={value}") == f"--set: '{key}': {message}"
    assert problem(file, f'{key}=["a", {value}]').splitlines()[0].startswith(f"--set: '{key}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"task": ' + 5000 * "[" + 5000 * "]" + "}", "not valid JSON: nested too deep"),
        ('{"task": ' + 5000 * "9" + "}", "not valid JSON: Exceeds the limit"),
        ('{"\\ud800\\n": 1}', "expected a key without surrogates"),
        (100_000 * " " + "{}", "expected an option file of at most 100000 bytes, got 100002"),
        (json.dumps(["x"] * 1000), "expected a group {...} of options, got ["),
    ],
)
def test_files_that_hold_no_options(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    said = problem(file)
    assert message in said and len(said.splitlines()) == 1 and len(said) < 600


def test_messages_stay_short_and_one_line(file: Path) -> None:
    assert len(problem(file, f"train.iterations={4000 * 'x'}")) < 500
    assert problem(file, "task=a\nb") == (
        "--set: 'task': expected a folder name of printable characters, without a leading dot, of "
        "at most 255 bytes, got 'a\\nb'"
    )
    assert len(problem(file, ".".join(5000 * "a") + "=1")) < 500
    assert "expected key.path=value" in problem(file, 10**6 * "x")


@pytest.mark.parametrize("count", ["1e30", "1000000000", "-1"])
def test_textures_have_a_largest_number(file: Path, count: str) -> None:
    said = problem(file, f"datasets.train.procedural_textures={count}")
    assert said.startswith("--set: 'datasets.train.procedural_textures' must be")


def test_a_pipe_is_no_option_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "expected a regular file, got a pipe" in problem(tmp_path / "pipe.json")
