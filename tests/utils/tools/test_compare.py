import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.errors import InputError
from utils.tools import compare
from utils.tools.compare import sign_flip_p


def write_run(
    folder: Path,
    name: str,
    by_sequence: dict[str, tuple[float, float]],
    *,
    data: str = "scenes",
    protocols: tuple[str, ...] = ("full",),
    frames: int = 3,
) -> str:
    """A run whose sequences have these PSNRs and double edges, and as many pairs."""
    sequences: dict[str, Any] = {
        sequence: {"psnr": psnr, "double_edges": double, "band_psnr": 1.0, "pairs": 1}
        for sequence, (psnr, double) in by_sequence.items()
    }
    psnr, double = np.mean(list(by_sequence.values()), axis=0)
    overall = {"psnr": psnr, "double_edges": double, "band_psnr": 1.0, "pairs": len(sequences)}
    scores = {
        "overall": overall,
        "frames": [{"time": index / (frames - 1)} for index in range(frames)],
        "sequences": sequences,
    }
    test = {"data_root": data, "split": "test"}
    content = {
        "options": {"datasets": {"test": test}},
        "protocols": {protocol: {"net": scores} for protocol in protocols},
    }
    (folder / name).mkdir(parents=True)
    (folder / name / "scores.json").write_text(json.dumps(content))
    return str(folder / name)


def tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["compare", *words])
    compare.main()
    return capsys.readouterr().out.splitlines()


A, B = {"s": (30.0, 0.4), "t": (32.0, 0.2)}, {"s": (31.0, 0.1), "t": (34.0, 0.3)}
C = {"s": (33.0, 0.2), "t": (36.0, 0.2)}


def test_seeds_become_a_mean_and_a_deviation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c = (write_run(tmp_path, name, run) for name, run in (("a", A), ("b", B), ("c", C)))
    lines = tables(monkeypatch, capsys, f"old={a}", f"new={b}", f"new={c}")
    assert lines[0] == "Protocol full"
    # new: (32.5 + 34.5) / 2 with the deviation sqrt(2); double edges (0.2 + 0.2) / 2.
    assert "| method | runs | PSNR, dB         | double edges      |" in lines
    assert "| old    | 1    | 31.00            | 0.300             |" in lines
    assert "| new    | 2    | **33.50 ± 1.41** | **0.200 ± 0.000** |" in lines
    # s: 32 - 30 and 0.15 - 0.4; t: 35 - 32 and 0.25 - 0.2. Of four sign
    # changes two and all are as far from zero.
    assert lines[-1] == (
        "| new                 | +2.50, better in 2 of 2, p = 0.5 "
        "| -0.100, better in 1 of 2, p = 1 |"
    )


def join_sets(folder: Path, name: str, sets: dict[str, str]) -> str:
    """A run of several test sets, from runs of one each."""
    found = {key: json.loads((Path(run) / "scores.json").read_text()) for key, run in sets.items()}
    (folder / name).mkdir()
    content = {
        "options": {},
        "sets": {
            key: {
                "data": each["options"]["datasets"]["test"],
                "protocols": each["protocols"],
            }
            for key, each in found.items()
        },
    }
    (folder / name / "scores.json").write_text(json.dumps(content))
    return str(folder / name)


def test_each_test_set_has_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_run(tmp_path, "a", A), write_run(tmp_path, "b", B)
    d = write_run(tmp_path, "d", C, data="others")
    old = join_sets(tmp_path, "old", {"one": a, "two": d})
    new = join_sets(tmp_path, "new", {"two": d, "one": b})
    lines = tables(monkeypatch, capsys, f"old={old}", f"new={new}", "--metrics", "psnr")
    second = lines.index("Protocol full, test set two")
    assert lines[0] == "Protocol full, test set one"
    assert "| old    | 1    | 31.00     |" in lines[:second]
    assert "| new    | 1    | **32.50** |" in lines[:second]
    assert "| new    | 1    | **34.50** |" in lines[second:]
    assert "| new                 | +0.00, better in 0 of 2, p = 1 |" in lines[second:]
    latex = tables(monkeypatch, capsys, old, new, "--latex")
    assert latex[0] == "% full, test set one"
    for other, expected in ((a, "a single one, not one, two"), (b, "compare folders of single")):
        with pytest.raises(InputError, match=f"other test sets than .*{expected}"):
            tables(monkeypatch, capsys, old, other)


def test_latex_is_a_tabular_with_escaped_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_run(tmp_path, "a", A), write_run(tmp_path, "b", B)
    words = [f"old_one={a}", f"old_one={b}", "--latex", "--metrics", "psnr"]
    lines = tables(monkeypatch, capsys, *words)
    assert lines == [
        "% full",
        "",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"method & runs & PSNR, dB \\",
        r"\midrule",
        r"old\_one & 2 & 31.75 $\pm$ 1.06 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_p_counts_the_sign_changes_as_far_from_zero() -> None:
    # Of 8 sign changes of (1, 2, 3), the sums 6 and -6 are as far as 6; of (1, 2, -3), all.
    assert sign_flip_p(np.asarray([1.0, 2, 3])) == pytest.approx(2 / 8)
    assert sign_flip_p(np.asarray([1.0, 2, -3])) == 1
    assert sign_flip_p(np.arange(1.0, 11)) == pytest.approx(2 / 1024)
    assert sign_flip_p(np.asarray([5.0])) == 1
    assert sign_flip_p(np.zeros(3)) == 1
    many = np.random.default_rng(1).normal(0.2, 1, 24)
    # The t-test of these differences gives 0.022.
    assert sign_flip_p(many) == sign_flip_p(many) == pytest.approx(0.022, abs=0.005)


def test_a_psnr_without_an_error_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_run(tmp_path, "a", A), write_run(tmp_path, "b", B)
    path = Path(b) / "scores.json"
    content = json.loads(path.read_text())
    content["protocols"]["full"]["net"]["sequences"]["s"]["psnr"] = None
    path.write_text(json.dumps(content))
    lines = tables(monkeypatch, capsys, a, b, "--metrics", "psnr")
    assert "+2.00, better in 1 of 1, p = 1" in lines[-1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"data": "other"}, "other data than .*: other/test, not scenes/test", id="data"
        ),
        pytest.param({"frames": 5}, "other instants than", id="instants"),
        pytest.param({"protocols": ("released",)}, "no protocol is common to all", id="protocol"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    expected: str,
) -> None:
    a, b = write_run(tmp_path, "a", A), write_run(tmp_path, "b", B, **changes)
    with pytest.raises(InputError, match=expected):
        tables(monkeypatch, capsys, a, b)
    if "data" in changes:
        assert tables(monkeypatch, capsys, a, b, "--same-data")


def test_other_bad_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, more = write_run(tmp_path, "a", A), write_run(tmp_path, "more", A | {"u": (30.0, 0.1)})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "scores.json").write_text("{}")
    for words, expected in (
        ((a, more), "other pairs than .*: 3, not 2"),
        ((str(tmp_path / "none"),), "none/scores.json: cannot be read: No such file"),
        ((str(tmp_path / "broken"),), "broken/scores.json: not the scores of main_test.py"),
        ((a, "--protocol", "ifed"), "no protocol 'ifed'; it has full"),
        ((a, "--method", "other"), "no method 'other'; it has net"),
        ((a, "--metrics", "ssim"), "no metric 'ssim'; it has psnr, double_edges, band_psnr"),
    ):
        with pytest.raises(InputError, match=expected):
            tables(monkeypatch, capsys, *words)
