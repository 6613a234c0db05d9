import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from data.rs_gopro import RSGOPRO
from models.inference.correction import correct_classically
from tests.helpers.capture_folders import write_rs_gopro
from utils.errors import InputError
from utils.evaluation.evaluate import evaluate
from utils.evaluation.example import find_worst, write_example, write_worst
from utils.evaluation.methods import ReadyFrames
from utils.evaluation.plan import EvaluationPlan
from utils.evaluation.scores import FrameScore
from utils.system.distributed import Processes

METHODS = {"classical": correct_classically}


def evaluated(folder: Path, protocol: str, frames: int = 2) -> tuple[RSGOPRO, EvaluationPlan]:
    write_rs_gopro(folder, split="test", pairs=3, frames=frames, size=(54, 60))
    captures = RSGOPRO(folder, "test")
    protocols = (protocol,) if frames else ()
    plan = EvaluationPlan((0.0, 1.0), protocols, baselines=False, folder=folder / "out")
    processes = Processes(torch.device("cpu"))
    scores = evaluate(captures, {"classical": correct_classically}, plan, processes)
    (folder / "psnr.json").write_text(
        json.dumps([score.values["psnr"] for score in scores[:frames]])
    )
    return captures, plan


def shown(folder: Path) -> dict[str, object]:
    page = (folder / "out/index.html").read_text("utf-8")
    found = re.search(r'id="content">(.*?)</script>', page, re.DOTALL)
    assert found
    payload: dict[str, object] = json.loads(found[1])
    return payload


def test_the_viewer_shows_truth_error_flow_and_the_scored_psnr(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "released")
    files = write_example(tmp_path / "out", captures, methods=METHODS, plan=plan)
    assert list(files.values()) == ["example.png", "index.html"]
    assert cv2.imread(str(tmp_path / "out/example.png")).shape[1] == 1280
    payload = shown(tmp_path)
    assert payload["psnr"] == pytest.approx(json.loads((tmp_path / "psnr.json").read_text()))
    keys = [view["key"] for view in payload["views"]]  # type: ignore[attr-defined]
    assert keys == ["t2b", "b2t", "frame", "truth", "error", "flow_t2b", "flow_b2t"]
    remark = "PSNR: 20 pixels cropped on each side, rounded to 8 bit"
    assert payload["remarks"][0] == remark  # type: ignore[index]
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "<title>seq/00000000, classical</title>" in page


def test_a_protocol_that_leaves_out_the_first_pair_shows_it_all_the_same(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "ifed")
    example = partial(write_example, tmp_path / "out", captures, methods=METHODS, plan=plan)
    example()
    assert np.isfinite(shown(tmp_path)["psnr"]).all()  # type: ignore[call-overload]
    (tmp_path / "out/frames_floored/seq/00000000/frame_001_t1.000.png").unlink()
    with pytest.raises(InputError, match="frame_001_t1.000.png: no such image"):
        example()


def test_without_truth_there_is_no_psnr(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "full", frames=0)
    write_example(tmp_path / "out", captures, methods=METHODS, plan=plan)
    assert "psnr" not in shown(tmp_path)


def test_without_saved_frames_there_is_nothing_to_show(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "full")
    thrown_away = EvaluationPlan(plan.times, plan.protocols, baselines=False, folder=None)
    assert write_example(tmp_path, captures, methods=METHODS, plan=thrown_away) == {}
    assert not (tmp_path / "index.html").exists()


def test_several_methods_stand_beside_each_other(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "full")
    ready = ReadyFrames("theirs", tmp_path / "test", "{sequence}/GS/{pair}_gs_{frame:03d}.png")
    methods = {"classical": correct_classically, "theirs": ready}
    files = write_example(tmp_path / "out", captures, methods=methods, plan=plan)
    assert list(files.values()) == ["example.png", "index.html"]
    payload: Any = shown(tmp_path)
    views = {view["key"]: view for view in payload["views"]}
    labels = {key: view["label"] for key, view in views.items()}
    assert labels["frame"] == "classical" and labels["frame_1"] == "theirs"
    assert labels["error"] == "error of classical" and labels["error_1"] == "error of theirs"
    assert views["frame"]["sides"] == views["frame_1"]["sides"] == ["before", "after"]
    # Their frames are the true ones.
    assert views["frame_1"]["psnr"] == views["error_1"]["psnr"] == [None, None]
    assert payload["psnr"] == pytest.approx(json.loads((tmp_path / "psnr.json").read_text()))
    assert views["frame_1"]["pictures"] == views["truth"]["pictures"]
    page = (tmp_path / "out/index.html").read_text("utf-8")
    assert "<title>seq/00000000, classical, theirs</title>" in page


def test_the_worst_captures_have_pages_from_the_worst_on(tmp_path: Path) -> None:
    captures, plan = evaluated(tmp_path, "full")
    worst = [("seq/00000002", 21.254), ("seq/00000001", 30.0)]
    files = write_worst(tmp_path / "out", captures, worst, methods=METHODS, plan=plan)
    assert files == {
        "Worst 1: seq/00000002, 21.25 dB": "worst/01_seq_00000002.png",
        "Worst 1 in motion": "worst/01_seq_00000002.html",
        "Worst 2: seq/00000001, 30.00 dB": "worst/02_seq_00000001.png",
        "Worst 2 in motion": "worst/02_seq_00000001.html",
    }
    assert all((tmp_path / "out" / file).is_file() for file in files.values())
    page = (tmp_path / "out/worst/01_seq_00000002.html").read_text("utf-8")
    assert "<title>Worst 1: seq/00000002, 21.25 dB, classical</title>" in page


def test_the_worst_are_those_of_the_first_method_and_protocol() -> None:
    scores = [
        FrameScore(protocol, method, pair, frame, 0.0, {"psnr": psnr})
        for protocol, method, pair, frame, psnr in (
            ("full", "ours", "a/0", 0, 30.0),
            ("full", "ours", "a/0", 1, np.inf),
            ("full", "ours", "a/1", 0, 20.0),
            ("full", "ours", "a/1", 1, 22.0),
            ("full", "ours", "a/2", 0, 40.0),
            ("full", "theirs", "a/2", 0, 10.0),
            ("released", "ours", "a/2", 0, 5.0),
        )
    ]
    assert find_worst(scores, "ours", 2) == [("a/1", 21.0), ("a/0", 30.0)]
    assert find_worst(scores, "ours", 0) == []
