"""`main_test_real.py` as users call it, with a tiny generator."""

import json
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import pytest
import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.images import read_image, to_uint8, write_image
from models.flow import dis
from models.inference.correction import BASELINES
from models.refiner.network import Refiner
from tests.helpers.capture_folders import write_pixels
from tests.helpers.clips import real_options
from tests.helpers.frames import classical_frames
from tests.helpers.moving_texture import Pan
from tests.helpers.script_runs import ROOT, Scripts, names
from utils.checkpoint import save_weights
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.options.real import RealOptions
from utils.real import runs
from utils.real.capture_check import Checked, Preparation
from utils.real.capture_results import write_results
from utils.system import distributed
from utils.system.distributed import Processes

T = TypeVar("T")


class OneOfTwo(Processes):
    """One of two processes, the other of which reports the same."""

    def gather(self, item: T) -> list[T]:
        return [item, item]


def one_of_two(rank: int) -> Callable[..., AbstractContextManager[Processes]]:
    """Stands for `utils.system.distributed.process_group` in one of two processes."""

    @contextmanager
    def join(device: str, *, launched: bool) -> Iterator[Processes]:
        yield OneOfTwo(torch.device(device), rank=rank, world_size=2)

    return join


def test_two_scenes_are_named_wherever_their_results_are(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the last line, in the JSON object and in the page, whose heading may be chosen."""
    for view, sample in (("t2b", "coffee"), ("b2t", "astronaut")):
        image = to_uint8(read_image(ROOT / f"data/samples/{sample}/0_{view}.png"))
        scripts.captures.mkdir(exist_ok=True)
        write_image(scripts.captures / f"scene_{view}.png", image[:200, :300])
    words = ("--method", "classical", "--frames", "1", "--json", "--title", "Left <and> right")
    folder = scripts.real(*words, changes=("check=true", "viewer=true")) / "scene"
    summary = json.loads(capsys.readouterr().out)
    [warning] = summary["results"][0]["warnings"]
    assert "do both show the same moment of the same scene?" in warning["text"]
    assert summary["text"][-1].endswith("% of the pixels are found in the other view")
    assert "index.html; warning: only " in summary["text"][-1]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<h1>Left &lt;and&gt; right</h1>" in page and f"warning: {warning['text']}" in page


def test_every_capture_gets_frames_video_and_sheet(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.pair("scene/0")
    scripts.pair("other", size=(33, 7))
    folder = scripts.real("--frames", "3")
    made = ["contact_sheet.png", "video.mp4"]
    made += ["frame_000_t0.000.png", "frame_001_t0.500.png", "frame_002_t1.000.png"]
    assert names(folder / "scene/0") == names(folder / "other") == sorted(made)
    assert cv2.imread(str(folder / "other" / "frame_001_t0.500.png")).shape == (33, 7, 3)
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == (
        f"scene/0: 3 frames in {folder / 'scene/0'}, video in {folder / 'scene/0/video.mp4'}"
    )


def test_frames_have_eight_bits_or_sixteen(scripts: Scripts) -> None:
    scripts.pair("0", size=(40, 56))
    frames = []
    for bits in (8, 16):
        folder = scripts.real("--frames", "2", changes=(f"frame_bits={bits}",)) / "0"
        frames.append(cv2.imread(str(folder / "frame_000_t0.000.png"), cv2.IMREAD_UNCHANGED))
    coarse, fine = frames
    assert coarse.dtype == "uint8" and fine.dtype == "uint16"
    assert abs(fine / 257.0 - coarse).max() <= 0.51
    assert (fine % 257).any()


def test_captures_are_checked_first_or_only_checked(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.pair("scene/0", size=(48, 64))
    with pytest.raises(SystemExit) as caught:
        scripts.real("--check")
    assert caught.value.code == 3
    folder, said = scripts.folder / "results", capsys.readouterr()
    assert "scene/0: capture check" in said.out and "  warning: " in said.out
    assert said.err == "the input has warnings\n"
    assert not list(folder.rglob("*.png"))
    scripts.real("--frames", "2", changes=("check=true",))
    said = capsys.readouterr().out
    assert said.index("scene/0: capture check") < said.index("scene/0: 2 frames in")


@pytest.mark.parametrize("directions", ["t2b,b2t", "l2r,r2l"])
def test_what_neither_view_shows_is_cut_or_marked(
    scripts: Scripts, capsys: pytest.CaptureFixture[str], directions: str
) -> None:
    """A pan along the rows: of 96 rows the middle one loses 8 of 160 columns at t = 0."""
    turned = directions == "l2r,r2l"
    scripts.captures.mkdir()
    for view, image in zip(("t2b", "b2t"), Pan((16, 0), (96, 160)).pair(), strict=True):
        shown = image.mT if turned else image
        write_image(scripts.captures / f"pan_{view}.png", to_uint8(shown.contiguous()))
    words = ("--method", "classical", "--times", "0,0.5", "--directions", directions)
    page = ("viewer=true",)
    whole = scripts.real(*words, "--mask", changes=page) / "pan"
    masks = [read_image(whole / f"seen_{name}.png") for name in ("000_t0.000", "001_t0.500")]
    if turned:
        masks = [mask.mT for mask in masks]
    assert masks[0].unique().tolist() == [0, 1] and masks[1].min() == 1
    assert masks[0][..., :-9].min() == 1 and 7 <= int((1 - masks[0][0, 48]).sum()) <= 9
    frame = read_image(whole / "frame_000_t0.000.png")
    capsys.readouterr()
    cut = scripts.real(*words, "--crop-unseen", changes=page) / "pan"
    assert not [*cut.glob("seen_*")]
    made = read_image(cut / "frame_000_t0.000.png")
    assert made.equal(frame[:, : made.shape[1], : made.shape[2]])
    columns, rows = (made.shape[1:]) if turned else (made.shape[:0:-1])
    assert rows == 96 and 151 <= columns <= 153
    size, all_of = (f"96x{columns}", "96x160") if turned else (f"{columns}x96", "160x96")
    assert f"pan: cropped to {size} of {all_of} at 0,0: " in capsys.readouterr().out


def test_methods_without_motion_cannot_tell_what_is_seen(scripts: Scripts) -> None:
    capture = CapturePair(*torch.rand(2, 3, 8, 9), scan_time=torch.linspace(0, 1, 8), name="a")
    method = NamedCorrection("mean", BASELINES["mean of both"])
    options = real_options(mask=True, frames=1)
    with pytest.raises(InputError, match="^a: the method tells no motion, so nothing is known"):
        write_results(capture, method, options, scripts.folder / "out")
    assert not (scripts.folder / "out").exists()


def test_ctrl_c_says_how_many_captures_are_done(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0", "1", "2"):
        scripts.pair(name)
    checks = iter((False, False, True))

    def stop(capture: CapturePair, options: RealOptions) -> Checked:
        if next(checks):
            raise KeyboardInterrupt
        return Checked()

    monkeypatch.setattr(runs, "check_single", stop)
    with pytest.raises(KeyboardInterrupt, match="^the results of 2 captures are kept; the same"):
        scripts.real("--method", "classical", "--frames", "1")
    made = (scripts.folder / "results").rglob("*.png")
    assert {path.parent.name for path in made if path.name.startswith("frame")} == {"0", "1"}


def test_views_are_prepared_before_they_are_corrected(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def darken(preparation: Preparation, pair: Tensor) -> Tensor:
        return pair * 0

    scripts.pair("0")
    monkeypatch.setattr(Preparation, "apply", darken)
    folder = scripts.real("--method", "classical", "--frames", "2", "--align")
    assert read_image(folder / "0" / "frame_000_t0.000.png").max() == 0


@pytest.mark.parametrize(("words", "searches"), [((), 2), (("--align",), 4), (("--check",), 2)])
@pytest.mark.parametrize("network", [False, True])
def test_flow_is_found_once_unless_views_are_prepared(
    scripts: Scripts,
    monkeypatch: pytest.MonkeyPatch,
    *,
    network: bool,
    words: tuple[str, ...],
    searches: int,
) -> None:
    scripts.pair("0", size=(48, 64))
    if network:
        scripts.weights = scripts.folder / "refiner.safetensors"
        save_weights(scripts.weights, Refiner(width=0.25))
    method = () if network else ("--method", "classical")
    arguments = (*method, "--frames", "2", *words)
    # A check alone ends with the status of its warnings: nothing moves here.
    ends = partial(pytest.raises, SystemExit) if "--check" in words else nullcontext
    unchecked = scripts.folder / "results" / "test_real" / "0"
    with ends():
        scripts.real(*arguments)
    expected = {path.name: path.read_bytes() for path in unchecked.glob("*.png")}
    search, found = dis._search, []
    monkeypatch.setattr(dis, "_search", lambda *views: found.append(0) or search(*views))
    if "--align" in words:
        monkeypatch.setattr(Preparation, "apply", lambda _, pair: pair.flip(-1))
    folder = unchecked
    with ends():
        scripts.real(*arguments, changes=("check=true",))
    assert len(found) == searches
    if "--align" not in words:
        assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == expected


def test_a_page_and_flow_pictures_to_look_at(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.pair("0", size=(40, 56))
    sideways = ("viewer=true", 'timing.directions=["l2r","r2l"]')
    folder = scripts.real("--frames", "3", "--flow-pictures", changes=sideways) / "0"
    assert {"index.html", "flow_sheet.png"} <= set(names(folder))
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert '"size": [56, 40]' in page or '"size":[56,40]' in page
    assert "input l2r" in page and "flow to r2l" in page and "input t2b" not in page
    assert f"to look at in {folder / 'index.html'}" in capsys.readouterr().out
    scripts.real("--frames", "3")
    assert not {"index.html", "flow_sheet.png"} & set(names(folder))


def test_one_capture_from_two_files_with_gif_and_folder_of_choice(scripts: Scripts) -> None:
    t2b, b2t = scripts.pair("left")
    output = scripts.folder / "chosen"
    scripts.real("--t2b", t2b, "--b2t", b2t, "--times", "0.5", "--gif", "--output", str(output))
    assert names(output) == [
        "left/contact_sheet.png",
        "left/frame_000_t0.500.png",
        "left/video.gif",
        "left/video.mp4",
    ]


def test_running_again_replaces_results_and_nothing_else(scripts: Scripts) -> None:
    scripts.pair("0")
    folder = scripts.real("--gif")
    (folder / "0" / "notes.txt").write_text("mine")
    scripts.real("--frames", "2")
    assert names(folder / "0") == [
        "contact_sheet.png",
        "frame_000_t0.000.png",
        "frame_001_t1.000.png",
        "notes.txt",
        "video.mp4",
    ]


def test_files_of_the_user_are_left_alone(scripts: Scripts) -> None:
    scripts.pair("0")
    mine = ["frame_0000_t2b.png", "frame_1_t0.5.png", "frames/0.png", "frames/000000_000.png"]
    folder = scripts.real() / "0"
    (folder / "frames").mkdir()
    for name in [*mine, "frames/000000_000_t0.000.png", "frame_700_t0.500.png"]:
        (folder / name).write_text("mine, but for the last two: a clip's and a capture's")
    scripts.real("--frames", "2")
    assert set(mine) <= set(names(folder))
    assert not {"frames/000000_000_t0.000.png", "frame_700_t0.500.png"} & set(names(folder))


def test_results_among_the_inputs_are_refused(scripts: Scripts) -> None:
    t2b, b2t = (Path(path) for path in scripts.pair("0"))
    shot = scripts.folder / "shot"
    shot.mkdir()
    for path, view in ((t2b, "t2b"), (b2t, "b2t")):
        for number in range(2):
            shutil.copy(path, shot / f"frame_{number:04d}_{view}.png")
    before = names(shot)
    views = [str(shot / f"frame_*_{view}.png") for view in ("t2b", "b2t")]
    refused = "shot: results would lie among the inputs .*; choose another --output"
    with pytest.raises(InputError, match=refused):
        scripts.real("--t2b", views[0], "--b2t", views[1], "--output", str(scripts.folder))
    one = [str(shot / f"frame_0000_{view}.png") for view in ("t2b", "b2t")]
    (shot / "frame_0000").symlink_to(shot)
    with pytest.raises(InputError, match=r"frame_0000: results would lie among the inputs"):
        scripts.real("--t2b", one[0], "--b2t", one[1], "--output", str(shot))
    assert [name for name in names(shot) if "/" not in name] == before


def test_pictures_too_large_for_a_video_have_frames_nevertheless(
    scripts: Scripts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.pair("0", size=(33, 21))
    monkeypatch.setattr("utils.real.capture_results.MAX_VIDEO_SIDE", 32)
    folder = scripts.real("--method", "classical", "--frames", "2")
    assert "frame_001_t1.000.png" in names(folder / "0")
    assert "video.mp4" not in names(folder / "0")
    told = capsys.readouterr()
    assert "0: no video: 21x33, and H.264 has at most 32 px a side" in told.err
    assert "video" not in told.out
    first, second = (str(scripts.folder / f"clip{number}") for number in (1, 2))
    for name in (first, second):
        Path(name).mkdir()
        write_pixels(Path(name) / "0.png", size=(33, 21))
    monkeypatch.setattr("utils.real.runs.MAX_VIDEO_SIDE", 32)
    with pytest.raises(InputError, match="clip1: 21x33, but a video has at most 32 px a side"):
        scripts.real("--t2b", first, "--b2t", second)


@pytest.mark.parametrize("name", [".._t2b.png", "_t2b.png", "..._t2b.png"])
def test_names_that_lead_out_of_the_output_are_refused(scripts: Scripts, name: str) -> None:
    first, second = (Path(path) for path in scripts.pair("0"))
    first = first.rename(first.with_name(name))
    (scripts.folder / "deep").mkdir()
    (scripts.folder / "deep" / "video.mp4").write_text("mine")
    words = ("--frames", "2", "--output", str(scripts.folder / "deep" / "out"))
    with pytest.raises(
        InputError, match=r"_t2b\.png: nothing can be named after it: .*; rename it$"
    ):
        scripts.real("--t2b", str(first), "--b2t", str(second), *words)
    assert names(scripts.folder / "deep") == ["video.mp4"]
    assert (scripts.folder / "deep" / "video.mp4").read_text() == "mine"


def test_results_of_another_capture_are_kept(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("left", "other/left"):
        scripts.pair(name)
    for folder in (scripts.captures, scripts.captures / "other"):
        views = (str(folder / f"left_{view}.png") for view in ("t2b", "b2t"))
        out = scripts.real("--t2b", next(views), "--b2t", next(views), "--frames", "2")
    made = {name for name in names(out) if name.endswith("video.mp4")}
    assert made == {"left/video.mp4", "other-left_t2b.png/video.mp4"}
    assert "left holds results of another input; those of" in capsys.readouterr().err


def test_names_that_are_not_utf8_stop_no_page(scripts: Scripts) -> None:
    first, second = (Path(path) for path in scripts.pair("0"))
    os.rename(first, os.fsdecode(os.fsencode(first.parent) + b"/a\xff_t2b.png"))
    os.rename(second, os.fsdecode(os.fsencode(second.parent) + b"/a\xff_b2t.png"))
    folder = scripts.real("--method", "classical", "--frames", "2", changes=("viewer=true",))
    [made] = list(folder.glob("a*"))
    assert "a\\udcff" in (made / "index.html").read_text(encoding="utf-8")


def test_the_classical_method_needs_no_weights(scripts: Scripts) -> None:
    t2b, b2t = scripts.pair("0", size=(33, 21))
    changes = ("path.pretrained_netG=missing.safetensors",)
    folder = scripts.real("--method", "classical", "--frames", "2", changes=changes)
    pair = torch.stack([read_image(t2b), read_image(b2t)])
    made = to_uint8(read_image(folder / "0/frame_001_t1.000.png"))
    assert (made == to_uint8(classical_frames(pair, [1.0])[0])).all()
    assert (folder / "0/contact_sheet.png").is_file()
    chosen = ("path.pretrained_netG=null", "method=classical")
    assert scripts.real(changes=chosen) == folder
    assert len(list((folder / "0").glob("frame_*.png"))) == 9


def test_unknown_methods_are_refused(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scripts.real("--method", "classic")
    error = capsys.readouterr().err
    assert "argument --method: invalid choice: 'classic'" in error
    assert "network" in error and "classical" in error


def test_an_error_leaves_earlier_results_as_they_were(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.pair("0")
    folder = scripts.real("--frames", "2")
    before = {name: (folder / name).read_bytes() for name in names(folder)}

    def fail(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("utils.real.capture_results.write_video", fail)
    with pytest.raises(InputError, match="no space left"):
        scripts.real("--frames", "3")
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_real_captures_are_shared_among_processes(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0", "1", "2"):
        scripts.pair(name)
    monkeypatch.setattr(distributed, "process_group", one_of_two(1))
    folder = scripts.real("--frames", "2")
    assert {path.name for path in folder.iterdir()} == {"1"}


def test_no_process_fails_before_all_are_done(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A launcher ends all processes as soon as one fails."""
    for name in ("0", "1", "2", "3"):
        t2b, _ = scripts.pair(name)
        if name in "01":
            Path(t2b).write_bytes(b"no image")
    monkeypatch.setattr(distributed, "process_group", one_of_two(1))
    folder = scripts.real("--frames", "2")
    assert {path.name for path in folder.iterdir()} == {"3"}
    assert "1_t2b.png: damaged" in capsys.readouterr().err
    monkeypatch.setattr(distributed, "process_group", one_of_two(0))
    with pytest.raises(InputError, match="^2 of 4 captures failed; see the errors above$"):
        scripts.real("--frames", "2")


def test_bad_captures_are_refused(scripts: Scripts) -> None:
    with pytest.raises(InputError, match="no such folder of captures"):
        scripts.real()
    scripts.captures.mkdir()
    with pytest.raises(InputError, match="no captures; expected pairs of NAME_t2b.png"):
        scripts.real()
    t2b, b2t = scripts.pair("0")
    Path(b2t).unlink()
    with pytest.raises(InputError, match=r"0_t2b.png: expected its partner 0_b2t.png beside it"):
        scripts.real()
    with pytest.raises(InputError, match=r"0_b2t.png: no such image"):
        scripts.real("--t2b", t2b, "--b2t", b2t)
    Path(b2t).write_bytes(Path(t2b).read_bytes()[:60])
    with pytest.raises(InputError, match=r"0_b2t.png: damaged, truncated or not an image"):
        scripts.real()
    write_pixels(Path(b2t), (20, 25))
    with pytest.raises(InputError, match=r"0_b2t.png: expected 24x20 pixels .* got 25x20"):
        scripts.real()
    for path in (t2b, b2t):
        write_pixels(Path(path), (1, 24))
    with pytest.raises(InputError, match="a rolling shutter needs at least 2 rows, got 1"):
        scripts.real()
    assert not (scripts.folder / "results/test_real/0").exists()


def test_one_bad_capture_stops_no_other(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0", "1", "2"):
        _, b2t = scripts.pair(name)
        if name == "1":
            Path(b2t).write_bytes(Path(b2t).read_bytes()[:60])
    for words in (("--frames", "2"), ("--check",)):
        with pytest.raises(InputError, match="^1 of 3 captures failed; see the errors above$"):
            scripts.real(*words)
        said = capsys.readouterr()
        assert said.err.startswith("error: ") and "1_b2t.png: damaged" in said.err
    folder = scripts.folder / "results/test_real"
    assert sorted(path.name for path in folder.iterdir()) == ["0", "2"]
    assert "2: capture check" in said.out


@pytest.mark.parametrize("given", ["t2b", "b2t"])
def test_one_image_without_the_other_is_refused(scripts: Scripts, given: str) -> None:
    missing = "b2t" if given == "t2b" else "t2b"
    with pytest.raises(InputError, match=f"--{given} without --{missing}"):
        scripts.real(f"--{given}", "image.png")


def test_bad_arguments_are_refused(scripts: Scripts) -> None:
    scripts.pair("0")
    with pytest.raises(InputError, match="--frames 0: expected a whole number from 1 to 10000"):
        scripts.real("--frames", "0")
    with pytest.raises(InputError, match="--frames 99999999999: expected a whole number from 1"):
        scripts.real("--frames", "99999999999")
    with pytest.raises(InputError, match="--output: expected a folder, got an empty name"):
        scripts.real("--output", "")
    with pytest.raises(InputError, match="gif: at most 50 frames per second, got 240; lower --fps"):
        scripts.real("--gif", "--fps", "240")
    with pytest.raises(InputError, match="speed: only for clips; give --fps for the video of a"):
        scripts.real("--speed", "0.5")
    with pytest.raises(InputError, match=r"'timing.exposure' has too few values, got \[0\]"):
        scripts.real(changes=("timing.exposure=[0]",))
    with pytest.raises(InputError, match=r"--times 0,2: expected instants in \[0, 1\]"):
        scripts.real("--times", "0,2")
    with pytest.raises(InputError, match="give only one"):
        scripts.real("--times", "0,1", "--frames", "2")
    with pytest.raises(InputError, match="unknown key 'frame'; did you mean 'frames'"):
        scripts.real(changes=("frame=3",))
    with pytest.raises(InputError, match="expected a weight file, got no such file"):
        scripts.real(changes=("path.pretrained_netG=missing.safetensors",))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_but_absent_is_refused(scripts: Scripts) -> None:
    scripts.pair("0")
    with pytest.raises(InputError, match="'cuda' asked for, but PyTorch finds no CUDA GPU"):
        scripts.real(changes=("device=cuda",))


def test_an_output_folder_that_is_a_file_is_refused(scripts: Scripts) -> None:
    scripts.pair("0")
    (scripts.folder / "file").touch()
    for output in ("file", "file/below"):
        with pytest.raises(InputError, match="a file is in its way"):
            scripts.real("--output", str(scripts.folder / output))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission_is_refused(scripts: Scripts) -> None:
    scripts.pair("0")
    closed = scripts.folder / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write there: Permission denied"):
        scripts.real("--output", str(closed))


def test_bad_input_is_one_line_on_stderr_and_a_non_zero_exit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main_test_real.py", "--t2b", "a.png"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "main_test_real.py"), run_name="__main__")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: --t2b without --b2t: a capture needs both views\n"
