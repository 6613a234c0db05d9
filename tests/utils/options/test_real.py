import argparse
from pathlib import Path

import pytest

from data.camera_timing import CameraTiming
from utils.errors import InputError
from utils.options.files import load_options
from utils.options.real import (
    RealOptions,
    add_capture_arguments,
    load_real_options,
    option_overrides,
)

OPTIONS = Path(__file__).parents[3] / "options"


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", default=[])
    add_capture_arguments(parser)
    return parser.parse_args(words)


def load(*words: str) -> RealOptions:
    return load_options(OPTIONS / "test_real.json", option_overrides(parse(*words)), RealOptions)


def instants(*arguments: str, changes: tuple[str, ...] = ()) -> tuple[float, ...]:
    overridden = [*changes, *option_overrides(parse(*arguments))]
    return load_options(OPTIONS / "test_real.json", overridden, RealOptions).instants


def test_bundled_options_are_valid() -> None:
    options = load()
    assert options.path.pretrained_netG == "pretrained/drsc_light.safetensors"
    assert (options.frames, options.times, options.fps) == (None, None, None)
    assert not options.gif and not options.save_frames
    assert options.timing.camera_timing() == CameraTiming()


def test_arguments_stand_for_options() -> None:
    timing = ["--readout-ratio", "0.8", "--start-offset", "-0.1", "--exposure", "0.2,0.3"]
    options = load(*timing, "--directions", "r2l,l2r", "--fps", "60", "--gif", "--save-frames")
    assert options.timing.camera_timing() == CameraTiming(0.8, -0.1, (0.2, 0.3), ("r2l", "l2r"))
    assert (options.fps, options.gif, options.save_frames) == (60, True, True)
    stated = ["--set", "timing.readout_ratio=0.9", "timing.start_offset=0.2", "gif=true"]
    options = load(*stated, "--readout-ratio", "0.7")
    assert options.timing.readout_ratio == 0.7
    assert options.timing.start_offset == 0.2 and options.gif


def test_the_folder_and_what_to_do_with_it() -> None:
    options = load("--set", "path.root=results", "task=mine")
    assert (options.folder, options.check, options.restart) == (Path("results/mine"), True, False)
    options = load("--check", "--restart")
    assert options.check == "only" and options.restart
    words = ["--output", "a\udcff"]
    arguments = argparse.Namespace(**vars(parse(*words)), opt=str(OPTIONS / "test_real.json"))
    assert load_real_options(arguments).folder == Path("a\udcff")
    with pytest.raises(InputError, match="--output: expected a folder, got an empty name"):
        load("--output", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--readout-ratio", "fast"], "--readout-ratio fast: expected a number"),
        (["--start-offset", "nan"], "--start-offset nan: expected a number"),
        (["--fps", "1,2"], "--fps 1,2: expected a number"),
        (["--fps", "0"], "'fps' must be greater than or equal to 0.01"),
        (["--exposure", "0.1"], "--exposure 0.1: expected 2 numbers such as 0.3,0.3"),
        (["--directions", "up,down"], "--directions up,down: expected t2b,b2t or b2t,t2b or l2r"),
        (["--directions", "t2b"], "--directions t2b: expected t2b,b2t"),
    ],
)
def test_arguments_that_cannot_be_read(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        load(*words)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_instants_come_from_the_options_unless_the_command_line_says_otherwise() -> None:
    assert instants() == tuple(index / 8 for index in range(9))
    assert instants("--frames", "1") == (0.5,)
    assert instants(changes=("frames=3",)) == (0.0, 0.5, 1.0)
    assert instants(changes=("times=[0.1, 1]",)) == (0.1, 1.0)
    assert instants("--frames", "2", changes=("times=[0.1]",)) == (0.0, 1.0)
    assert instants("--times", "0, 0.25,1", changes=("frames=3",)) == (0.0, 0.25, 1.0)


@pytest.mark.parametrize("count", ["0", "-3", "2.5", "many", ""])
def test_too_few_or_unreadable_frames(count: str) -> None:
    with pytest.raises(InputError, match=f"--frames {count}: expected a whole number from 1 to"):
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
        ("frames=0", "--set: 'frames' must be greater than or equal to 1, got 0"),
        ("speed=0", "--set: 'speed' must be greater than or equal to 0.0001, got 0"),
        ("frames=2.5", "--set: 'frames' must be a valid integer, got 2.5"),
        ("times=[0, 1.5]", "'times.1' must be less than or equal to 1"),
        ("times=[]", "'times'"),
        ("times=x", "--set: 'times' must be a valid array, got \"x\""),
        ("tile=7", "--set: 'tile': expected null, \"auto\" or a multiple of 32, got 7"),
        ("tile=x", "--set: 'tile' must be 'auto' or a valid integer, got \"x\""),
        ("nothing.of=1", "--set: unknown key 'nothing'; "),
        ("fps=0", "'fps' must be greater than or equal to 0.01"),
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
