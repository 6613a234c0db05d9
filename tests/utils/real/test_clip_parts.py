"""The hidden folder of a clip under way."""

import os
from pathlib import Path

import pytest

from data.video.sources import open_frames_folder
from tests.helpers.capture_folders import write_pixels
from utils.errors import InputError
from utils.real.clip_parts import HIDDEN, UnfinishedClip, describe_sources, open_unfinished

ABOUT = {"times": (0.0, 1.0), "timing": {"readout_ratio": 1.0}}


@pytest.fixture
def clip(tmp_path: Path) -> UnfinishedClip:
    made = UnfinishedClip(tmp_path / HIDDEN, 3)
    open_unfinished(made, ABOUT)
    return made


def test_finished_parts_are_kept_and_leftovers_removed(clip: UnfinishedClip) -> None:
    assert clip.missing == [0, 1, 2]
    clip.parts[1].touch()
    (clip.folder / ".part_000002.123.h264").touch()
    open_unfinished(clip, ABOUT)
    assert clip.missing == [0, 2]
    assert sorted(path.name for path in clip.folder.iterdir()) == ["part_000001.h264", "run.json"]


def test_another_run_is_refused_and_says_what_differs(clip: UnfinishedClip) -> None:
    clip.parts[0].touch()
    other = {"times": [0.0, 0.5, 1.0], "timing": {"readout_ratio": 0.5}}
    with pytest.raises(InputError) as error:
        open_unfinished(clip, other)
    assert str(error.value) == (
        f"{clip.folder.parent}: an interrupted run there differs: times: [0.0, 1.0] -> "
        "[0.0, 0.5, 1.0]; timing.readout_ratio: 1.0 -> 0.5; repeat its command to finish it, "
        "choose another --output, or discard it with --restart"
    )
    assert clip.missing == [1, 2]
    open_unfinished(clip, other, restart=True)
    assert clip.missing == [0, 1, 2]
    clip.parts[0].touch()
    open_unfinished(clip, other)
    assert clip.missing == [1, 2]


def test_a_preparation_that_differs_is_named_by_its_option(tmp_path: Path) -> None:
    clip = UnfinishedClip(tmp_path / HIDDEN, 1)
    colours = {"gains": [1.0, 0.9]}
    flicker = {"frequency": 3.33, "amplitude": 0.1}
    open_unfinished(clip, {"preparation": {"flicker": flicker, "colours": colours}})
    clip.parts[0].touch()
    with pytest.raises(InputError, match=r"differs: deflicker: on -> off; repeat its command"):
        open_unfinished(clip, {"preparation": {"flicker": None, "colours": colours}})
    other = {"flicker": {**flicker, "amplitude": 0.2}, "colours": colours}
    with pytest.raises(InputError, match=r": preparation.flicker.amplitude: 0.1 -> 0.2; repeat"):
        open_unfinished(clip, {"preparation": other})


def test_a_run_without_finished_parts_is_no_obstacle(clip: UnfinishedClip) -> None:
    (clip.folder / "frames").mkdir()
    open_unfinished(clip, {"times": [0.5]})
    assert [path.name for path in clip.folder.iterdir()] == ["run.json"]
    clip.parts[0].touch()
    (clip.folder / "run.json").write_text("{")
    open_unfinished(clip, ABOUT)
    assert clip.missing == [0, 1, 2]


def test_changed_inputs_are_noticed(tmp_path: Path) -> None:
    for number in range(2):
        write_pixels(tmp_path / f"{number}.png", (4, 6))
    before = describe_sources([open_frames_folder(tmp_path)])
    assert before["input1"]["path"] == str(tmp_path) and before["input1"]["files"] == 2
    assert describe_sources([open_frames_folder(tmp_path)]) == before
    os.utime(tmp_path / "0.png", (1, 1))
    after = describe_sources([open_frames_folder(tmp_path)])
    assert after["input1"].pop("state") != before["input1"].pop("state")
    assert after == before
