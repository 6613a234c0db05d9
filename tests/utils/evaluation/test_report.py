import csv
import json
import math
from pathlib import Path

import pytest

from utils.errors import InputError
from utils.evaluation.report import _escaped, format_tables, summarise_all, write_report
from utils.evaluation.scores import BandScore, FrameScore
from utils.options.evaluation import EvaluationOptions

OPTIONS = EvaluationOptions.model_validate(
    {
        "task": "test",
        "path": {"pretrained_netG": "weights/ours.safetensors"},
        "datasets": {"test": {"data_root": "benchmark"}},
    }
)


def two_frames(
    protocol: str, method: str, pair: str, psnr: tuple[float, float]
) -> list[FrameScore]:
    return [
        FrameScore(
            *(protocol, method, pair, frame, float(frame)),
            {
                "psnr": value,
                "ssim": min(value, 99) / 100,
                "band_psnr": value - 5,
                "inner_psnr": value + 1,
            },
        )
        for frame, value in enumerate(psnr)
    ]


SCORES = [
    *two_frames("released", "ours", "a/0", (30.0, 32.0)),
    *two_frames("released", "t2b as it is", "a/0", (20.0, 22.0)),
    *two_frames("released", "ours", "b/0", (40.0, 50.0)),
    *two_frames("released", "t2b as it is", "b/0", (10.0, 12.0)),
    *two_frames("full", "ours", "a/0", (25.0, math.inf)),
]


def test_tables_show_frames_sequences_and_everything() -> None:
    lines = format_tables(SCORES, {}).splitlines()
    assert "## Protocol `released`" in lines
    assert "| method       |      | t 0.000 | t 1.000 | all    |" in lines
    assert "| ours         | PSNR | 35.00   | 41.00   | 38.00  |" in lines
    assert "| ours         | SSIM | 0.3500  | 0.4100  | 0.3800 |" in lines
    assert "| t2b as it is | PSNR | 15.00   | 17.00   | 16.00  |" in lines
    assert "| sequence | ours           | t2b as it is   |" in lines
    assert "| a        | 31.00 / 0.3100 | 21.00 / 0.2100 |" in lines
    assert "| b        | 45.00 / 0.4500 | 11.00 / 0.1100 |" in lines
    assert "| all      | 38.00 / 0.3800 | 16.00 / 0.1600 |" in lines
    assert not any("strength" in line for line in lines)


def test_tables_show_what_is_near_the_border_and_what_is_not() -> None:
    lines = format_tables(SCORES, {}).splitlines()
    assert "| place           | ours  | t2b as it is |" in lines
    assert "| near the border | 33.00 | 11.00        |" in lines
    assert "| further in      | 39.00 | 17.00        |" in lines


def test_tables_show_strengths_where_they_are_known() -> None:
    third = two_frames("released", "ours", "c/0", (50.0, 54.0))
    strengths = {"a": "0.5", "b": "1", "c": "0.5"}
    lines = format_tables([*SCORES[:2], *SCORES[4:6], *third], strengths).splitlines()
    assert "| strength | ours           |" in lines
    assert "| 0.5      | 41.50 / 0.4150 |" in lines
    assert "| 1        | 45.00 / 0.4500 |" in lines
    content = summarise_all(SCORES[:2], {"a": "0.5"})["released"]["ours"]["strengths"]
    assert {name: item["psnr"] for name, item in content.items()} == {"0.5": 31.0}


def test_identical_frames_are_reported_beside_the_means() -> None:
    text = format_tables(SCORES, {})
    assert (
        "`ours`: frames identical to their truth (infinite PSNR), left out of the PSNR means: 1."
        in text
    )
    assert "| ours   | PSNR | 25.00   | inf     | 25.00  |" in text


def test_report_names_protocol_weights_and_data(tmp_path: Path) -> None:
    pictures = {"By instant": "plots/instants.png", "In motion": "index.html"}
    write_report(tmp_path, SCORES, OPTIONS, strengths={}, pictures=pictures)
    text = (tmp_path / "report.md").read_text()
    assert "Weights `weights/ours.safetensors`, data `benchmark/test`." in text
    assert "20 pixels cropped on each side, rounded to 8 bit" in text
    assert "No crop, rounded to 8 bit" in text
    assert "## By instant\n\n![By instant](plots/instants.png)" in text
    assert "## In motion\n\n[In motion](index.html)" in text


def test_report_of_the_classical_method_names_no_weights(tmp_path: Path) -> None:
    classical = OPTIONS.model_copy(update={"method": "classical"})
    write_report(tmp_path, SCORES, classical, strengths={})
    text = (tmp_path / "report.md").read_text()
    assert "Classical correction, data `benchmark/test`." in text and "Weights" not in text


def test_csv_holds_every_frame(tmp_path: Path) -> None:
    write_report(tmp_path, SCORES, OPTIONS, strengths={})
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(SCORES)
    assert rows[1] == {
        "protocol": "released",
        "method": "ours",
        "sequence": "a",
        "pair": "a/0",
        "frame": "1",
        "time": "1",
        "psnr": "32.000000",
        "ssim": "0.32000000",
        "band_psnr": "27.000000",
        "inner_psnr": "33.000000",
    }
    assert float(rows[-1]["psnr"]) == math.inf


def test_json_holds_means_and_options(tmp_path: Path) -> None:
    write_report(tmp_path, SCORES, OPTIONS, strengths={})
    content = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert content["options"]["task"] == "test"
    ours = content["protocols"]["released"]["ours"]
    assert ours["overall"] == pytest.approx(
        {
            **{"psnr": 38.0, "ssim": 0.38, "band_psnr": 33.0, "inner_psnr": 39.0},
            **{"pairs": 2, "identical": 0},
        }
    )
    assert [(item["time"], item["psnr"]) for item in ours["frames"]] == [(0.0, 35.0), (1.0, 41.0)]
    assert ours["distances"] == []
    assert {name: item["psnr"] for name, item in ours["sequences"].items()} == {"a": 31, "b": 45}
    assert content["protocols"] == summarise_all(SCORES, {})
    last = content["protocols"]["full"]["ours"]["frames"][1]
    assert last["psnr"] is None and last["identical"] == 1


def test_json_holds_means_by_distance_from_the_border() -> None:
    near, far = {"psnr": 20.0, "ssim": 0.5}, {"psnr": math.inf, "ssim": 1.0}
    bands = [(BandScore(0, near), BandScore(64, far))] * 2
    scores = [score._replace(bands=of) for score, of in zip(SCORES, bands, strict=False)]
    assert summarise_all(scores, {})["released"]["ours"]["distances"] == [
        {"px": "0-8", "psnr": 20.0, "ssim": 0.5},
        {"px": "64+", "psnr": None, "ssim": 1.0},
    ]


def test_a_second_report_replaces_the_first(tmp_path: Path) -> None:
    write_report(tmp_path, SCORES, OPTIONS, strengths={})
    write_report(tmp_path, SCORES[:2], OPTIONS, strengths={})
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.md",
        "scores.csv",
        "scores.json",
    ]


def test_a_missing_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write there"):
        write_report(tmp_path / "gone", SCORES, OPTIONS, strengths={})


def test_names_of_sequences_stay_text() -> None:
    assert _escaped("0000 a_b é") == "0000 a_b é"
    assert _escaped("a\n# b `c` <img> [d](e)") == r"a\\n# b \`c\` \<img\> \[d\](e)"
    assert len(_escaped("x" * 10**6)) < 300


def test_report_of_several_methods_says_what_each_is(tmp_path: Path) -> None:
    methods = (
        {"name": "ours", "weights": "w.pth", "inference": "released_stage1"},
        {"name": "theirs", "frames_folder": "out", "pattern": "released"},
    )
    several = EvaluationOptions.model_validate({**OPTIONS.model_dump(), "methods": methods})
    scores = [*SCORES[:4], *two_frames("released", "theirs", "a/0", (30.0, 31.0))]
    write_report(tmp_path, scores, several, strengths={})
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert (
        "* `ours`: method `network`, weights `w.pth`, inference `released_stage1`, "
        "precision `float32`, context `pair`, blending `choose`, self_ensemble `False`" in lines
    )
    assert "* `theirs`: frames_folder `out`, pattern `released`" in lines
    assert "Data `benchmark/test`." in lines
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["methods"]["ours"]["weights"] == "w.pth"
    assert content["methods"]["t2b as it is"] == {"baseline": True}
    assert content["data"] == {
        "dataset_type": "rs_gopro",
        "data_root": "benchmark",
        "split": "test",
    }
