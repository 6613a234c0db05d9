"""Scores of flow, by hand, and the table that compares them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.training.flow_pairs import FlowSample
from tests.data.training.test_middlebury import write_scene
from utils.tools import compare_flows
from utils.training.flow_scores import FlowScore, mean_scores, score_flow, score_pair

CPU = torch.device("cpu")


class Constant(torch.nn.Module):
    """Answers (3, 4) everywhere."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1).expand(-1, -1, *first.shape[-2:])


def test_errors_of_all_and_of_visible_pixels() -> None:
    truth = torch.zeros(2, 1, 4)
    truth[0] = torch.tensor([6.0, 0.0, 3.0, float("nan")])
    truth[1] = torch.tensor([8.0, 0.0, 4.0, 0.0])
    visible = torch.tensor([[[0.0, 1.0, 1.0, 1.0]]])
    image = torch.zeros(3, 1, 4)
    score = score_pair(Constant(), FlowSample(image, image, truth, visible), CPU)
    assert score == pytest.approx(FlowScore(error=10 / 3, visible_error=2.5, motion=5))


def test_means_leave_out_pairs_without_a_value() -> None:
    truth = torch.zeros(2, 1, 1)
    hidden = score_flow(truth + 1, truth, torch.zeros(1, 1, 1))
    assert np.isnan(hidden.visible_error)
    mean = mean_scores([hidden, FlowScore(0.0, 2.0, 4.0)])
    assert mean == pytest.approx((2**0.5 / 2, 2, 2))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["compare_flows", "--device", "cpu", *arguments])
    compare_flows.main()


def test_table_on_a_folder(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    write_scene(tmp_path, "a", np.full((2, 3, 2), (0.6, 0.8)))
    run(monkeypatch, "--folder", str(tmp_path), "--flows", "dis", "none.pth")
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["flow", "error, px", "error where visible, px", "s per pair"]
    assert cells[2][:3] == ["no motion", "1.00", "–"]
    assert cells[3][0] == "dis"
    assert cells[4] == ["none.pth", "not measured", "", ""]
    assert "none.pth: none.pth: expected a weight file, got no such file." in lines


def test_table_on_simulated_scenes(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    run(monkeypatch, "--flows", "dis", "--count", "1", "--size", "64", "96")
    lines = capsys.readouterr().out.splitlines()
    still, dis = (line.split("|") for line in lines[2:4])
    assert 0 <= float(dis[2]) < float(still[2])
    assert "1 pairs; the error of no motion is its mean length." in lines


@pytest.mark.parametrize("arguments", [("--count", "0"), ("--size", "64", "x")])
def test_sizes_and_counts_are_positive(monkeypatch, capsys, arguments) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, *arguments)
    assert "expected at least 1, got" in capsys.readouterr().err
