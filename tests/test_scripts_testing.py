"""`main_test.py` and `main_test_real.py` as users call them, with a tiny generator."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import torch

import main_test
import main_test_real
from data.create_rs_dataset import write_dataset
from data.simulator import SceneSettings
from models.classical import correct_classically
from models.generator import Generator
from tests.capture_folders import write_pixels, write_rs_gopro
from utils.checkpoint import save_weights
from utils.distributed import Processes
from utils.errors import InputError
from utils.image_io import read_image, to_uint8

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, Generator(n_feats=8, width=0.05))
    return path


class Scripts:
    """Runs the scripts in this process, with inputs and outputs below a folder."""

    def __init__(self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.weights = weights
        self.captures = folder / "captures"
        self.benchmark = folder / "benchmark"
        self.monkeypatch = monkeypatch

    def real(self, *arguments: str, changes: tuple[str, ...] = ()) -> Path:
        """Run `main_test_real.py`; returns its folder."""
        settings = [f"datasets.test.data_root={self.captures}", *self._settings(), *changes]
        self._call("main_test_real.py", *arguments, "--set", *settings)
        main_test_real.main()
        return self.folder / "results" / "test_real"

    def test(self, *changes: str, arguments: tuple[str, ...] = ()) -> Path:
        """Run `main_test.py`; returns its folder."""
        settings = [f"datasets.test.data_root={self.benchmark}", *self._settings(), *changes]
        opt = ("--opt", str(ROOT / "options/test.json"))
        self._call("main_test.py", *opt, *arguments, "--set", *settings)
        main_test.main()
        return self.folder / "results" / "test_rs_gopro"

    def pair(self, name: str, size: tuple[int, int] = (20, 24)) -> tuple[str, str]:
        """Write a capture; returns the paths of its images."""
        paths = [self.captures / f"{name}_{direction}.png" for direction in ("t2b", "b2t")]
        for path in paths:
            write_pixels(path, size)
        return str(paths[0]), str(paths[1])

    def _settings(self) -> list[str]:
        root = self.folder / "results"
        return [f"path.pretrained_netG={self.weights}", f"path.root={root}", "device=cpu"]

    def _call(self, *command: str) -> None:
        self.monkeypatch.setattr(sys, "argv", list(command))


@pytest.fixture
def scripts(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    return Scripts(tmp_path, weights, monkeypatch)


@contextmanager
def second_of_two(device: str, *, launched: bool) -> Iterator[Processes]:
    """Stands for `utils.distributed.process_group` in the second of two processes."""
    yield Processes(torch.device(device), rank=1, world_size=2)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


# main_test_real.py


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


def test_the_classical_method_needs_no_weights(scripts: Scripts) -> None:
    t2b, b2t = scripts.pair("0", size=(33, 21))
    changes = ("path.pretrained_netG=missing.safetensors",)
    folder = scripts.real("--method", "classical", "--frames", "2", changes=changes)
    pair = torch.stack([read_image(t2b), read_image(b2t)])
    made = to_uint8(read_image(folder / "0/frame_001_t1.000.png"))
    assert (made == to_uint8(correct_classically(pair, [1.0])[0])).all()
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

    monkeypatch.setattr("utils.capture_results.write_video", fail)
    with pytest.raises(InputError, match="no space left"):
        scripts.real("--frames", "3")
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_real_captures_are_shared_among_processes(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0", "1", "2"):
        scripts.pair(name)
    monkeypatch.setattr(main_test_real, "process_group", second_of_two)
    folder = scripts.real("--frames", "2")
    assert {path.name for path in folder.iterdir()} == {"1"}


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
    with pytest.raises(InputError, match=r"0_b2t.png: expected 20x24 pixels .* got 20x25"):
        scripts.real()
    for path in (t2b, b2t):
        write_pixels(Path(path), (1, 24))
    with pytest.raises(InputError, match="a rolling shutter needs at least 2 rows, got 1"):
        scripts.real()
    assert not (scripts.folder / "results/test_real/0").exists()


@pytest.mark.parametrize("given", ["t2b", "b2t"])
def test_one_image_without_the_other_is_refused(scripts: Scripts, given: str) -> None:
    missing = "b2t" if given == "t2b" else "t2b"
    with pytest.raises(InputError, match=f"--{given} without --{missing}"):
        scripts.real(f"--{given}", "image.png")


def test_bad_arguments_are_refused(scripts: Scripts) -> None:
    scripts.pair("0")
    with pytest.raises(InputError, match="--frames 1: expected a whole number of at least 2"):
        scripts.real("--frames", "1")
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


# main_test.py


def test_benchmark_is_scored_and_reported(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=3, frames=3, size=(52, 60))
    folder = scripts.test('protocols=["released", "ifed"]')
    top = {path.name for path in folder.iterdir()}
    assert top == {
        "example.png",
        "frames",
        "frames_floored",
        "report.md",
        "scores.csv",
        "scores.json",
    }
    printed = capsys.readouterr().out
    tables = (folder / "report.md").read_text()
    for line in ("## Protocol `released`", "## Protocol `ifed`", "| tiny         | PSNR |"):
        assert line in printed and line in tables
    assert f"report: {folder / 'report.md'}" in printed
    scores = json.loads((folder / "scores.json").read_text())["protocols"]
    assert scores["released"]["tiny"]["overall"]["pairs"] == 3
    assert scores["ifed"]["mean of both"]["overall"]["pairs"] == 1


def test_benchmark_of_the_classical_method_needs_no_weights(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=1, frames=2, size=(20, 24))
    changes = ("path.pretrained_netG=null", 'protocols=["full"]')
    folder = scripts.test(*changes, arguments=("--method", "classical"))
    scores = json.loads((folder / "scores.json").read_text())
    assert list(scores["protocols"]["full"]) == [
        "classical",
        "t2b as it is",
        "b2t as it is",
        "mean of both",
    ]
    assert scores["options"]["method"] == "classical"
    assert len(names(folder / "frames")) == 2
    printed = capsys.readouterr().out
    assert "| classical    | PSNR |" in printed and "strength" not in printed


def test_simulated_benchmarks_are_scored_by_strength(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [SceneSettings(height=24, width=32, strength=strength) for strength in (0.25, 1.0)]
    texture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    write_dataset(scripts.benchmark, [texture], settings, [0, 1, 2], frames=2)
    folder = scripts.test('protocols=["full"]', arguments=("--method", "classical"))
    scores = json.loads((folder / "scores.json").read_text())["protocols"]["full"]
    for result in scores.values():
        assert {name: item["pairs"] for name, item in result["strengths"].items()} == {
            "0.25": 2,
            "1": 1,
        }
    assert "| strength | classical" in capsys.readouterr().out


def test_released_checkpoints_score_as_the_same_weights_of_ours(
    scripts: Scripts, tmp_path: Path
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", frames=2, size=(16, 16))
    torch.manual_seed(1)
    ours = Generator(channels="bgr", n_feats=32, width=0.25)
    save_weights(tmp_path / "ours.safetensors", ours)
    released = {f"module.{name}": value for name, value in ours.state_dict().items()}
    torch.save({"params": released}, tmp_path / "released.pth")
    found = []
    for file in ("ours.safetensors", "released.pth"):
        folder = scripts.test(
            f"path.pretrained_netG={tmp_path / file}", 'protocols=["full"]', "baselines=false"
        )
        scores = json.loads((folder / "scores.json").read_text())
        found.append(scores["protocols"]["full"][Path(file).stem]["overall"])
    assert found[0] == found[1]


def test_without_truth_frames_are_saved_and_the_reason_is_given(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", frames=0)
    folder = scripts.test("frames=2")
    assert f"no scores: {scripts.benchmark}/test has no true frames" in capsys.readouterr().out
    assert names(folder) == [
        "frames/seq/00000000/frame_000_t0.000.png",
        "frames/seq/00000000/frame_001_t1.000.png",
    ]


def test_a_frame_count_that_does_not_match_is_refused(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", frames=3)
    with pytest.raises(InputError, match="3 true frames, but the options ask for 9"):
        scripts.test("frames=9")


def test_bad_benchmarks_are_refused(scripts: Scripts) -> None:
    with pytest.raises(InputError, match="benchmark/test: no such folder"):
        scripts.test()
    write_rs_gopro(scripts.benchmark, split="test", frames=3)
    with pytest.raises(InputError, match="expected a weight file, got no such file"):
        scripts.test("path.pretrained_netG=missing.pth")
    with pytest.raises(InputError, match="too small to score with a border of 20"):
        scripts.test()


# Both, in processes of their own


def test_bad_input_is_one_line_on_stderr_and_a_non_zero_exit(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "main_test_real.py"), "--t2b", "a.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: --t2b without --b2t: a capture needs both images\n"


def test_testing_needs_neither_training_networks_nor_losses() -> None:
    """Imports nothing but what corrects and scores: a fresh process shows it."""
    code = "import sys, main_test, main_test_real; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "models.generator" in loaded
    unwanted = {"models.flow_pwc", "models.losses", "models.objectives", "torchvision"}
    assert not loaded & unwanted


@pytest.mark.slow
def test_two_processes_report_what_one_reports(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=3, frames=2, size=(12, 12))
    changes = ('protocols=["full"]', "save_images=false")
    alone = (scripts.test(*changes) / "scores.csv").read_text()
    script = ["main_test.py", *sys.argv[1:], f"path.root={scripts.folder / 'two'}"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc_per_node=2", *script],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (scripts.folder / "two/test_rs_gopro/scores.csv").read_text() == alone
    assert done.stdout.count("report: ") == 1
