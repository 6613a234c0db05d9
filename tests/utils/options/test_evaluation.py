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
        ("protocols=[]", "--set: 'protocols': Tuple should have at least 1 item"),
        ("blending=mean", "--set: 'blending' must be 'choose' or 'average', got"),
        ("datasets.test.data_root=null", "'datasets.test.data_root' must be a valid string"),
    ],
)
def test_impossible_evaluations_are_refused(change: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_options(OPTIONS / "test.json", (change,), EvaluationOptions)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "key"),
    [("method=classical", "method"), ("tile=64", "tile"), ("self_ensemble=true", "self_ensemble")],
)
def test_what_the_released_tests_do_not_know_is_refused(change: str, key: str) -> None:
    changes = ("inference=released_stage2", change)
    with pytest.raises(InputError, match=f"'{key}': not with inference 'released_stage2', got"):
        load_options(OPTIONS / "test.json", changes, EvaluationOptions)
