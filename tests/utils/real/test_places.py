"""Folders of results."""

from pathlib import Path

import pytest

from data.video.inputs import ChosenInput
from data.video.sources import open_frames_folder, open_pattern
from tests.helpers.capture_folders import write_pixels
from utils.errors import InputError
from utils.real.places import RECORD, capture_name, choose_place, claimed, identify_source


def make(root: Path, name: str, *inputs: Path) -> Path:
    """Results of inputs."""
    place = choose_place(root, name, inputs)
    with claimed(place, root, inputs):
        (place / "video.mp4").write_text(str(inputs))
    return place


def test_results_of_other_inputs_go_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, shots = tmp_path / "out", tmp_path / "shots"
    right = shots / "right.png"
    inputs = [shots / "left.png", shots / "left.mp4", shots / "left", tmp_path / "b/shots/left"]
    places = [make(root, "left", path, right) for path in inputs]
    assert [place.relative_to(root).as_posix() for place in places[:3]] == [
        *("left", "shots-left.mp4", "shots-left")
    ]
    assert len(set(places)) == 4 and places[3].name.startswith("left-")
    said = capsys.readouterr().err
    assert said.splitlines()[0] == (
        f"{root / 'left'} holds results of another input; those of {inputs[1]} go to {places[1]}"
    )
    for path, place in zip(inputs, places, strict=True):
        assert make(root, "left", path, right) == place
        assert (place / "video.mp4").read_text() == str((path, right))


def test_earlier_results_without_a_record_are_kept(tmp_path: Path) -> None:
    for name, file in (("a", "video.mp4"), ("b", "frame_000_t0.000.png"), ("c", ".unfinished")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        assert choose_place(tmp_path, name, [tmp_path / "x" / name]) == tmp_path / f"x-{name}"
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").touch()
    assert choose_place(tmp_path, "d", [tmp_path / "x" / "d"]) == tmp_path / "d"


def test_failed_runs_leave_no_folder_and_interrupted_ones_their_record(tmp_path: Path) -> None:
    place = choose_place(tmp_path / "out", "scene/0", [tmp_path / "x"])
    with pytest.raises(InputError), claimed(place, tmp_path / "out", [tmp_path / "x"]):
        raise InputError("no space left")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(KeyboardInterrupt), claimed(place, tmp_path / "out", [tmp_path / "x"]):
        (place / ".unfinished").mkdir()
        raise KeyboardInterrupt
    assert (place / RECORD).is_file()
    with pytest.raises(InputError, match="taken for other inputs meanwhile"):
        claimed(place, tmp_path / "out", [tmp_path / "y"]).__enter__()


def test_nothing_is_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "left").symlink_to(tmp_path / "home")
    with pytest.raises(InputError, match="left: a link to .*home, where nothing is written"):
        make(tmp_path / "out", "left", tmp_path / "left.png")
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", ".", "a/.."])
def test_names_that_lead_out_of_the_output_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.mp4: nothing can be named after it"):
        choose_place(tmp_path, name, [tmp_path / "...mp4"])


@pytest.mark.parametrize(
    ("first", "name"), [("coffee/0_t2b.png", "coffee-0"), ("coffee/left_t2b.png", "left")]
)
def test_mere_numbers_follow_their_folder(first: str, name: str) -> None:
    assert capture_name(ChosenInput(first), Path(first).stem.removesuffix("_t2b")) == name


def test_a_pattern_of_all_images_is_the_folder(tmp_path: Path) -> None:
    for name in ("a0", "a1", "b0"):
        write_pixels(tmp_path / f"{name}.png", (4, 6))
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.symlink_to(tmp_path)
    assert identify_source(open_frames_folder(folder)) == tmp_path
    assert identify_source(open_pattern(f"{tmp_path}/*.png")) == tmp_path
    link.symlink_to(tmp_path)
    some = {identify_source(open_pattern(f"{tmp_path}/{start}*.png")) for start in "ab"}
    assert some == {tmp_path / "a*.png", tmp_path / "b*.png"}
