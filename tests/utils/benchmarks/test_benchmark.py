import pytest
import torch
import torch.nn.functional as F

from models.networks import network_class
from models.parts.network import CorrectionNetwork
from utils.benchmarks import methods
from utils.benchmarks.measuring import Row, count_operations, least_times
from utils.benchmarks.report import LOOP, MEMORY, SCALING, format_report


def test_least_times_takes_turns() -> None:
    order: list[str] = []
    times = least_times([lambda: order.append("a"), lambda: order.append("b")], 2)
    assert order == ["a", "b", "a", "b"]
    assert len(times) == 2 and all(0 <= seconds < 1 for seconds in times)


def test_operations_of_convolutions_are_counted_forth_and_back() -> None:
    image, weight = torch.rand(2, 3, 10, 12), torch.rand(8, 3, 3, 3, requires_grad=True)
    forth = 2 * 2 * 8 * 10 * 12 * 3 * 9
    assert count_operations(lambda: F.conv2d(image, weight, padding=1)) == forth
    both = count_operations(lambda: F.conv2d(image, weight, padding=1).sum().backward())
    assert both == 2 * forth  # the image wants no gradient


def test_the_report_says_what_was_measured_and_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick"])
    text = format_report({"Correction": [Row("nine frames", "0.60", "<= 0.65")]})
    assert "`python -m utils.benchmarks --quick` (`make bench`)" in text
    assert "## Correction\n\n| what | measured | bar |\n" in text
    assert "| nine frames | 0.60 | <= 0.65 |\n" in text


def test_the_tables_say_what_they_compare() -> None:
    text = format_report(
        {
            LOOP: [Row("nine frames", "0.50", "<= 0.60")],
            SCALING: [Row("batch", "1: 0.10; 2: 0.20")],
            MEMORY: [Row("nine frames", "1.00 GB", "2.00 GB")],
        }
    )
    loop, scaling, memory = text.split("\n## ")[1:]
    assert "`models/reference/`" in loop and "released files themselves were not run" in loop
    assert (
        "| what | ours / released | bar |\n|---|---|---|\n| nine frames | 0.50 | <= 0.60 |" in loop
    )
    assert scaling.endswith("| what | seconds |\n|---|---|\n| batch | 1: 0.10; 2: 0.20 |\n")
    assert memory.endswith("| nine frames | 1.00 GB | 2.00 GB |\n")
    assert "GFLOP/s in matrix products" in text


def test_every_method_is_measured_against_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(method: str) -> CorrectionNetwork:
        frames = 9 if method == "ifed" else 3
        return network_class("refiner" if method == "bundled" else method)(frames, 8, 0.1).eval()

    monkeypatch.setattr(methods, "build", build)
    monkeypatch.setattr(methods, "_SIZE", (96, 128))
    rows = {row.what.rpartition(" ")[2]: row.measured for row in methods.measure(quick=True)}
    assert list(rows) == ["generator", "bundled", "selfdrsc_plusplus", "ifed", "classical"]
    assert rows["generator"].endswith("1.00 of generator's")
    count = sum(weight.numel() for weight in build("ifed").parameters())
    assert rows["ifed"].startswith(f"{count:,} parameters, ")
    assert rows["classical"].startswith("no parameters, ")
