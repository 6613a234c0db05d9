from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from models.networks import network_class
from models.parts.network import CorrectionNetwork
from utils.benchmarks import methods, training
from utils.benchmarks.measuring import GpuCost, Row, count_operations, least_times
from utils.benchmarks.report import LOOP, MEMORY, SCALING, format_report
from utils.system.distributed import Processes


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


def test_a_refiner_learns_with_cues_found_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    small = (
        *("datasets.train.patch_size=32", "netG.width=0.1", "netG.n_feats=8"),
        *("datasets.train.scene.height=64", "datasets.train.scene.width=96"),
    )
    taken = []

    def measure_once(work: Callable[[], None], **_: bool) -> GpuCost:
        step = work.__self__  # type: ignore[attr-defined]
        before = [weight.clone() for weight in step.network.parameters()]
        work()
        changed = any(
            not torch.equal(old, new)
            for old, new in zip(before, step.network.parameters(), strict=True)
        )
        taken.append((len(step.batch.pair), step.batch.cues is None, changed))
        return GpuCost(10.0, 1.5)

    monkeypatch.setattr(training.measuring, "measure_gpu", measure_once)
    found, given = training.measure_refiner(Processes(torch.device("cpu")), 2, changes=small)
    assert found.what == "refiner training step, 640x384, cues on the device"
    assert found.bar == ">= 100 samples/s" and given.what == "... with cues given"
    assert found.measured == given.measured == "200 samples/s, batch 2: 10.0 ms, 1.50 GB"
    assert taken == [(2, True, True), (2, False, True)]


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
