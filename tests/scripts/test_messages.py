"""`--quiet` and `--json` of the scripts, as people and programs call them."""

import json
from pathlib import Path

import pytest

import main_train_stage1
from tests.helpers.capture_folders import write_rs_gopro
from tests.helpers.clips import write_clip_video
from tests.helpers.script_runs import Scripts
from tests.helpers.tiny_training import tiny_options, undrawn_curves
from utils.errors import InputError


def test_a_program_reads_what_a_correction_made(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    views = scripts.pair("scene/0", size=(48, 64))
    folder = scripts.real("--json", "--frames", "2", changes=("check=true",)) / "scene/0"
    said = capsys.readouterr()
    made = json.loads(said.out)
    [result] = made["results"]
    assert result["folder"] == str(folder) and result["inputs"] == [*views]
    assert all((folder / name).is_file() for name in result["files"])
    assert len(result["files"]) == 4 and result["frames"] == 2
    assert 0 < result["seconds"] <= made["seconds"]
    [warning] = result["warnings"]
    assert warning["text"].startswith("nothing moves") and warning["cure"] is None
    assert "scene/0: capture check" in said.err and made["text"][-1].startswith("scene/0: 2 frames")


def test_a_program_reads_what_a_clip_became(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    views = [write_clip_video(scripts.folder / f"{name}.mp4", 3, name=name) for name in "ab"]
    folder = scripts.real("--t2b", str(views[0]), "--b2t", str(views[1]), "--json") / "a"
    [result] = json.loads(capsys.readouterr().out)["results"]
    assert result.pop("seconds") > 0
    few = "too few to tell whether a frame is missing"
    assert result.pop("unsure_pairs") == [{"first": 0, "last": 2, "reason": few}]
    assert result == {
        **{"name": "a", "inputs": [*map(str, views)], "warnings": []},
        **{"folder": str(folder), "files": ["video.mp4"], "frames": 3, "fps": 30.0},
    }


def test_a_check_alone_is_read_likewise(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.pair("0", size=(48, 64))
    with pytest.raises(SystemExit):
        scripts.real("--json", "--check")
    made = json.loads(capsys.readouterr().out)
    assert made["status"] == 3 and made["results"][0]["warnings"]
    assert "files" not in made["results"][0]


def test_failed_captures_are_named_beside_the_others(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        scripts.pair(name)
    (scripts.captures / "a_b2t.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="1 of 2 captures failed"):
        scripts.real("--json", "--frames", "1")
    made = json.loads(capsys.readouterr().out)
    assert [result["name"] for result in made["results"]] == ["b"]
    assert "a_b2t.png" in made["errors"][0] and "1 of 2 captures failed" in made["errors"][1]


def test_quiet_says_warnings_and_the_last_line(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.pair("0", size=(48, 64))
    folder = scripts.real("--quiet", "--frames", "2", changes=("check=true",)) / "0"
    said = capsys.readouterr()
    assert said.out == f"0: 2 frames in {folder}, video in {folder / 'video.mp4'}\n"
    [warning] = said.err.splitlines()
    assert warning.startswith("warning: 0: nothing moves: ")


def test_scores_are_read_by_a_program(scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
    write_rs_gopro(scripts.benchmark, split="test", frames=9, size=(64, 72))
    folder = scripts.test(arguments=("--json",))
    made = json.loads(capsys.readouterr().out)
    [result] = made["results"]
    scores = json.loads((folder / "scores.json").read_text())
    assert result["report"] == str(folder / "report.md") and result["captures"] == 1
    for protocol, methods in scores["protocols"].items():
        for label, about in methods.items():
            assert result["means"][protocol][label] == about["overall"]


@pytest.mark.parametrize("word", ["--quiet", "--json"])
def test_a_training_says_where_its_weights_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    word: str,
) -> None:
    options = tiny_options(tmp_path / "experiments", iterations=1, checkpoint_print=1)
    file, folder = tmp_path / "options.json", tmp_path / "experiments" / options.task
    file.write_text(options.model_dump_json(exclude_unset=True))
    monkeypatch.setattr("sys.argv", ["main_train_stage1.py", "--opt", str(file), word])
    with undrawn_curves():
        main_train_stage1.main()
    said = capsys.readouterr()
    end = f"finished: weights and curves are in {folder}"
    if word == "--quiet":
        assert said == (f"{end}\n", "")
    else:
        [result] = json.loads(said.out)["results"]
        assert result["folder"] == str(folder) and result["steps"] == 1
        assert result["last"]["step"] == 1 and "total" in result["last"], result
        assert end in said.err
    log = (folder / "train.log").read_text()
    assert "step 1" in log and end in log
