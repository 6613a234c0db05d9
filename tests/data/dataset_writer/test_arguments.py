"""The command line of `data.create_rs_dataset`."""

import pytest

from data.dataset_writer.arguments import camera_settings, parse_arguments, scene_settings
from data.simulator.settings import SceneSettings
from utils.errors import InputError


def parse(words: str = ""):
    return parse_arguments(["out", *words.split()])


def test_defaults_are_the_evaluation_sets():
    arguments = parse()
    assert not arguments.recorded
    assert (arguments.count, arguments.frames, arguments.seed) == (20, 9, 2_000_000)
    expected = [SceneSettings(strength=strength) for strength in (0.25, 0.5, 0.75, 1.0)]
    assert scene_settings(arguments) == expected


def test_difficulty_size_and_cameras():
    arguments = parse(
        "--difficulty easy --size 64x96 --motion unscaled --exposure 0.1 0.3 --gamma 2 "
        "--shot-noise 0.01 --read-noise 0.02 --view-difference 0.1 --parallax 4 -1"
    )
    first, second = scene_settings(arguments)
    assert (first.strength, second.strength) == (0.25, 0.5)
    assert first == SceneSettings(
        64,
        96,
        strength=0.25,
        exposure=(0.1, 0.3),
        gamma=2.0,
        shot_noise=0.01,
        read_noise=0.02,
        view_difference=0.1,
        parallax=(4.0, -1.0),
    )


def test_motion_scales_with_the_size():
    (quarter,) = scene_settings(parse("--size 270x480 --strengths 0.5"))
    assert quarter == SceneSettings(
        270, 480, camera_motion=30.0, object_motion=45.0, acceleration=6.0, strength=0.5
    )
    (upright,) = scene_settings(parse("--size 960x540 --strengths 1"))
    assert upright == SceneSettings(960, 540)
    (unscaled,) = scene_settings(parse("--size 270x480 --strengths 0.5 --motion unscaled"))
    assert unscaled == SceneSettings(270, 480, strength=0.5)


def test_arguments_of_recordings():
    arguments = parse("--video clip.mp4 --span 17 --exposure 0.2 --flow raft_small")
    assert arguments.recorded
    assert (arguments.span, arguments.step, arguments.flow) == (17, 16, "raft_small")
    assert camera_settings(arguments) == SceneSettings(exposure=0.2)
    assert parse("--frames-folder d --step 3").step == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--split ../train", "--split: expected a folder name without separators, got '../train'"),
        ("--split ..", "--split: expected a folder name without separators, got '..'"),
        ("--count 0", "--count 0: expected at least 1"),
        ("--frames 1", "--frames 1: expected at least 2"),
        ("--pairs 0", "--pairs 0: expected at least 1"),
        ("--pairs 21", "--pairs 21: expected at most 20"),
        ("--camera-shake -1", "scene: camera_shake must be at least 0, got -1"),
        ("--video a.mp4 --pairs 2", "--pairs: not for a video or frames; leave it out"),
        ("--seed -1", "--seed -1: expected at least 0"),
        ("--procedural -1", "--procedural -1: expected at least 0"),
        ("--size 540", "--size 540: expected rows x columns such as 540x960"),
        ("--size 1x960", "scene: height must be at least 2, got 1"),
        ("--strengths 0.5 -1", "scene: strength must be 0 to 10"),
        ("--exposure 0.1 0.2 0.3", "--exposure 0.1 0.2 0.3: expected one number or LOW HIGH"),
        ("--exposure 2", "scene: exposure must be 0 to 1"),
        ("--video a.mp4 --span 1", "--span 1: expected at least 2"),
        ("--video a.mp4 --step 0", "--step 0: expected at least 1"),
        ("--span 9", "--span: not for simulated scenes; leave it out"),
        ("--video a.mp4 --size 4x4", "--size: not for a video or frames; leave it out"),
        ("--video a.mp4 --motion scaled", "--motion: not for a video or frames; leave it out"),
        ("--frames-folder d --parallax 1 0", "--parallax: not for a video or frames"),
    ],
)
def test_invalid_arguments_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        scene_settings(parse(words))
