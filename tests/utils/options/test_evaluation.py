import argparse
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.options.evaluation import EvaluationOptions, add_method_argument, overrides
from utils.options.files import load_options

OPTIONS = Path(__file__).parents[3] / "options"


def test_bundled_options_are_valid() -> None:
    evaluation = load_options(OPTIONS / "test.json", (), EvaluationOptions)
    assert evaluation.protocols == ("released",) and evaluation.frames is None
    assert evaluation.method == "network"
    yardstick = load_options(OPTIONS / "recipes" / "eval.json", (), EvaluationOptions)
    assert yardstick.protocols == ("full",) and yardstick.baselines


def test_the_command_line_chooses_the_method_after_all_else() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", default=[])
    add_method_argument(parser)
    words = ["--set", "method=network", "path.pretrained_netG=null"]
    assert overrides(parser.parse_args(words)) == words[1:]
    changes = overrides(parser.parse_args([*words, "--method", "classical"]))
    options = load_options(OPTIONS / "test.json", changes, EvaluationOptions)
    assert options.method == "classical" and options.path.pretrained_netG is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('protocols=["released", "strict"]', "'released', 'full' or 'ifed'"),
        ('protocols=["strict"]', "--set: 'protocols.0' must be 'released', 'full' or 'ifed', got"),
        ('protocols=["full", "full"]', "expected each protocol once"),
        ('optional_metrics=["lpips_alex", "lpips_alex"]', "expected each metric once"),
        ('optional_metrics=["psnr"]', "must be 'lpips_alex', 'lpips_vgg' or 'niqe', got"),
        ("protocols=[]", "--set: 'protocols': Tuple should have at least 1 item"),
        ("blending=mean", "--set: 'blending' must be 'choose' or 'average', got"),
        ("motion_estimate=gpu", "'motion_estimate' must be 'auto', 'opencv' or 'torch', got"),
        ("datasets.test.data_root=null", "'datasets.test.data_root' must be a valid string"),
        ("datasets.test=3", "'datasets.test' must be a group {...} of keys, got 3"),
        ("datasets.test=[]", "'datasets.test': Tuple should have at least 1 item"),
        ('datasets.test=[{"data_root": "a"}]', "missing key 'datasets.test.0.name'"),
        (
            'datasets.test={"name": "A", "data_root": "a"}',
            "'datasets.test' must be a valid array, got",
        ),
        (
            'datasets.test=[{"name": "A", "data_root": "a"}, {"name": "a", "data_root": "b"}]',
            "'datasets.test': expected a name of its own for each test set, got 'a' twice",
        ),
        (
            'datasets.test=[{"name": "A", "data_root": "a", "splt": "b"}]',
            "unknown key 'datasets.test.0.splt'; did you mean 'datasets.test.0.split'?",
        ),
        ("methods=[]", "'methods': Tuple should have at least 1 item"),
        (
            'methods=[{"name": "x", "method": "classical"}, {"name": "X", "weights": "a"}]',
            "'methods': expected a name of its own for each method, got 'X' twice",
        ),
        ('methods=[{"name": "x"}]', "'x' needs one of weights, method, frames_folder, got none"),
        (
            'methods=[{"name": "x", "weights": "a", "method": "network"}]',
            "'x' needs one of weights, method, frames_folder, got weights and method",
        ),
        (
            'methods=[{"name": "x", "wieghts": "a"}]',
            "unknown key 'methods.0.wieghts'; did you mean 'methods.0.weights'?",
        ),
        ('methods=[{"name": "a/b", "weights": "a"}]', "expected a folder name without separators"),
        (
            'methods=[{"name": "x", "method": "classical", "inference": "released_stage1"}]',
            "'methods.0.method': not with inference 'released_stage1', got 'classical'",
        ),
        (
            'methods=[{"name": "x", "frames_folder": "a", "inference": "ours"}]',
            "'methods.0.inference': not with frames_folder",
        ),
        (
            'methods=[{"name": "x", "frames_folder": "a", "blending": "choose"}]',
            "'methods.0.blending': not with frames_folder",
        ),
        (
            'methods=[{"name": "x", "weights": "a", "pattern": "released"}]',
            "'methods.0.pattern': only with frames_folder",
        ),
        (
            'methods=[{"name": "x", "frames_folder": "a", "pattern": "{seq}.png"}]',
            "'methods.0.pattern': expected placeholders among",
        ),
        ("save_images=some", "'save_images' must be a valid boolean or 'all'"),
        ("frame_layout=theirs", "'frame_layout' must be 'ours' or 'released'"),
    ],
)
def test_impossible_evaluations_are_refused(change: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_options(OPTIONS / "test.json", (change,), EvaluationOptions)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("context", ["pair", "clip"])
def test_motion_is_estimated_by_tensors_in_both_contexts(context: str) -> None:
    changes = ("motion_estimate=torch", f"context={context}")
    chosen = load_options(OPTIONS / "test.json", changes, EvaluationOptions)
    assert (chosen.motion_estimate, chosen.context) == ("torch", context)


@pytest.mark.parametrize(
    ("change", "key"),
    [("method=classical", "method"), ("tile=64", "tile"), ("self_ensemble=true", "self_ensemble")],
)
def test_what_the_released_tests_do_not_know_is_refused(change: str, key: str) -> None:
    changes = ("inference=released_stage2", change)
    with pytest.raises(InputError, match=f"'{key}': not with inference 'released_stage2', got"):
        load_options(OPTIONS / "test.json", changes, EvaluationOptions)


def test_one_method_and_several_are_not_mixed() -> None:
    changes = ('methods=[{"name": "x", "method": "classical"}]', "method=classical")
    with pytest.raises(InputError, match="'method': not beside methods, got 'classical'; add it"):
        load_options(OPTIONS / "test.json", changes, EvaluationOptions)


def test_methods_take_from_the_options_what_they_do_not_say() -> None:
    listed = (
        '{"name": "a", "weights": "a.pth", "inference": "released_stage2"}',
        '{"name": "b", "method": "network", "precision": "bfloat16"}',
        '{"name": "c", "method": "classical", "self_ensemble": true, "blending": "average"}',
        '{"name": "d", "frames_folder": "d"}',
    )
    changes = (f"methods=[{', '.join(listed)}]", "path.pretrained_netG=ours", "precision=auto")
    options = load_options(OPTIONS / "test.json", changes, EvaluationOptions)
    assert options.methods is not None
    a, b, c, _ = map(options.options_of, options.methods)
    assert (a.method, a.path.pretrained_netG, a.inference) == (
        "network",
        "a.pth",
        "released_stage2",
    )
    assert (b.path.pretrained_netG, b.inference) == ("ours", "ours")
    assert (a.precision, b.precision) == ("auto", "bfloat16")
    assert (b.blending, c.blending) == ("choose", "average")
    assert (c.method, c.self_ensemble, a.self_ensemble) == ("classical", True, False)


def test_several_methods_need_no_other_weights() -> None:
    given = ('methods=[{"name": "x", "method": "classical"}]', "path.pretrained_netG=null")
    assert (
        load_options(OPTIONS / "test.json", given, EvaluationOptions).path.pretrained_netG is None
    )
    without = ('methods=[{"name": "x", "method": "network"}]', "path.pretrained_netG=null")
    with pytest.raises(InputError, match=r"'methods.0.path.pretrained_netG': 'network' needs a"):
        load_options(OPTIONS / "test.json", without, EvaluationOptions)


def test_a_single_set_has_no_name_and_several_have_theirs() -> None:
    one = load_options(OPTIONS / "test.json", (), EvaluationOptions)
    assert [*one.datasets.sets] == [""]
    change = 'datasets.test=[{"name": "A", "data_root": "a"}, {"name": "B", "data_root": "b"}]'
    several = load_options(OPTIONS / "test.json", (change,), EvaluationOptions)
    assert {name: data.data_root for name, data in several.datasets.sets.items()} == {
        "A": "a",
        "B": "b",
    }


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", "2000", ""])
def test_jobs_are_a_number_of_processes(jobs: str) -> None:
    with pytest.raises(InputError) as error:
        overrides(method_arguments(f"--jobs={jobs}"))
    assert str(error.value) == f"--jobs {jobs}: expected a whole number from 1 to 1024, or auto"


def test_jobs_are_an_option() -> None:
    for words, jobs in ((["--jobs", "3"], 3), (["--jobs", "auto"], "auto"), ([], "auto")):
        changes = overrides(method_arguments(*words))
        assert load_options(OPTIONS / "test.json", changes, EvaluationOptions).jobs == jobs
    with pytest.raises(InputError, match="--set: 'jobs' must be .+, got 0"):
        load_options(OPTIONS / "test.json", ["jobs=0"], EvaluationOptions)


def method_arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", default=[])
    add_method_argument(parser)
    return parser.parse_args(words)
