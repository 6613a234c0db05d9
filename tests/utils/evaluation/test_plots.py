import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from utils.errors import InputError
from utils.evaluation.plots import plot_scores
from utils.evaluation.scores import BandScore, FrameScore


def score(method: str, pair: str, frame: int, psnr: float) -> FrameScore:
    near, far = {"psnr": psnr - 6, "ssim": 0.5}, {"psnr": psnr, "ssim": 0.75}
    bands = BandScore(0, near), BandScore(8, far)
    values = {"psnr": psnr, "ssim": psnr / 100, "band_psnr": psnr - 5, "inner_psnr": psnr + 1}
    return FrameScore("full", method, pair, frame, frame / 2, values, bands)


SCORES = [
    score(method, pair, frame, psnr + frame)
    for method, psnr in (("ours", 30.0), ("mean of both", 20.0))
    for pair in ("a/0", "b/0")
    for frame in range(3)
]


def drawn_lines(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """The values of all lines, in the order drawn."""
    lines: list[list[float]] = []
    draw = Axes.plot

    def record(self: Axes, x: Any, values: Any, *style: Any, **details: Any) -> Any:
        lines.append(list(values))
        return draw(self, x, values, *style, **details)

    monkeypatch.setattr(Axes, "plot", record)
    return lines


def test_each_protocol_is_plotted_by_instant_sequence_and_distance(tmp_path: Path) -> None:
    files = plot_scores(tmp_path, [*SCORES, SCORES[0]._replace(protocol="released")])
    kinds = ("instants", "sequences", "distances")
    names = [f"plots/{name}_{kind}.png" for name in ("full", "released") for kind in kinds]
    assert list(files.values()) == names
    assert list(files)[:3] == [
        "Protocol `full` by instant t",
        "Protocol `full` by sequence",
        "Protocol `full` by distance from the border of the image",
    ]
    for file in files.values():
        picture = cv2.imread(str(tmp_path / file))
        assert picture.shape == (600, 900, 3) and len(np.unique(picture)) > 2
    assert {path.name for path in tmp_path.iterdir()} == {"plots"}


def test_lines_show_the_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn_lines(monkeypatch)
    plot_scores(tmp_path, SCORES)
    ours, mean = slice(0, None, 2), slice(1, None, 2)  # PSNR, then SSIM
    instants, sequences, distances = lines[:4], lines[4:8], lines[8:]
    assert instants[ours] == [[30, 31, 32], pytest.approx([0.30, 0.31, 0.32])]
    assert instants[mean][0] == [20, 21, 22]
    assert sequences[ours] == [[31, 31], pytest.approx([0.31, 0.31])]
    assert distances[ours] == [[25, 31], [0.5, 0.75]]


def test_no_line_hides_another_of_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[list[float]] = []
    looks: list[tuple[str, str, str]] = []
    draw = Axes.plot

    def record(self: Axes, x: Any, values: Any, **details: Any) -> Any:
        places.append(list(x))
        looks.append((details["color"], details["marker"], details["linestyle"]))
        return draw(self, x, values, **details)

    monkeypatch.setattr(Axes, "plot", record)
    labels = [f"method {number}" for number in range(12)]
    plot_scores(tmp_path, [score(label, "a/0", frame, 30) for label in labels for frame in (0, 1)])
    of_psnr = slice(0, 12)  # of the plot by instant
    assert len({x for line in places[of_psnr] for x in line}) == 24
    assert all(abs(line[0]) < 0.5 and abs(line[1] - 1) < 0.5 for line in places[of_psnr])
    assert len(set(looks[of_psnr])) == 12


def test_identical_frames_are_gaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perfect = [
        SCORES[0],
        SCORES[1]._replace(values={**SCORES[1].values, "psnr": math.inf}),
        SCORES[2],
    ]
    lines = drawn_lines(monkeypatch)
    plot_scores(tmp_path, perfect)
    assert lines[0][0] == 30 and math.isnan(lines[0][1]) and lines[0][2] == 32


def test_many_sequences_make_a_wider_plot(tmp_path: Path) -> None:
    scores = [SCORES[0]._replace(pair=f"{number:04d}/0") for number in range(60)]
    files = plot_scores(tmp_path, scores)
    assert cv2.imread(str(tmp_path / files["Protocol `full` by sequence"])).shape[1] > 1200


def test_a_full_disk_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(InputError, match="cannot write there: No space left on device"):
        plot_scores(tmp_path, SCORES)
