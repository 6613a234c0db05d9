import argparse
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.evaluation_options import (
    EvaluationOptions,
    RealOptions,
    add_capture_arguments,
    add_method_argument,
    chosen_instants,
    overrides,
)
from utils.option_files import load_options

OPTIONS = Path(__file__).parents[1] / "options"


def instants(*arguments: str, changes: tuple[str, ...] = ()) -> tuple[float, ...]:
    parser = argparse.ArgumentParser()
    add_capture_arguments(parser)
    options = load_options(OPTIONS / "test_real.json", changes, RealOptions)
    return chosen_instants(options, parser.parse_args(arguments))


def test_bundled_options_are_valid() -> None:
    evaluation = load_options(OPTIONS / "test.json", (), EvaluationOptions)
    assert evaluation.protocols == ("released",) and evaluation.frames is None
    assert evaluation.method == "network"
    yardstick = load_options(OPTIONS / "eval.json", (), EvaluationOptions)
    assert yardstick.protocols == ("full",) and yardstick.baselines
    real = load_options(OPTIONS / "test_real.json", (), RealOptions)
    assert real.path.pretrained_netG == "pretrained/drsc_light.safetensors"
    assert real.frames == 9


def test_the_command_line_chooses_the_method_after_all_else() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", default=[])
    add_method_argument(parser)
    words = ["--set", "method=network", "path.pretrained_netG=null"]
    assert overrides(parser.parse_args(words)) == words[1:]
    changes = overrides(parser.parse_args([*words, "--method", "classical"]))
    options = load_options(OPTIONS / "test.json", changes, EvaluationOptions)
    assert options.method == "classical" and options.path.pretrained_netG is None


def test_instants_come_from_the_options_unless_the_command_line_says_otherwise() -> None:
    assert instants() == tuple(index / 8 for index in range(9))
    assert instants(changes=("frames=3",)) == (0.0, 0.5, 1.0)
    assert instants(changes=("times=[0.1, 1]",)) == (0.1, 1.0)
    assert instants("--frames", "2", changes=("times=[0.1]",)) == (0.0, 1.0)
    assert instants("--times", "0, 0.25,1", changes=("frames=3",)) == (0.0, 0.25, 1.0)


@pytest.mark.parametrize("count", ["1", "0", "-3", "2.5", "many", ""])
def test_too_few_or_unreadable_frames(count: str) -> None:
    with pytest.raises(InputError, match=f"--frames {count}: expected a whole number of at least"):
        instants(f"--frames={count}")


@pytest.mark.parametrize("times", ["1.5", "-0.1,1", "nan", "0,x", "0,,1", ""])
def test_instants_outside_the_readout_or_unreadable(times: str) -> None:
    with pytest.raises(InputError, match=rf"--times {times}: expected instants in \[0, 1\]"):
        instants(f"--times={times}")


def test_frames_and_times_exclude_each_other() -> None:
    with pytest.raises(InputError, match="give only one"):
        instants("--frames", "3", "--times", "0,1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("frames=1", "--set: 'frames' must be greater than or equal to 2, got 1"),
        ("frames=2.5", "--set: 'frames' must be a valid integer, got 2.5"),
        ("times=[0, 1.5]", "'times.1' must be less than or equal to 1"),
        ("times=[]", "'times'"),
        ("fps=0", "'fps' must be greater than 0"),
        ("task=a/b", "expected a folder name without separators, got 'a/b'"),
        ("device=gpu", "'device' must be 'auto', 'cpu', 'cuda' or 'mps'"),
        ("path.pretrained_netg=x", "did you mean 'path.pretrained_netG'?"),
        ("method=classic", "--set: 'method' must be 'network' or 'classical', got \"classic\""),
        (
            "path.pretrained_netG=null",
            "--set: 'path.pretrained_netG': 'network' needs a weight file, got null; name one, or "
            "set method=classical",
        ),
    ],
)
def test_impossible_values_are_refused(change: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        instants(changes=(change,))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('protocols=["released", "strict"]', "'released', 'full' or 'ifed'"),
        ('protocols=["full", "full"]', "expected each protocol once"),
        ("protocols=[]", "'protocols'"),
        ("datasets.test.data_root=null", "'datasets.test.data_root' must be a valid string"),
    ],
)
def test_impossible_evaluations_are_refused(change: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_options(OPTIONS / "test.json", (change,), EvaluationOptions)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
