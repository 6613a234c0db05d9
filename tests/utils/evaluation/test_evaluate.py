from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from data.capture import CapturePair
from data.files.images import read_image, to_uint8
from data.rs_gopro import RSGOPRO
from models.clip.correction import ClipPair, correct_clip
from models.ifed import IFED
from models.inference.correction import (
    Corrected,
    Correction,
    correct,
    correct_classically,
    instants_of,
    self_ensemble,
)
from models.parts.settings import frame_instants
from tests.helpers.capture_folders import write_rs_gopro
from tests.helpers.frames import classical_frames
from utils.errors import InputError
from utils.evaluation.evaluate import ClipFrames, evaluate, to_8bit
from utils.evaluation.methods import ClipMethod, choose_methods, load_methods
from utils.evaluation.plan import plan_evaluation
from utils.evaluation.scores import FrameScore
from utils.metrics import band_psnr, psnr, ssim
from utils.options.evaluation import EvaluationOptions
from utils.system.distributed import Processes

ALONE = Processes(torch.device("cpu"))


def options(**changes: Any) -> EvaluationOptions:
    given = {
        "task": "test",
        "path": {"pretrained_netG": "unused"},
        "datasets": {"test": {"data_root": "unused"}},
        "protocols": ("full",),
    }
    return EvaluationOptions.model_validate(given | changes)


def benchmark(root: Path, **layout: Any) -> RSGOPRO:
    write_rs_gopro(root, split="test", **({"size": (12, 14)} | layout))
    return RSGOPRO(root, "test")


def brighter(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
    **_: Any,
) -> Corrected:
    """Frames that differ with the instant and lie between 8-bit levels."""
    frames = torch.stack([(pair[0] + (time + 0.6) / 255).clamp(max=1) for time in times])
    return Corrected(frames)


def run(captures: RSGOPRO, folder: Path, method: Correction = brighter, **changes: Any) -> Any:
    plan = plan_evaluation(captures, options(**changes), folder)
    methods = choose_methods({"ours": method}, with_baselines=plan.baselines)
    return evaluate(captures, methods, plan, ALONE)


def test_scores_are_those_of_the_images_saved(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=3)
    scores = run(captures, tmp_path / "out", baselines=False)
    assert [(item.frame, item.time) for item in scores] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    for item, name in zip(scores, ("000_t0.000", "001_t0.500", "002_t1.000"), strict=True):
        saved = cv2.imread(str(tmp_path / f"out/frames/seq/00000000/frame_{name}.png"))
        truth = cv2.imread(str(tmp_path / f"test/seq/GS/00000000_gs_{name[:3]}.png"))
        assert item.values["psnr"] == pytest.approx(psnr(saved, truth), abs=1e-9)
        assert item.values["ssim"] == pytest.approx(ssim(saved, truth), abs=1e-9)
        # 12x14 pixels: the band along the border is a quarter of 12 wide.
        assert item.values["band_psnr"] == pytest.approx(band_psnr(saved, truth, 3), abs=1e-9)
        assert item.values["inner_psnr"] == pytest.approx(psnr(saved, truth, 3), abs=1e-9)


def test_progress_shows_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captures = benchmark(tmp_path, frames=2)
    run(captures, tmp_path / "out", baselines=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run(captures, tmp_path / "out", baselines=False)
    assert "captures: 100%" in capsys.readouterr().err


def test_ctrl_c_says_what_is_kept(tmp_path: Path) -> None:
    def stop(*_: object, **__: object) -> Corrected:
        raise KeyboardInterrupt

    captures = benchmark(tmp_path / "data")
    with pytest.raises(KeyboardInterrupt, match="^saved frames are kept, scores are not; the same"):
        run(captures, tmp_path / "out", stop)
    with pytest.raises(KeyboardInterrupt, match="^nothing is kept; the same command begins again"):
        run(captures, tmp_path / "out", stop, save_images=False)


def test_protocols_floor_or_round_and_keep_both_kinds_of_frames(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2, pairs=3)
    run(captures, tmp_path / "out", protocols=("full", "ifed"))
    frame = brighter(captures[0].pair, [0.0]).frames[0].numpy().transpose(1, 2, 0) * 255
    name = "seq/00000000/frame_000_t0.000.png"
    for folder, rounding in (("frames", np.round), ("frames_floored", np.floor)):
        saved = to_uint8(read_image(tmp_path / "out" / folder / name))
        np.testing.assert_array_equal(saved, rounding(frame))


def test_flooring_keeps_8_bit_images_as_they_are() -> None:
    levels = torch.arange(256).float().div(255).expand(3, 1, 256)
    for rounding in ("rounded", "floored"):
        assert to_8bit(levels, rounding)[0, :, 0].tolist() == list(range(256))
    assert to_8bit(levels + 0.9 / 255, "floored")[0, :255, 0].tolist() == list(range(255))


def test_ifed_leaves_out_the_first_and_last_pair_of_each_sequence(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, sequences=("a", "b"), pairs=4, frames=2)
    scores = run(captures, tmp_path / "out", protocols=("full", "ifed"), baselines=False)
    of_ifed = [item.pair for item in scores if item.protocol == "ifed" and item.frame == 0]
    assert of_ifed == ["a/00000001", "a/00000002", "b/00000001", "b/00000002"]
    assert len({item.pair for item in scores if item.protocol == "full"}) == 8


def test_a_protocol_that_leaves_out_everything_is_refused(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, pairs=2)
    with pytest.raises(InputError, match="protocol 'ifed' leaves out the first and last pair"):
        plan_evaluation(captures, options(protocols=("ifed",)), tmp_path)


def test_baselines_are_the_classical_correction_the_inputs_and_their_mean(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2)
    scores = {item.method: item for item in run(captures, tmp_path / "out") if item.frame == 0}
    names = ["classical", "t2b as it is", "b2t as it is", "mean of both"]
    assert list(scores) == ["ours", *names]
    capture = captures[0]
    assert capture.truth is not None
    truth = to_uint8(capture.truth[0])
    for name, image in (
        ("classical", classical_frames(capture.pair, [0.0])[0]),
        ("t2b as it is", capture.t2b),
        ("b2t as it is", capture.b2t),
        ("mean of both", (capture.t2b + capture.b2t) / 2),
    ):
        assert scores[name].values["psnr"] == psnr(to_uint8(image), truth)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2  # those of "ours" alone


def test_the_classical_method_appears_once_and_its_frames_are_saved(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2)
    plan = plan_evaluation(captures, options(method="classical"), tmp_path / "out")
    methods = choose_methods(load_methods(options(method="classical"), torch.device("cpu")))
    assert list(methods) == ["classical", "t2b as it is", "b2t as it is", "mean of both"]
    evaluate(captures, methods, plan, ALONE)
    saved = to_uint8(read_image(tmp_path / "out/frames/seq/00000000/frame_000_t0.000.png"))
    expected = to_uint8(classical_frames(captures[0].pair, [0.0])[0])
    np.testing.assert_array_equal(saved, expected)


def test_a_cropped_border_is_out_of_the_band_along_it(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2, size=(56, 60))
    scores = run(captures, tmp_path / "out", protocols=("released",), baselines=False)
    saved = to_uint8(read_image(tmp_path / "out/frames/seq/00000000/frame_001_t1.000.png"))
    truth = to_uint8(read_image(tmp_path / "test/seq/GS/00000000_gs_001.png"))
    inner = np.s_[20:-20, 20:-20]
    assert scores[1].values["psnr"] == psnr(saved, truth, 20)
    assert scores[1].values["band_psnr"] == band_psnr(saved[inner], truth[inner], 4)
    assert scores[1].values["inner_psnr"] == psnr(saved, truth, 24)


def test_every_process_takes_its_share_and_gets_all_scores(tmp_path: Path) -> None:
    class OneOfThree(Processes):
        shares: list[list[FrameScore]] = []

        def gather(self, item: Any) -> Any:
            self.shares.append(item)
            return self.shares

    captures = benchmark(tmp_path, sequences=("a", "b"), pairs=2, frames=2)
    expected = run(captures, tmp_path / "whole")
    plan = plan_evaluation(captures, options(), tmp_path / "shared")
    methods = choose_methods({"ours": brighter})
    for rank in (2, 1, 0):
        scores = evaluate(captures, methods, plan, OneOfThree(ALONE.device, rank, 3))
    assert [len({item.pair for item in share}) for share in OneOfThree.shares] == [1, 1, 2]
    assert scores == expected


def test_frames_may_be_thrown_away(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2)
    assert run(captures, tmp_path / "out", save_images=False)
    assert not (tmp_path / "out").exists()


def test_without_truth_frames_are_made_and_nothing_is_scored(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=0)
    assert run(captures, tmp_path / "out", frames=3) == []
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["frame_000_t0.000.png", "frame_001_t0.500.png", "frame_002_t1.000.png"]
    assert len(plan_evaluation(captures, options(), tmp_path).times) == 9
    with pytest.raises(InputError, match="no true frames to score against"):
        plan_evaluation(captures, options(save_images=False), tmp_path)


def test_a_run_with_fewer_frames_leaves_none_of_the_earlier_ones(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=0)
    for frames in (5, 2):
        run(captures, tmp_path / "out", frames=frames)
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["frame_000_t0.000.png", "frame_001_t1.000.png"]


def test_a_number_of_frames_that_does_not_match_is_refused(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=3)
    expected = "seq/00000000: 3 true frames, but the options ask for 9; set frames=3"
    with pytest.raises(InputError, match=expected):
        plan_evaluation(captures, options(frames=9), tmp_path)
    assert plan_evaluation(captures, options(frames=3), tmp_path).times == (0.0, 0.5, 1.0)


def test_too_small_images_are_refused(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=2, size=(30, 40))
    with pytest.raises(InputError, match="40x30 are too small to score with a border of 20"):
        run(captures, tmp_path / "out", protocols=("released",))
    assert not list(tmp_path.glob("out/**/*.png"))


def test_all_methods_are_scored_at_the_instants_that_the_network_makes(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, frames=9, pairs=3)
    network = IFED(3, n_feats=8, width=0.05).eval()
    method = partial(correct, network)
    plan = plan_evaluation(
        captures, options(protocols=("full", "ifed")), tmp_path, instants_of(self_ensemble(method))
    )
    assert (plan.times, plan.truth_frames) == ((0.0, 0.5, 1.0), (0, 4, 8))
    assert plan.remark.startswith("Scored at t = 0, 0.5, 1 only, ")
    scores = evaluate(captures, choose_methods({"ours": method}), plan, ALONE)
    found = {(item.method, item.frame, item.time) for item in scores}
    assert len(found) == 3 * 5
    assert {place[1:] for place in found} == {(0, 0.0), (4, 0.5), (8, 1.0)}
    assert {item.pair for item in scores if item.protocol == "ifed"} == {"seq/00000001"}
    saved = cv2.imread(str(tmp_path / "frames_floored/seq/00000001/frame_001_t0.500.png"))
    truth = cv2.imread(str(tmp_path / "test/seq/GS/00000001_gs_004.png"))
    middle = next(
        item for item in scores if (item.protocol, item.method, item.frame) == ("ifed", "ours", 4)
    )
    assert middle.values["psnr"] == pytest.approx(psnr(saved, truth), abs=1e-9)


def test_a_network_of_fixed_instants_decides_the_number_of_frames(tmp_path: Path) -> None:
    captures = benchmark(tmp_path / "unknown", frames=0)
    five = (0.0, 0.25, 0.5, 0.75, 1.0)
    assert plan_evaluation(captures, options(), tmp_path, five).times == five
    with pytest.raises(InputError, match="its network makes 5 frames, .* options ask for 9;"):
        plan_evaluation(captures, options(frames=9), tmp_path, five)
    two = benchmark(tmp_path / "two", frames=2)
    with pytest.raises(InputError, match="2 true frames, none of them at t = 0.5, which is all"):
        plan_evaluation(two, options(), tmp_path, (0.5,))
    nine = benchmark(tmp_path / "nine", frames=9)
    plan = plan_evaluation(nine, options(), tmp_path, frame_instants(9))
    assert (plan.truth_frames, plan.remark) == (None, "")


class CountingReads(RSGOPRO):
    """Notes which captures are read."""

    def load(self, index: int, frames: Sequence[int] = ()) -> CapturePair:
        """See `RSGOPRO.load`."""
        self.read = [*getattr(self, "read", []), index]
        return super().load(index, frames)


def test_with_neighbours_each_capture_is_read_once(tmp_path: Path) -> None:
    benchmark(tmp_path, pairs=4, size=(24, 28))
    captures = CountingReads(tmp_path, "test")
    plan = plan_evaluation(captures, options(), tmp_path / "out")
    captures.read = []
    method = ClipMethod(brighter, follows_motion=False)
    scores = evaluate(captures, {"one": method, "two": method}, plan, ALONE)
    assert captures.read == [0, 1, 2, 3]
    assert len(scores) == 2 * 4 * 3


def test_the_motion_estimate_reaches_clips(tmp_path: Path) -> None:
    captures = benchmark(tmp_path, pairs=2, size=(24, 28))
    given = options(method="classical", context="clip", motion_estimate="torch")
    [method] = load_methods(given, torch.device("cpu")).values()
    assert isinstance(method, ClipMethod)
    plan = plan_evaluation(captures, given, tmp_path / "out")
    made = ClipFrames(method, captures, plan, captures.load).of(0)
    pairs = [ClipPair(captures.load(index, ()).pair, plan.times) for index in (0, 1)]
    scan = captures.load(0, ()).scan_time
    by_torch, by_opencv = (
        next(correct_clip(correct_classically, pairs, scan, motion_estimate=estimate))
        for estimate in ("torch", "opencv")
    )
    assert torch.equal(made, by_torch) and not torch.equal(made, by_opencv)
