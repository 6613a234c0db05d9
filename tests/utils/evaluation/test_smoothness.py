"""Measures of smoothness, worked by hand."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.files.images import Image, read_image
from data.rs_gopro import RSGOPRO
from tests.helpers.capture_folders import write_rs_gopro
from tests.utils.evaluation.test_evaluate import ALONE, benchmark, brighter, options
from utils.evaluation.evaluate import evaluate
from utils.evaluation.methods import choose_methods, methods_of_set
from utils.evaluation.plan import plan_evaluation
from utils.evaluation.report import format_tables, write_report
from utils.evaluation.saving import ReadyFrames
from utils.evaluation.scores import FrameScore
from utils.evaluation.smoothness import (
    StepErrors,
    clip_table,
    find_followers,
    plot_clips,
    split_clips,
    summarise_clips,
)
from utils.system.distributed import Processes

FOLLOWERS = {"s/0": "s/1", "s/1": "s/2"}
SOURCE = ("full", "ours")


def grey(*levels: int, size: tuple[int, int] = (4, 6)) -> list[Image]:
    """Images of one grey level each."""
    return [np.full((*size, 3), level, np.uint8) for level in levels]


def decibels(difference: float) -> float:
    return 20 * math.log10(255 / difference)


def test_changes_are_compared_with_the_truths_changes() -> None:
    steps = StepErrors(FOLLOWERS)
    # Errors of the frames are 2, 5, 5 levels: the changes are off by 3 and 0.
    changes = steps.add(SOURCE, "s/0", grey(12, 25, 45), grey(10, 20, 40), border=0)
    assert changes == [None, pytest.approx(decibels(3)), math.inf]
    # The next pair begins at the same true frame: 45 was shown, now 36.
    changes = steps.add(SOURCE, "s/1", grey(36, 50), grey(40, 50), border=0)
    assert changes == [pytest.approx(decibels(9)), pytest.approx(decibels(4))]
    # One frame serves both: no jump.
    assert steps.add(SOURCE, "s/2", grey(50, 60), grey(50, 60), border=0)[0] == math.inf


def test_only_pairs_that_follow_each_other_are_joined() -> None:
    steps = StepErrors(FOLLOWERS)
    for name, truth, joined in (
        ("s/0", (10, 20), False),
        ("s/2", (20, 30), False),  # one is missing
        ("t/0", (30, 40), False),
        ("s/0", (40, 50), False),
        ("s/1", (52, 60), True),  # 2 levels: 42 dB
        ("s/2", (63, 70), False),  # 3 levels: 38.6 dB, some time lies between
    ):
        jump = steps.add(SOURCE, name, grey(*truth), grey(*truth), border=0)[0]
        assert (jump is not None) == joined, name
    # Each method and protocol has its own frames.
    assert steps.add(("full", "other"), "s/0", grey(1, 2), grey(1, 2), border=0)[0] is None


def test_the_border_is_left_out() -> None:
    images = grey(10, 10)
    images[1][0], images[1][:, -1] = 255, 255
    changes = StepErrors({}).add(SOURCE, "s/0", images, grey(10, 10), border=1)
    assert changes == [None, math.inf]


def test_followers_have_the_next_index_of_their_sequence() -> None:
    names = ["a/00000003", "a/00000004", "a/00000006", "b/00000007", "b/00000008", "c/x", "c/y"]
    assert find_followers(names, set()) == {names[0]: names[1], names[3]: names[4]}
    assert find_followers(names, {"b"}) == {names[0]: names[1]}


def frames(pair: str, psnr: Sequence[float], change: Sequence[float | None]) -> list[FrameScore]:
    times = np.linspace(0, 1, len(psnr)).tolist()
    return [
        FrameScore("full", "ours", pair, n, times[n], {"psnr": psnr[n]}, change=change[n])
        for n in range(len(psnr))
    ]


SCORES = [
    *frames("s/0", (20.0, 30.0, 24.0), (None, 26.0, 28.0)),
    *frames("s/1", (22.0, 30.0, 26.0), (decibels(10), 30.0, 32.0)),
    *frames("s/2", (26.0, 31.0, 21.0), (math.inf, 28.0, math.inf)),
    *frames("t/0", (10.0, 11.0, 12.0), (None, 40.0, 36.0)),
]


def test_summary_of_clips() -> None:
    found = summarise_clips(SCORES)
    assert found is not None
    assert (found.joints, found.identical) == (2, 1)
    assert found.joint_psnr == pytest.approx((23 + 26) / 2)
    assert found.jump_psnr == pytest.approx(decibels(10))
    assert found.jump_rms == pytest.approx((10 + 0) / 2)
    assert found.changes == pytest.approx({0.5: (26 + 30 + 28 + 40) / 4, 1.0: (28 + 32 + 36) / 3})
    assert found.change_psnr == pytest.approx((26 + 30 + 28 + 40 + 28 + 32 + 36) / 7)
    assert json.dumps(found.as_json(), allow_nan=False)
    assert list(split_clips(SCORES)) == ["s/0"] and len(split_clips(SCORES)["s/0"]) == 9
    assert summarise_clips(SCORES[-3:]) is None and clip_table({"ours": SCORES[-3:]}) is None
    # A joint counts only where both of its frames are scored.
    assert summarise_clips(SCORES[3:6]) is None


def test_table_and_plot_are_there_only_for_clips(tmp_path: Path) -> None:
    table = clip_table({"ours": SCORES})
    assert table is not None
    assert table[0][:6] == ["method", "joints (2)", "jump", "jump, RMS", "change t 0.500"] + [
        "change t 1.000"
    ]
    assert table[1] == [["ours", "24.50", "28.13", "5.00", "31.00", "32.00", "31.43"]]
    assert plot_clips(tmp_path, SCORES[-3:], "plots") == {} and not list(tmp_path.iterdir())
    ((_, file),) = plot_clips(tmp_path, SCORES, "plots").items()
    assert file == "plots/full_clips.png"
    assert read_image(tmp_path / file).shape[0] == 3


def clip(root: Path) -> RSGOPRO:
    """Three pairs of two frames; every last true frame is the next pair's first."""
    captures = benchmark(root, pairs=3, frames=2)
    for pair in (1, 2):
        folder = root / "test/seq/GS"
        end = folder / f"{pair - 1:08d}_gs_001.png"
        (folder / f"{pair:08d}_gs_000.png").write_bytes(end.read_bytes())
    return captures


def scores_of(captures: RSGOPRO, folder: Path, processes: Processes = ALONE) -> list[FrameScore]:
    plan = plan_evaluation(
        captures, options(datasets={"test": {"data_root": str(folder)}}, save_images=False), folder
    )
    return evaluate(captures, choose_methods({"ours": brighter}), plan, processes)


def test_evaluation_measures_jumps_and_reports_them(tmp_path: Path) -> None:
    scores = scores_of(clip(tmp_path), tmp_path)
    ours = [score for score in scores if score.method == "ours"]
    assert [score.change is None for score in ours] == [True] + [False] * 5
    assert "| ours" in format_tables(scores, {}).rpartition("Clips, PSNR")[2]
    write_report(tmp_path / "test", scores, options(), strengths={})
    content: Any = json.loads((tmp_path / "test/scores.json").read_text())
    reported = content["protocols"]["full"]["ours"]["clips"]
    assert reported["joints"] == 2
    assert reported["jump_psnr"] == pytest.approx(
        (ours[2].change or 0) / 2 + (ours[4].change or 0) / 2
    )
    (tmp_path / "dataset.json").write_text(
        json.dumps(
            {
                "runs": [
                    {
                        "split": "test",
                        "sequences": {"seq": {}},
                        "versions": {},
                        "step": 9,
                        "span": 9,
                    }
                ]
            }
        )
    )
    apart = scores_of(RSGOPRO(tmp_path, "test"), tmp_path)
    assert summarise_clips([score for score in apart if score.method == "ours"]) is None


def test_several_methods_meet_where_their_instants_reach_both_ends(tmp_path: Path) -> None:
    write_rs_gopro(tmp_path, split="test", pairs=3, frames=3, size=(12, 14))
    place = tmp_path / "test/seq/GS"
    for pair in (1, 2):
        end = place / f"{pair - 1:08d}_gs_002.png"
        (place / f"{pair:08d}_gs_000.png").write_bytes(end.read_bytes())
    captures = RSGOPRO(tmp_path, "test")
    given = options(datasets={"test": {"data_root": str(tmp_path)}}, save_images=False)
    assert plan_evaluation(captures, given, tmp_path, (0.0, 0.5)).followers == {}
    plan = plan_evaluation(captures, given, tmp_path, (0.0, 1.0))
    assert plan.truth_frames == (0, 2)
    truth = ReadyFrames("truth", place.parent, "GS/{pair}_gs_{frame:03d}.png")
    methods = {"ours": brighter, **methods_of_set({"truth": truth}, "", plan.truth_frames)}
    scores = evaluate(captures, methods, plan, ALONE)
    found = {
        name: summarise_clips([score for score in scores if score.method == name])
        for name in methods
    }
    ours, ready = found["ours"], found["truth"]
    assert ours is not None and (ours.joints, ours.identical) == (2, 0)
    assert ready is not None and (ready.joints, ready.identical) == (2, 2)
    assert ours.changes.keys() == ready.changes.keys() == {1.0}


def test_joints_between_the_shares_of_two_processes_count(tmp_path: Path) -> None:
    class OneOfTwo(Processes):
        shares: list[list[FrameScore]] = []

        def gather(self, item: Any) -> Any:
            self.shares.append(item)
            return self.shares

    captures = clip(tmp_path)
    expected = scores_of(captures, tmp_path)
    for rank in (1, 0):
        scores = scores_of(captures, tmp_path, OneOfTwo(torch.device("cpu"), rank, 2))
    assert scores == expected
