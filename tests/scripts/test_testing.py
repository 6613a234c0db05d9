"""`main_test.py` as users call it, with a tiny generator."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data.dataset_writer.writing import write_simulated
from data.files.images import read_image
from data.simulator.settings import SceneSettings
from models.generator import Generator
from tests.helpers.capture_folders import write_pixels, write_rs_gopro
from tests.helpers.script_runs import ROOT, Scripts, names
from utils.checkpoint import save_weights
from utils.errors import InputError


def test_benchmark_is_scored_and_reported(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=3, frames=3, size=(52, 60))
    folder = scripts.test('protocols=["released", "ifed"]', plotted=True)
    top = {path.name for path in folder.iterdir()}
    assert top == {
        "example.png",
        "frames",
        "frames_floored",
        "index.html",
        "plots",
        "report.md",
        "scores.csv",
        "scores.json",
    }
    printed = capsys.readouterr().out
    tables = (folder / "report.md").read_text()
    for line in ("## Protocol `released`", "## Protocol `ifed`", "| tiny         | PSNR |"):
        assert line in printed and line in tables
    for shown in ("![Example", "(example.png)", "(index.html)", "(plots/released_distances.png)"):
        assert shown in tables
    assert f"report: {folder / 'report.md'}" in printed
    scores = json.loads((folder / "scores.json").read_text())["protocols"]
    assert scores["released"]["tiny"]["overall"]["pairs"] == 3
    assert scores["ifed"]["mean of both"]["overall"]["pairs"] == 1


def test_tables_name_the_released_composition(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=1, frames=3, size=(20, 24))
    changes = ("baselines=false", 'protocols=["full"]')
    found = {}
    for inference in ("ours", "released_stage1", "released_stage2"):
        folder = scripts.test(*changes, f"inference={inference}")
        scores = json.loads((folder / "scores.json").read_text())["protocols"]["full"]
        [(name, values)] = scores.items()
        found[name] = values["overall"]["psnr"]
    assert list(found) == ["tiny", "tiny, released_stage1", "tiny, released_stage2"]
    assert len(set(found.values())) == 3


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
    write_simulated(scripts.benchmark, [texture], settings, [0, 1, 2], frames=2)
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


def test_an_earlier_report_does_not_stand_beside_other_frames(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", frames=3, size=(52, 60))
    folder = scripts.test('protocols=["full", "released"]', "baselines=false", plotted=True)
    assert any(path.name.startswith("released") for path in (folder / "plots").iterdir())
    scripts.test('protocols=["full"]', "baselines=false", plotted=True)
    assert not any(path.name.startswith("released") for path in (folder / "plots").iterdir())
    shutil.rmtree(scripts.benchmark)
    write_rs_gopro(scripts.benchmark, split="test", frames=0, size=(52, 60))
    scripts.test("frames=3")
    assert [path.name for path in folder.iterdir()] == ["frames"]


def test_frames_of_a_run_score_as_the_methods_that_made_them(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=2, frames=3, size=(24, 28))
    listed = [
        {"name": "network", "weights": str(scripts.weights)},
        {"name": "no weights", "method": "classical"},
    ]
    plain = ('protocols=["full"]', "baselines=false", "frame_layout=released")
    folder = scripts.test(*plain, "path.pretrained_netG=null", f"methods={json.dumps(listed)}")
    assert len(names(folder / "frames")) == 12
    assert "network/seq/00000001_gs_002.png" in names(folder / "frames")
    made = json.loads((folder / "scores.json").read_text())["protocols"]["full"]
    assert list(made) == ["network", "no weights"] and made["network"] != made["no weights"]
    frames = {
        name: {"name": name, "frames_folder": str(folder / "frames" / name), "pattern": "released"}
        for name in made
    }
    listed = [*frames.values(), {**listed[0], "name": "again"}]
    capsys.readouterr()
    changes = (*plain, f"methods={json.dumps(listed)}", "task=ready", "worst_pages=1")
    folder = scripts.test(*changes).parent / "ready"
    read = json.loads((folder / "scores.json").read_text())["protocols"]["full"]
    assert read == made | {"again": made["network"]}
    assert "| no weights | PSNR |" in capsys.readouterr().out
    assert names(folder / "frames") == [
        f"again/seq/0000000{pair}_gs_00{frame}.png" for pair in (0, 1) for frame in (0, 1, 2)
    ]
    assert len(names(folder / "worst")) == 2


def test_frames_of_every_method_are_saved_on_request(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=1, frames=2, size=(12, 14))
    folder = scripts.test('protocols=["full"]', "save_images=all")
    saved = names(folder / "frames")
    labels = ["tiny", "classical", "t2b as it is", "b2t as it is", "mean of both"]
    assert {name.split("/")[0] for name in saved} == {*labels} and len(saved) == 10
    mean = read_image(folder / "frames/mean of both/seq/00000000/frame_001_t1.000.png")
    views = [
        read_image(scripts.benchmark / f"test/seq/RS/00000000_rs_{view}.png")
        for view in ("t2b", "b2t")
    ]
    assert float((mean - (views[0] + views[1]) / 2).abs().max()) <= 0.51 / 255


def test_several_sets_are_scored_by_themselves_and_together(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = {"one": (3, 2), "two": (2, 1), "blind": (0, 1)}
    for name, (frames, pairs) in roots.items():
        root = scripts.folder / name
        write_rs_gopro(root, split="test", frames=frames, pairs=pairs, size=(12, 14))
    sets = [{"name": name, "data_root": str(scripts.folder / name)} for name in roots]
    changes = (f"datasets.test={json.dumps(sets)}", 'protocols=["full"]', "method=classical")
    folder = scripts.test(*changes)
    top = json.loads((folder / "scores.json").read_text())
    assert list(top["sets"]) == ["one", "two"] and "protocols" not in top
    for name in ("one", "two"):
        own = json.loads((folder / "sets" / name / "scores.json").read_text())
        assert own["protocols"] == top["sets"][name]["protocols"]
        assert own["data"]["data_root"] == str(scripts.folder / name)
        means = own["protocols"]["full"]["classical"]
        assert (len(means["frames"]), means["overall"]["pairs"]) == roots[name]
    printed = capsys.readouterr().out
    for line in ("# Test set `one`", "no scores: ", "| mean of sets |", "report of all sets: "):
        assert line in printed
    assert len(names(folder / "sets/blind/frames")) == 9
    # A later run of one set leaves no report of the others.
    scripts.test(f"datasets.test={json.dumps(sets[:1])}", *changes[1:])
    assert not (folder / "sets/two/scores.json").exists()


def test_a_set_that_cannot_be_scored_is_named(scripts: Scripts) -> None:
    for name, pairs in (("long", 3), ("short", 2)):
        write_rs_gopro(scripts.folder / name, split="test", pairs=pairs, frames=2, size=(12, 14))
    sets = [{"name": name, "data_root": str(scripts.folder / name)} for name in ("long", "short")]
    changes = (f"datasets.test={json.dumps(sets)}", 'protocols=["ifed"]', "method=classical")
    with pytest.raises(InputError, match="^test set 'short': protocol 'ifed' leaves out the first"):
        scripts.test(*changes)
    assert not names(scripts.folder / "results")


def test_nothing_is_scored_where_frames_are_missing(scripts: Scripts) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=2, frames=2, size=(12, 14))
    write_pixels(scripts.folder / "ready/seq/00000000_gs_000.png", (12, 14))
    ready = {"name": "x", "frames_folder": str(scripts.folder / "ready"), "pattern": "released"}
    with pytest.raises(InputError, match="'x': 3 of 4 frames are missing in .*nothing was scored"):
        scripts.test('protocols=["full"]', f"methods={json.dumps([ready])}")
    assert not names(scripts.folder / "results")


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


def test_testing_needs_neither_training_networks_nor_losses() -> None:
    """Imports nothing but what corrects and scores: a fresh process shows it."""
    code = (
        "import sys, utils.evaluation.evaluate, utils.real.runs; "
        "from models.networks import network_class; network_class('generator'); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "models.generator" in loaded
    unwanted = {"models.flow_pwc", "models.losses.terms", "models.objectives", "torchvision"}
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


@pytest.mark.slow
@pytest.mark.parametrize("context", ["pair", "clip"])
def test_jobs_change_no_score(scripts: Scripts, context: str) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=5, frames=3, size=(24, 28))
    changes = ('protocols=["full"]', f"context={context}")
    found = []
    for jobs in ("1", "2", "100"):
        folder = scripts.test(*changes, arguments=("--method", "classical", "--jobs", jobs))
        frames = sorted((folder / "frames").rglob("*.png"))
        assert len(frames) == 15
        scores = (folder / "scores.csv").read_text()
        found.append((scores, [frame.read_bytes() for frame in frames]))
    assert found[0] == found[1] == found[2]
