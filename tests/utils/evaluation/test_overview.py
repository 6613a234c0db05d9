import csv
import json
import math
from pathlib import Path

from utils.evaluation.overview import SetScores, format_overview, write_overview
from utils.evaluation.report import summarise_all
from utils.evaluation.scores import FrameScore
from utils.options.evaluation import EvaluationOptions

OPTIONS = EvaluationOptions.model_validate(
    {
        "task": "test",
        "path": {},
        "methods": ({"name": "ours", "method": "classical"},),
        "datasets": {
            "test": (
                {"name": "A", "data_root": "a"},
                {"name": "B", "data_root": "b", "split": "valid"},
                {"name": "C", "data_root": "c"},
            )
        },
    }
)


def scores(pair: str, *psnr: float) -> list[FrameScore]:
    return [
        FrameScore("full", "ours", pair, frame, float(frame), values)
        for frame, value in enumerate(psnr)
        for values in [
            {"psnr": value, "ssim": 0.5, "band_psnr": value - 5, "inner_psnr": value + 1}
        ]
    ]


SETS = {
    name: SetScores(data, found, {})
    for (name, data), found in zip(
        OPTIONS.datasets.sets.items(),
        ([*scores("s/0", 30.0, 32.0), *scores("s/1", 20.0, math.inf)], scores("s/0", 35.0), []),
        strict=True,
    )
}


def test_sets_count_alike_in_their_mean() -> None:
    lines = format_overview(SETS).splitlines()
    assert "## Test sets, protocol `full`" in lines
    assert "| A            | 25.50 / 0.5000 |" in lines
    assert "| B            | 35.00 / 0.5000 |" in lines
    assert "| mean of sets | 30.25 / 0.5000 |" in lines
    assert not any(line.startswith("| C") for line in lines)


def test_measures_without_truth_have_a_table_of_their_own() -> None:
    sharp = {
        name: found._replace(
            scores=[
                each._replace(values={**each.values, "sharpness": value}) for each in found.scores
            ]
        )
        for (name, found), value in zip(SETS.items(), (0.5, math.nan, 1.0), strict=True)
    }
    text = format_overview(sharp)
    assert "| B            | 35.00 / 0.5000 |" in text
    lines = text.partition("Without truth, sharpness:")[2].splitlines()
    assert "| A            | 0.500 |" in lines
    assert "| B            | –     |" in lines
    assert "| mean of sets | 0.500 |" in lines


def test_files_name_the_sets(tmp_path: Path) -> None:
    write_overview(tmp_path, SETS, OPTIONS, folders={"A": "sets/A", "B": "sets/B b", "C": "sets/C"})
    content = json.loads((tmp_path / "scores.json").read_text())
    assert list(content) == ["options", "methods", "sets"]
    assert content["methods"] == {
        "ours": {
            "method": "classical",
            "context": "pair",
            "blending": "choose",
            "self_ensemble": False,
        }
    }
    assert list(content["sets"]) == ["A", "B"]
    assert content["sets"]["B"] == {
        "data": {"dataset_type": "rs_gopro", "data_root": "b", "split": "valid"},
        "protocols": summarise_all(SETS["B"].scores, {}),
    }
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows] == ["A"] * 4 + ["B"]
    assert rows[0]["psnr"] == "30.000000" and list(rows[0])[:3] == ["set", "protocol", "method"]
    text = (tmp_path / "report.md").read_text()
    assert "* [`B`](sets/B%20b/report.md): `b/valid`" in text and "`C`" not in text


def test_without_scores_nothing_is_written(tmp_path: Path) -> None:
    write_overview(tmp_path, {"C": SETS["C"]}, OPTIONS, folders={"C": "sets/C"})
    assert not list(tmp_path.iterdir())
