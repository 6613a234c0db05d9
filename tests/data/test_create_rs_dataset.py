import errno
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from data.create_rs_dataset import main
from data.dataset_writer.folder import read_runs, read_unconnected
from data.dataset_writer.writing import write_simulated
from data.files.images import read_image, to_uint8, write_image
from data.files.videos import write_video
from data.rs_gopro import RSGOPRO
from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from tests.data.simulator.test_drawing import photos
from tests.helpers.capture_folders import write_pixels
from utils.errors import InputError

SETTINGS = [
    SceneSettings(40, 64, camera_motion=4, object_motion=4, acceleration=1, strength=strength)
    for strength in (0.5, 1.0)
]


def textures() -> list[torch.Tensor]:
    return [torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["create_rs_dataset", *map(str, words)])
    main()


def describe(dataset: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads((dataset / "dataset.json").read_text())["runs"]
    return runs


def write_frames_of_scene(folder: Path, count: int = 9) -> None:
    scene = draw_scene(photos(), SceneSettings(48, 64, 8, 8, 1), 3)
    folder.mkdir()
    instants = torch.linspace(0, 1, count)[:, None].expand(-1, 48)
    for number, frame in enumerate(scene.render(instants)):
        write_image(folder / f"{number}.png", to_uint8(frame))


def test_the_folder_holds_the_simulated_captures(tmp_path: Path) -> None:
    about = {"photos": None}
    write_simulated(tmp_path / "set", textures(), SETTINGS, [7, 8, 9], frames=5, about=about)
    captures = RSGOPRO(tmp_path / "set", "test")
    assert [captures[index].name for index in range(3)] == [f"{i:04d}/00000000" for i in range(3)]
    exact = draw_scene(textures(), SETTINGS[1], 8).capture(torch.linspace(0, 1, 5))
    read = captures[1]
    for found, expected in (
        (read.t2b, exact.t2b),
        (read.b2t, exact.b2t),
        (read.truth, exact.truth),
    ):
        assert float((found - expected).abs().max()) <= 0.5 / 255 + 1e-6
    (described,) = describe(tmp_path / "set")
    assert (described["kind"], described["photos"], described["frames"]) == ("simulated", None, 5)
    assert described["versions"]["torch"] == torch.__version__
    sequences = [described["sequences"][name] for name in ("0000", "0001", "0002")]
    assert [sequence["seed"] for sequence in sequences] == [7, 8, 9]
    assert [sequence["strength"] for sequence in sequences] == [0.5, 1.0, 0.5]


def test_consecutive_captures_share_the_frame_where_they_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--pairs", 3, "--count", 2, "--size", "40x64", "--camera-shake", 4, "--frames", 3)
    call(monkeypatch, tmp_path / "set", *words, "--procedural", 2, "--strengths", 1)
    for sequence in ("0000", "0001"):
        frames = tmp_path / "set/test" / sequence / "GS"
        for pair in (0, 1):
            end, start = frames / f"{pair:08d}_gs_002.png", frames / f"{pair + 1:08d}_gs_000.png"
            assert end.read_bytes() == start.read_bytes()
            assert end.read_bytes() != (frames / f"{pair:08d}_gs_000.png").read_bytes()
    assert len(RSGOPRO(tmp_path / "set", "test")) == 6
    (described,) = describe(tmp_path / "set")
    assert (described["pairs"], described["consecutive"]) == (3, True)
    assert described["sequences"]["0001"]["camera_shake"] == 4


@pytest.mark.parametrize(("step", "consecutive"), [(None, True), (4, False)])
def test_a_recording_gives_consecutive_captures_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int | None, consecutive: bool
) -> None:
    write_frames_of_scene(tmp_path / "clip", 17)
    words = () if step is None else ("--step", step)
    call(monkeypatch, tmp_path / "set", "--frames-folder", tmp_path / "clip", *words)
    frames = tmp_path / "set/test/clip/GS"
    end, start = frames / "00000000_gs_008.png", frames / "00000001_gs_000.png"
    assert (end.read_bytes() == start.read_bytes()) == consecutive
    (described,) = describe(tmp_path / "set")
    assert described["consecutive"] == consecutive
    unconnected = read_unconnected(tmp_path / "set", "test")
    assert unconnected == (set() if consecutive else {"clip"})
    assert read_unconnected(tmp_path / "set", "train") == set()


def test_other_folders_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match=r"set: exists already, and its dataset.json lists no"):
        write_simulated(tmp_path / "set", textures(), SETTINGS, [7])
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]
    assert list((tmp_path / "set").iterdir()) == []


def test_splits_and_sequences_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7, 8], frames=2)
    before = (dataset / "test" / "0000" / "RS" / "00000000_rs_t2b.png").read_bytes()
    write_simulated(dataset, textures(), SETTINGS, [9], split="train", frames=2)
    write_frames_of_scene(tmp_path / "walk", count=3)
    words = ("--frames-folder", tmp_path / "walk", "--span", 3, "--frames", 2, "--split", "train")
    call(monkeypatch, dataset, *words)
    found = [[pair.name for pair in RSGOPRO(dataset, split).pairs] for split in ("train", "test")]
    assert found == [["0000/00000000", "walk/00000000"], ["0000/00000000", "0001/00000000"]]
    assert (dataset / "test" / "0000" / "RS" / "00000000_rs_t2b.png").read_bytes() == before
    runs = [(run["split"], run["kind"], list(run["sequences"])) for run in describe(dataset)]
    assert runs == [
        ("test", "simulated", ["0000", "0001"]),
        ("train", "simulated", ["0000"]),
        ("train", "recorded", ["walk"]),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "walk"]


def test_removed_splits_can_be_written_again(tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7])
    write_simulated(dataset, textures(), SETTINGS, [8], split="train")
    shutil.rmtree(dataset / "test")
    write_simulated(dataset, textures(), SETTINGS, [7, 9])
    runs = [(run["split"], list(run["sequences"])) for run in describe(dataset)]
    assert runs == [("train", ["0000"]), ("test", ["0000", "0001"])]


def test_existing_sequences_and_seeds_are_refused(tmp_path: Path) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7, 8])
    described = (dataset / "dataset.json").read_bytes()
    with pytest.raises(InputError, match=r"set/test/0000: exists already; choose another --split"):
        write_simulated(dataset, textures(), SETTINGS, [9])
    same = r"--seed 8: \S*set/test/0001 already shows the scene of seed 8; choose other seeds"
    with pytest.raises(InputError, match=same):
        write_simulated(dataset, textures(), SETTINGS, [8, 9], split="train")
    assert sorted(path.name for path in dataset.iterdir()) == ["dataset.json", "test"]
    assert (dataset / "dataset.json").read_bytes() == described
    assert list(tmp_path.iterdir()) == [dataset]


def test_an_error_leaves_a_data_set_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7])
    before = sorted(dataset.rglob("*"))
    fail_to_write_images(monkeypatch)
    with pytest.raises(InputError, match="no space left"):
        write_simulated(dataset, textures(), SETTINGS, [8], split="train")
    assert sorted(dataset.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [dataset]


def test_a_kill_while_sequences_are_added_leaves_all_of_them_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7])

    class Killed(BaseException):
        pass

    real = Path.rename

    def rename(source: Path, target: Path) -> Path:
        if source.name == "0001":
            raise Killed
        return real(source, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(Killed):
        write_simulated(dataset, textures(), SETTINGS, [8, 9], split="train")
    assert [list(run["sequences"]) for run in describe(dataset)] == [["0000"], ["0000", "0001"]]
    assert [(run.split, list(run.sequences)) for run in read_runs(dataset)] == [
        *(("test", ["0000"]), ("train", ["0000"]))
    ]


def test_a_failure_while_sequences_are_added_undoes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tmp_path / "set"
    write_simulated(dataset, textures(), SETTINGS, [7])
    described = (dataset / "dataset.json").read_bytes()
    real = Path.rename

    def rename(source: Path, target: Path) -> Path:
        if source.name == "0001":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(InputError, match="0001: cannot be written: No space left on device"):
        write_simulated(dataset, textures(), SETTINGS, [8, 9], split="train")
    assert (dataset / "dataset.json").read_bytes() == described
    assert not any((dataset / "train").iterdir())


def fail_to_write_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("data.dataset_writer.folder.write_image", fail)


def test_an_error_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_write_images(monkeypatch)
    with pytest.raises(InputError, match="no space left"):
        write_simulated(tmp_path / "set", textures(), SETTINGS, [7])
    assert list(tmp_path.iterdir()) == []


def test_scenes_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "--count 2 --size 32x48 --frames 2 --strengths 0.1 0.2 --seed 5 --exposure 0.2"
    call(monkeypatch, tmp_path / "set", *words.split())
    (described,) = describe(tmp_path / "set")
    first, second = (described["sequences"][name] for name in ("0000", "0001"))
    assert (first["height"], first["width"], first["exposure"]) == (32, 48, 0.2)
    assert [(each["seed"], each["strength"]) for each in (first, second)] == [(5, 0.1), (6, 0.2)]
    capture = RSGOPRO(tmp_path / "set", "test")[1]
    assert capture.truth is not None
    assert capture.truth.shape == (2, 3, 32, 48)


def test_captures_from_a_folder_of_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "walk"
    write_frames_of_scene(source)
    before = {file.name: file.stat().st_mtime_ns for file in source.iterdir()}
    words = ("--frames-folder", source, "--span", 5, "--frames", 3, "--split", "train")
    call(monkeypatch, tmp_path / "set", *words)
    assert capsys.readouterr().out == f"2 captures written to {tmp_path}/set/train\n"
    captures = RSGOPRO(tmp_path / "set", "train")
    assert [captures[index].name for index in range(2)] == ["walk/00000000", "walk/00000001"]
    truth = captures[1].truth
    assert truth is not None
    for frame, number in zip(truth, (4, 6, 8), strict=True):
        assert torch.equal(frame, read_image(source / f"{number}.png"))
    (described,) = describe(tmp_path / "set")
    assert described["source"] == str(source)
    assert (described["size"], described["fps"]) == ([48, 64], None)
    assert (described["span"], described["step"], described["flow"]) == (5, 4, "dis")
    assert described["imaging"]["gamma"] == 2.2
    assert described["sequences"]["walk"]["captures"]["00000001"] == {"first_frame": 4}
    assert {file.name: file.stat().st_mtime_ns for file in source.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "walk"]


def test_sequences_are_named_after_their_recording_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("take.1", "take.2", ".hid"):
        write_frames_of_scene(tmp_path / name, count=5)
        call(monkeypatch, "set", "--frames-folder", name, "--span", 5, "--frames", 2)
    assert sorted(path.name for path in (tmp_path / "set" / "test").iterdir()) == [
        "hid",
        "take.1",
        "take.2",
    ]
    monkeypatch.chdir(tmp_path / "set")
    call(monkeypatch, ".", "--split", "more", "--seed", 9, "--count", 1, "--size", "32x48")
    assert (tmp_path / "set" / "more").is_dir()


def test_a_split_has_one_number_of_true_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        write_frames_of_scene(tmp_path / name, count=5)
    words = ("--span", 5, "--frames-folder")
    call(monkeypatch, tmp_path / "set", *words, tmp_path / "one", "--frames", 2)
    with pytest.raises(InputError, match="--frames 3: .*one/GS has 2 true frames per capture"):
        call(monkeypatch, tmp_path / "set", *words, tmp_path / "two", "--frames", 3)
    call(monkeypatch, tmp_path / "set", *words, tmp_path / "two", "--frames", 3, "--split", "valid")


def test_frames_of_one_row_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write_pixels(tmp_path / "line" / f"{number}.png", (1, 8))
    with pytest.raises(InputError, match="line: a rolling shutter needs at least 2 rows, got 1"):
        call(monkeypatch, tmp_path / "set", "--frames-folder", tmp_path / "line", "--span", 5)


def test_captures_from_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames_of_scene(tmp_path / "walk", count=6)
    frames = [to_uint8(read_image(tmp_path / "walk" / f"{number}.png")) for number in range(6)]
    write_video(tmp_path / "walk.mp4", frames, fps=240)
    call(monkeypatch, tmp_path / "set", "--video", tmp_path / "walk.mp4", "--span", 5, "--step", 1)
    assert len(RSGOPRO(tmp_path / "set", "test")) == 2
    (described,) = describe(tmp_path / "set")
    assert (described["fps"], described["source_frames"]) == (240, 6)
    assert described["readout_seconds"] == pytest.approx(4 / 240)


def test_fast_motion_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("data.dataset_writer.writing._MAX_RELIABLE_MOTION", 0.5)
    write_frames_of_scene(tmp_path / "walk", count=3)
    call(monkeypatch, tmp_path / "set", "--frames-folder", tmp_path / "walk", "--span", 3)
    warning = capsys.readouterr().err.splitlines()[-1]
    assert warning.startswith(f"warning: {tmp_path}/walk: ")
    assert "px of motion between frames" in warning
    assert "record at more frames per second" in warning


def test_a_recording_that_is_too_short_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames_of_scene(tmp_path / "walk", count=5)
    words = ("--frames-folder", tmp_path / "walk", "--span", 5, "--exposure", 0.3)
    expected = r"walk: 5 frames, but a capture takes 7 \(span 5, exposure 0.3\); record at more"
    with pytest.raises(InputError, match=expected):
        call(monkeypatch, tmp_path / "set", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]


def test_frames_of_different_sizes_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames_of_scene(tmp_path / "walk", count=3)
    write_pixels(tmp_path / "walk" / "2.png", (48, 32))
    with pytest.raises(InputError, match=r"2.png: expected 64x48 pixels like 0.png, got 32x48"):
        call(monkeypatch, tmp_path / "set", "--frames-folder", tmp_path / "walk", "--span", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["walk"]


def test_output_inside_the_recording_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames_of_scene(tmp_path / "walk", count=3)
    with pytest.raises(InputError, match="set: lies inside the recording .*walk; choose another"):
        call(monkeypatch, tmp_path / "walk" / "set", "--frames-folder", tmp_path / "walk")
    assert len(list((tmp_path / "walk").iterdir())) == 3
