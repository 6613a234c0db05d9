"""Files of IFED in the scripts and the library, and its training recipe."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import load_correction
from models.ifed import IFED
from tests.helpers.capture_folders import write_rs_gopro
from tests.helpers.script_runs import Scripts
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
