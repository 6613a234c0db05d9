"""Files of IFED in the scripts and the library, and its training recipe."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import main_train_stage1
from models import load_correction
from models.architecture import load_network
from models.ifed import IFED
from tests.helpers.capture_folders import write_rs_gopro
from tests.helpers.script_runs import ROOT, Scripts
from tests.helpers.tiny_training import same_weights, undrawn_curves
from utils.checkpoint import latest, load_training, save_weights
from utils.errors import InputError


def save_ifed(path: Path, num_frames: int) -> Path:
    """Write a tiny network as the authors' training does."""
    torch.manual_seed(0)
    network = IFED(num_frames, n_feats=8, width=0.05)
    state = {f"module.model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 1, "model": "IFED", "state_dict": state, "register_dict": {}}, path)
    return path


def test_its_own_protocol_and_the_others_score_only_what_it_learned(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=3, frames=9, size=(52, 60))
    scripts.weights = save_ifed(scripts.folder / "model_best.pth.tar", 5)
    folder = scripts.test('protocols=["released", "ifed"]', "baselines=false")
    remark = "Scored at t = 0, 0.25, 0.5, 0.75, 1 only, where the network makes frames"
    assert remark in capsys.readouterr().out
    assert remark in (folder / "report.md").read_text()
    scores = json.loads((folder / "scores.json").read_text())["protocols"]
    for protocol, pairs in (("released", 3), ("ifed", 1)):
        for found in scores[protocol].values():
            assert [frame["time"] for frame in found["frames"]] == [0, 0.25, 0.5, 0.75, 1]
            assert found["overall"]["pairs"] == pairs
    rows = (folder / "scores.csv").read_text().splitlines()[1:]
    assert {row.split(",")[4] for row in rows} == {"0", "2", "4", "6", "8"}
    with pytest.raises(InputError, match=r"model_best.pth.tar: its network makes 5 frames, at t ="):
        scripts.test("frames=9")


def test_several_methods_are_scored_where_all_make_frames(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(scripts.benchmark, split="test", pairs=2, frames=9, size=(24, 28))
    weights = [save_ifed(scripts.folder / f"{count}.pth.tar", count) for count in (3, 5)]
    methods: list[dict[str, object]] = [
        {"name": "three", "weights": str(weights[0])},
        {"name": "five", "weights": str(weights[1]), "self_ensemble": True},
        {
            "name": "truth",
            "frames_folder": str(scripts.benchmark / "test"),
            "pattern": "{sequence}/GS/{pair}_gs_{frame:03d}.png",
        },
    ]
    changes = (f"methods={json.dumps(methods)}", 'protocols=["full"]', "worst_pages=1")
    folder = scripts.test(*changes)
    remark = "Scored at t = 0, 0.5, 1 only, where all methods make frames and truth exists."
    assert remark in capsys.readouterr().out and remark in (folder / "report.md").read_text()
    scores = json.loads((folder / "scores.json").read_text())["protocols"]["full"]
    assert len(scores) == 7
    assert all([f["time"] for f in each["frames"]] == [0, 0.5, 1] for each in scores.values())
    assert scores["truth"]["overall"]["identical"] == 6
    rows = (folder / "scores.csv").read_text().splitlines()[1:]
    assert {row.split(",")[4] for row in rows} == {"0", "4", "8"}
    assert len(list(folder.glob("frames/five/seq/*/frame_*.png"))) == 6
    assert len(list((folder / "worst").iterdir())) == 2
    with pytest.raises(
        InputError, match="methods: all their networks make 3 frames, at t = 0, 0.5"
    ):
        scripts.test(*changes, "frames=9")


def test_frames_that_it_did_not_learn_are_refused_before_any_is_made(scripts: Scripts) -> None:
    scripts.pair("0")
    scripts.pair("1")
    scripts.weights = save_ifed(scripts.folder / "model_best.pth.tar", 5)
    listed = "5 frames, at t = 0, 0.25, 0.5, 0.75, 1"
    for asked, words in (
        (("--frames", "9"), rf"{listed}, but 9 frames are asked for; give --frames 5"),
        (("--frames", "3"), rf"{listed}, but 3 frames are asked for; give --frames 5"),
        (("--times", "0,0.3"), rf"{listed}, but t = 0, 0.3 are asked for; give --frames 5"),
    ):
        with pytest.raises(InputError, match=words):
            scripts.real(*asked)
    folder = scripts.real("--frames", "5")
    assert len(list(folder.glob("0/frame_*.png"))) == len(list(folder.glob("1/frame_*.png"))) == 5
    folder = scripts.real("--times", "0.25")
    assert [path.name for path in folder.glob("0/frame_*.png")] == ["frame_000_t0.250.png"]


def test_a_single_frame_is_that_of_the_middle(scripts: Scripts) -> None:
    files = scripts.pair("0")
    scripts.weights = save_ifed(scripts.folder / "f1.pth.tar", 1)
    with pytest.raises(InputError, match=r"1 frame, at t = 0.5, but 9 .* give --times 0.5"):
        scripts.real()
    folder = scripts.real("--times", "0.5")
    saved = cv2.imread(str(folder / "0/frame_000_t0.500.png"))[..., ::-1]
    first, second = (cv2.imread(path)[..., ::-1] for path in files)
    frames = load_correction(scripts.weights, device="cpu")(first, second, [0.5])
    np.testing.assert_array_equal(frames[0], saved)
    with pytest.raises(InputError, match=r"'ifed', num_frames 1, makes only t = 0.5, got t = 0, 1"):
        load_correction(scripts.weights, device="cpu")(first, second, [0, 1])


RECIPE = str(ROOT / "options/train_ifed.json")
VGG_FREE = "train.G_lossfn_type=1*Charbonnier|1e-1*Variation"


def train(monkeypatch: pytest.MonkeyPatch, root: Path, *changes: str) -> Path:
    """Run the recipe at tiny scale on `root`/data; returns its folder."""
    settings = [
        *(f"datasets.{split}.data_root={root / 'data'}" for split in ("train", "valid")),
        *("datasets.train.patch_size=32", "datasets.train.dataloader_batch_size=2"),
        *("datasets.train.dataloader_num_workers=0", "netG.n_feats=8", "netG.width=0.04"),
        *("device=cpu", f"path.root={root}", VGG_FREE, "train.iterations=2"),
        *("train.G_scheduler_periods=2", "train.checkpoint_print=1", *changes),
    ]
    monkeypatch.setattr(sys, "argv", ["x", "--opt", RECIPE, "--set", *settings])
    with undrawn_curves():
        main_train_stage1.main()
    return root / "train_ifed"


def test_the_recipe_trains_on_middle_pairs_by_epochs_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "valid"):
        write_rs_gopro(tmp_path / "data", split=split, pairs=5, frames=9, size=(40, 40))
    whole = train(monkeypatch, tmp_path, "task=whole").with_name("whole")
    options = json.loads((whole / "options.json").read_text())
    assert options["train"]["epoch_steps"] == 2  # three middle pairs in batches of two
    records = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    rates = [record["learning_rate"] for record in records if "learning_rate" in record]
    assert rates == pytest.approx([1e-4, 1e-4, 5.5e-5, 5.5e-5])
    assert any("valid_psnr" in record for record in records)
    stopped = train(monkeypatch, tmp_path, "train.iterations=1")
    assert load_training(latest(stopped / "checkpoints")).step == 2
    resumed = load_network(train(monkeypatch, tmp_path) / "generator.safetensors")
    assert isinstance(resumed, IFED) and (resumed.num_frames, resumed.channels) == (5, "bgr")
    assert same_weights(resumed, load_network(whole / "generator.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["netG.num_frames=9"], "seq/00000001: expected true frames at t = 0, 0.125, .* got 5"),
        (["netG.num_frames=7"], "'netG.num_frames' must be 1, 3, 5 or 9, got 7"),
        (["netG.net_type=generator"], "'netG.num_frames': 'generator' makes 3, .* got 5"),
        (
            [
                "train.objective=cycle",
                "path.pretrained_rsg=dis",
                "train.charbonnier_epsilon=1e-9",
            ],
            "'train.objective': 'ifed' is trained on true frames, by 'supervised', got 'cycle'",
        ),
        (
            ["train.objective=cycle", "path.pretrained_rsg=dis"],
            "charbonnier_epsilon': only for 'supervised', not 'cycle'",
        ),
        (["datasets.train.split=valid"], "drop_ends leaves out the first and last pair"),
        (
            ["path.pretrained_netG=FILE", "netG.net_type=generator", "netG.num_frames=3"],
            "expected net_type generator, got ifed; .* --set netG.net_type=ifed netG.num_frames=5",
        ),
        (["path.pretrained_netG=FILE", "netG.num_frames=1"], "--set netG.num_frames=5"),
    ],
)
def test_what_does_not_fit_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: list[str], message: str
) -> None:
    for split, pairs in (("train", 3), ("valid", 2)):
        write_rs_gopro(tmp_path / "data", split=split, pairs=pairs, frames=5, size=(40, 40))
    five = tmp_path / "five.safetensors"
    save_weights(five, IFED(5, n_feats=8, width=0.04, channels="bgr"))
    given = [change.replace("FILE", str(five)) for change in changes]
    with pytest.raises(InputError, match=message) as caught:
        train(monkeypatch, tmp_path, "datasets.valid=null", *given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "train_ifed").exists()
