from pathlib import Path

import cv2
import pytest

from data import check
from tests.helpers.capture_folders import write_rs_gopro
from utils.errors import InputError


def run(monkeypatch: pytest.MonkeyPatch, root: Path, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["check", str(root), *words])
    check.main()


def test_a_good_set_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(tmp_path, split="train", sequences=("a", "b"), pairs=2, frames=3)
    write_rs_gopro(tmp_path, split="test", pairs=1, frames=0)
    run(monkeypatch, tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'train'}: 2 sequences, 4 pairs, 12 true frames (3 a pair)",
        f"{tmp_path / 'test'}: 1 sequences, 1 pairs, no true frames",
    ]


def test_every_kind_of_problem_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(tmp_path, split="test", pairs=5, frames=3, size=(8, 10))
    folder = tmp_path / "test" / "seq"
    (folder / "RS" / "00000000_rs_b2t.png").unlink()
    for view in ("t2b", "b2t"):
        (folder / "RS" / f"00000002_rs_{view}.png").unlink()
    (folder / "GS" / "00000001_gs_001.png").unlink()
    (folder / "RS" / "00000003_rs_t2b.png").write_bytes(b"no image")
    image = cv2.imread(str(folder / "RS" / "00000004_rs_t2b.png"))
    cv2.imwrite(str(folder / "RS" / "00000004_rs_t2b.png"), image[:6])
    with pytest.raises(InputError, match="7 problems, see above"):
        run(monkeypatch, tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path / 'test'}: 1 sequences, 4 pairs, 14 true frames",
        f"  {folder}/RS: capture 00000002 is missing: pairs do not follow each other",
        f"  {folder}/RS/00000000_rs_b2t.png is missing",
        f"  {folder}/GS/00000001_gs_001.png is missing",
        f"  {folder}/GS: true frames of capture 00000002, which is not in RS",
        f"  {folder}/RS/00000003_rs_t2b.png: damaged, truncated or not an image; copy it again",
        f"  {folder}/RS/00000004_rs_t2b.png: expected 10x8 pixels, got 10x6",
        f"  {tmp_path / 'test'}: pairs have 2 to 3 true frames",
    ]
    with pytest.raises(InputError, match="5 problems"):
        run(monkeypatch, tmp_path, "--quick")


def test_a_sequence_without_true_frames_beside_others_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rs_gopro(tmp_path, split="test", sequences=("a",), pairs=2, frames=3)
    write_rs_gopro(tmp_path, split="test", sequences=("b",), pairs=2, frames=0)
    with pytest.raises(InputError, match="1 problems"):
        run(monkeypatch, tmp_path)
    said = capsys.readouterr().out
    folder = tmp_path / "test" / "b" / "GS"
    assert f"  {folder}: no true frames, other sequences have them\n" in said


def test_another_folder_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected a folder train, valid, test, found none"):
        run(monkeypatch, tmp_path)
    (tmp_path / "valid").mkdir()
    with pytest.raises(InputError, match="1 problems"):
        run(monkeypatch, tmp_path)
