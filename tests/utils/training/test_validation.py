"""Scores and strips during training."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from data.capture import CapturePair, TrainingSample
from data.time_maps import scan_time
from models.generator import Generator
from models.objectives import CycleObjective, DistillationObjective, SupervisedObjective
from models.parts.network import CorrectionOutput
from models.refiner.network import Refiner
from utils.errors import InputError
from utils.system.distributed import Processes
from utils.training.validation import preview, validate

ALONE = Processes(torch.device("cpu"))


class Grey(Generator):
    """Answers with frames of one grey level."""

    def __init__(self, level: float) -> None:
        super().__init__(3, 8, 0.04)
        self.level = level

    def encode(self, pair: Tensor) -> Tensor:  # type: ignore[override]
        return pair

    def decode(  # type: ignore[override]
        self, pair: Tensor, offsets: Tensor, wanted: list[int] | None = None
    ) -> CorrectionOutput:
        count = 3 if wanted is None else len(wanted)
        frames = torch.full((len(pair), count, *pair.shape[2:]), self.level)
        flow = pair.new_zeros(len(pair), 12, pair.shape[-2] // 2, pair.shape[-1] // 2)
        return CorrectionOutput(frames, (flow, flow, flow, flow))


class Still(nn.Module):
    """Flow of a scene at rest."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first.new_zeros(len(first), 2, *first.shape[-2:])


def capture(level: float, truth: float | None, size: tuple[int, int] = (40, 72)) -> CapturePair:
    image = torch.full((3, *size), level)
    times = torch.tensor([0.0, 0.5, 1.0])
    frames = None if truth is None else torch.full((3, 3, *size), truth)
    return CapturePair(
        image, image, scan_time(size[0]), "a/0", frames, None if truth is None else times
    )


def cycle() -> CycleObjective:
    return CycleObjective({"Charbonnier": 1.0, "Variation": 0.1}, flow=Still())


def test_psnr_of_known_errors() -> None:
    # Grey levels 128 and 118, and 128 and 108: errors of 10 and 20 of 255.
    captures = [capture(0.5, 118 / 255), capture(0.5, 108 / 255)]
    generator = Grey(128 / 255).train()
    found = validate(generator, SupervisedObjective({"Charbonnier": 1.0}), captures, ALONE)
    expected = [20 * torch.log10(torch.tensor(255.0 / error)).item() for error in (10, 20)]
    # Flat images of mean a and b: SSIM is (2ab + C1) / (a^2 + b^2 + C1).
    c1 = (0.01 * 255) ** 2
    ssim = [(2 * 128 * b + c1) / (128**2 + b**2 + c1) for b in (118, 108)]
    assert found.values == {
        "valid_psnr": pytest.approx(sum(expected) / 2),
        "valid_ssim": pytest.approx(sum(ssim) / 2),
    }
    assert found.score == found.values["valid_psnr"]
    assert generator.training


def test_protocols_of_validation() -> None:
    # The error lies in the outer 20 pixels, which "released" leaves out; "ifed" rounds down.
    truth = torch.full((3, 3, 64, 64), 128 / 255)
    truth[..., :20, :] = 0
    given = replace(capture(0.5, 0.5, (64, 64)), truth=truth)
    objective = SupervisedObjective({"Charbonnier": 1.0})
    found = {
        protocol: validate(Grey(128.9 / 255), objective, [given], ALONE, protocol).values
        for protocol in ("released", "full", "ifed")
    }
    assert found["released"]["valid_psnr"] == pytest.approx(20 * math.log10(255))  # off by 1
    assert found["full"]["valid_psnr"] < 20
    only_edge = 10 * math.log10(255**2 / (128**2 * 20 / 64))
    assert found["ifed"]["valid_psnr"] == pytest.approx(only_edge)


def test_without_truth_the_rebuilt_inputs_and_their_disagreement_score() -> None:
    # All four rebuilt images are off by 0.25, and 0.1 lies between the inputs; 40 x 72 is cut to
    # 32 x 64.
    flat = torch.full((3, 40, 72), 0.5)
    given = CapturePair(flat, flat + 0.1, scan_time(40), "a/0")
    found = validate(Grey(0.25), cycle(), [given], ALONE)
    cycle_psnr = -10 * math.log10((0.25**2 + 0.35**2) / 2)
    assert found.values == {
        "valid_cycle_psnr": pytest.approx(cycle_psnr, abs=1e-3),
        "valid_disagreement": pytest.approx(25.5, abs=1e-3),
    }
    error = ((0.25**2 + 0.35**2) / 2) ** 0.5 + 0.1
    assert found.score == pytest.approx(-20 * math.log10(error), abs=1e-3)


def test_perfect_frames_of_a_still_pair_rebuild_it_without_disagreement() -> None:
    found = validate(Grey(0.5), cycle(), [capture(0.5, None)], ALONE)
    assert found.values == {"valid_cycle_psnr": math.inf, "valid_disagreement": 0}
    assert found.score == math.inf


def test_the_classical_start_rebuilds_a_still_pair() -> None:
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    smooth = torch.nn.functional.avg_pool2d(image[None], 9, 1, 4)[0]
    still = CapturePair(smooth, smooth.clone(), scan_time(64), "a/0")
    found = validate(Refiner(width=0.5).eval(), cycle(), [still], ALONE)
    assert found.values["valid_cycle_psnr"] > 50
    assert found.values["valid_disagreement"] < 0.2


def test_hidden_pixels_are_the_same_in_every_validation_and_leave_the_random_state() -> None:
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    given = CapturePair(image, image.flip(-1), scan_time(64), "a/0")
    objective = CycleObjective({"Charbonnier": 1.0}, flow=Still(), hidden_share=0.2)
    generator = Generator(3, 8, 0.04)
    before = torch.get_rng_state()
    first, again = (validate(generator, objective, [given], ALONE) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before)


def test_a_capture_smaller_than_the_grid_is_told() -> None:
    message = r"a/0: 16x72 \(rows x columns\) is too small to validate on; expected at least 32"
    with pytest.raises(InputError, match=message):
        validate(Grey(0.5), cycle(), [capture(0.5, None, (16, 72))], ALONE)


def batch(truth: Tensor | None = None) -> TrainingSample:
    pair = torch.stack((torch.full((2, 3, 64, 64), 0.1), torch.full((2, 3, 64, 64), 0.9)), dim=1)
    return TrainingSample(pair, scan_time(64).expand(2, -1), torch.tensor([0.5, 0.5]), truth)


def levels(strip: Tensor, tile: int) -> list[float]:
    return [round(float(strip[:, :, x].mean()), 3) for x in range(tile // 2, strip.shape[-1], tile)]


def test_strip_with_truth() -> None:
    truth = torch.full((2, 3, 3, 64, 64), 0.7)
    strip = preview(Grey(0.5), SupervisedObjective({"Charbonnier": 1.0}), batch(truth))
    assert strip.shape == (3, 64, 8 * 64)
    assert levels(strip, 64) == [0.1, 0.9, 0.5, 0.5, 0.5, 0.7, 0.7, 0.7]


def test_strip_with_rebuilt_inputs() -> None:
    # At last the disagreement of 0.8, four times brighter.
    strip = preview(Grey(0.5), cycle(), batch())
    assert levels(strip, 64) == [0.1, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]


def test_strip_of_stage_2_shows_what_the_student_sees() -> None:
    objective = DistillationObjective(cycle(), Grey(0.3), 16)
    seen = batch()
    seen.pair[:, :, :, 16:-16, 16:-16] += 0.05
    strip = preview(Grey(0.5), objective, seen)
    assert strip.shape == (3, 32, 8 * 32)
    assert levels(strip, 32) == [0.15, 0.95, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]
