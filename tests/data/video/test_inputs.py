"""Input arguments of the command line."""

import argparse
from pathlib import Path

import pytest

from data.camera_timing import CameraTiming
from data.video.inputs import (
    ChosenInput,
    add_input_arguments,
    chosen_input,
    open_clip,
    read_capture,
)
from data.video.pairing import Change
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels
from tests.helpers.clips import write_clip_video
from utils.errors import InputError


def choose(*words: str) -> ChosenInput | None:
    parser = argparse.ArgumentParser()
    add_input_arguments(parser.add_argument_group("input"))
    return chosen_input(parser.parse_args(words))


def test_arguments_name_captures_or_clips() -> None:
    assert choose() is None
    image, clip = choose("--t2b", "l.png", "--b2t", "r.png"), choose("--t2b", "l", "--b2t", "r")
    assert image == ChosenInput("l.png", "r.png") and not image.is_clip
    assert clip is not None and clip.is_clip
    shifted = choose("--t2b", "l.mp4", "--b2t", "r.mp4", "--offset", "-3")
    assert shifted == ChosenInput("l.mp4", "r.mp4", offset=-3) and shifted.is_clip
    changed = choose("--t2b", "l.mp4", "--b2t", "r.mp4", "--offset", "2,9:1,12:-1")
    changes = Change(9, 1), Change(12, -1)
    assert changed == ChosenInput("l.mp4", "r.mp4", offset=2, changes=changes)
    found = choose("--t2b", "l.mp4", "--b2t", "r.mp4", "--offset", "auto")
    assert found == ChosenInput("l.mp4", "r.mp4", changes=None)
    both = choose("--input", "a/*.png", "--layout", "tb")
    assert both == ChosenInput("a/*.png", layout="tb") and both.is_clip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--t2b l.png", "--t2b without --b2t: a capture needs both views"),
        ("--b2t r.mp4", "--b2t without --t2b"),
        ("--input a.mp4", "--input without --layout: give --input PATH with --layout lr or tb"),
        ("--layout lr", "--layout without --input"),
        ("--input a.mp4 --layout lr --b2t r.mp4", "--input holds both views; leave out --t2b"),
        ("--t2b l.mp4 --b2t r.mp4 --offset 1.5", "--offset 1.5: expected a whole number"),
        ("--t2b l.mp4 --b2t r.mp4 --offset 0,5", "--offset 0,5: expected a whole number"),
        ("--t2b l.mp4 --b2t r.mp4 --offset 0,9:1,5:2", "9:1,5:2: expected a whole number"),
        ("--t2b l.png --b2t r.png --offset 1", "--offset: only for clips"),
        ("--input a.mp4 --layout lr --offset 1", "--offset: only for --t2b with --b2t"),
        ("--offset 1", "--offset: only for --t2b with --b2t"),
        (
            "--t2b l.png --b2t r.mp4",
            "l.png with r.mp4: expected two images or two clips, got one of each",
        ),
    ],
)
def test_arguments_that_exclude_each_other(words: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        choose(*words.split())
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_empty_path_is_no_folder() -> None:
    with pytest.raises(InputError, match="expected a path, got an empty one"):
        choose("--t2b", "", "--b2t", "")


def test_captures_and_clips_are_opened(tmp_path: Path) -> None:
    for name in ("0_t2b.png", "0_b2t.png"):
        write_pixels(tmp_path / name, (4, 6))
    named = ChosenInput(f"{tmp_path}/0_t2b.png", f"{tmp_path}/0_b2t.png")
    assert read_capture(named).name == "0"
    assert named.files == {tmp_path.resolve() / "0_t2b.png", tmp_path.resolve() / "0_b2t.png"}
    split = read_capture(ChosenInput(f"{tmp_path}/0_t2b.png", layout="tb"))
    assert split.t2b.equal(as_image(random_pixels("0_t2b.png", (4, 6)))[:, :2])
    for name, count in (("l", 4), ("r", 3)):
        write_clip_video(tmp_path / f"{name}.mp4", count)
    views = f"{tmp_path}/l.mp4", f"{tmp_path}/r.mp4"
    assert open_clip(ChosenInput(*views, offset=-1), CameraTiming()).count == 3
    stacked = open_clip(ChosenInput(views[0], layout="lr"), CameraTiming())
    assert stacked.count == 4 and next(stacked.pairs()).t2b.shape == (3, 16, 12)
