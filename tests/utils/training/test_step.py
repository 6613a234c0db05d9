"""One step: clipping, weight decay and the mean losses that are reported."""

import logging
import math

import pytest
import torch
from torch import nn

from data.capture import TrainingSample
from models.generator import Generator
from models.losses.objective import Loss
from models.objectives import correct_batch
from tests.helpers.tiny_training import tiny_options
from utils.options.training import StepOptions
from utils.system.distributed import Processes
from utils.system.stopping import StopRequest
from utils.training.experiment import Experiment
from utils.training.step import Progress, Training, build_optimizer, learning_rate, take_step


class Scaled(nn.Module):
    """A loss of chosen size."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, generator: nn.Module, batch: TrainingSample) -> Loss:
        frames = correct_batch(generator, batch).frames
        total = self.factor * (frames - batch.pair.mean()).square().mean()
        return Loss(total, {"Square": total.detach()})


@pytest.fixture
def batch() -> TrainingSample:
    random = torch.Generator().manual_seed(0)
    pair = torch.rand(1, 2, 3, 32, 32, generator=random)
    return TrainingSample(pair, torch.linspace(0, 1, 32)[None], torch.tensor([0.5]))


def training(tmp_path, objective: nn.Module, **options) -> Training:
    torch.manual_seed(0)
    generator = Generator(3, 8, 0.04)
    chosen = tiny_options(tmp_path, **options)
    processes = Processes(torch.device("cpu"))
    log = logging.getLogger("test")
    experiment = Experiment(chosen, processes, tmp_path, None, {}, log)
    optimizer = torch.optim.AdamW(generator.parameters(), weight_decay=chosen.train.G_optimizer_wd)
    return Training(generator, generator, objective, optimizer, experiment, StopRequest())


def gradient_norm(generator: nn.Module) -> float:
    norms = [weight.grad.norm() for weight in generator.parameters() if weight.grad is not None]
    return float(torch.stack(norms).norm())


def test_gradients_are_clipped_at_their_total_norm(tmp_path, batch: TrainingSample) -> None:
    large = training(tmp_path, Scaled(1e6), G_optimizer_clipgrad=20.0)
    result = take_step(large, batch)
    assert result.losses["gradient_norm"] > 1000
    assert gradient_norm(large.network) == pytest.approx(20, rel=1e-4)


def test_small_gradients_are_left_alone(tmp_path, batch: TrainingSample) -> None:
    small = training(tmp_path, Scaled(1.0), G_optimizer_clipgrad=20.0)
    result = take_step(small, batch)
    assert result.losses["gradient_norm"] < 20
    assert gradient_norm(small.network) == pytest.approx(result.losses["gradient_norm"])


def test_weight_decay_is_decoupled_from_the_gradient(tmp_path, batch: TrainingSample) -> None:
    # Without a gradient, AdamW only shrinks the weights, by learning rate times decay.
    decaying = training(
        tmp_path, Scaled(0.0), G_optimizer_lr=0.1, G_optimizer_wd=0.5, G_scheduler_eta_min=0.1
    )
    before = {name: weight.clone() for name, weight in decaying.network.state_dict().items()}
    take_step(decaying, batch)
    for name, weight in decaying.network.state_dict().items():
        torch.testing.assert_close(weight, 0.95 * before[name])


def test_the_rate_is_the_schedule_s(tmp_path, batch: TrainingSample) -> None:
    run = training(tmp_path, Scaled(1.0), G_optimizer_lr=1e-3, warmup_steps=4)
    assert take_step(run, batch).rate == pytest.approx(0.25e-3)
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.25e-3)


def test_a_request_to_stop_is_passed_on_after_the_step(tmp_path, batch: TrainingSample) -> None:
    run = training(tmp_path, Scaled(1.0))
    assert take_step(run, batch).stop_signal == 0
    run.stop.signal_number = 2
    assert take_step(run, batch).stop_signal == 2
    assert run.progress.step == 2


def test_progress_means_leave_out_skipped_steps() -> None:
    progress = Progress()
    progress.count({"total": 1.0}, skipped=False)
    progress.count({"total": float("nan")}, skipped=True)
    assert (progress.step, progress.skipped, progress.skipped_in_a_row) == (2, 1, 1)
    progress.count({"total": 3.0}, skipped=False)
    assert progress.skipped_in_a_row == 0
    assert progress.take_means() == {"total": 2.0}
    assert progress.take_means() == {}


def rate(step: int, **options) -> float:
    given = {"G_optimizer_lr": 1.0, "G_scheduler_eta_min": 0.2, "G_scheduler_periods": 8}
    given |= {"objective": "supervised", "G_lossfn_type": "1*Charbonnier", "iterations": 1}
    return learning_rate(step, StepOptions.model_validate(given | options))


def test_cosine_falls_from_highest_to_lowest_and_starts_again() -> None:
    assert rate(0) == 1
    assert rate(4) == pytest.approx(0.6)
    assert rate(2) == pytest.approx(0.2 + 0.4 * (1 + math.sqrt(0.5)))
    assert rate(7) == pytest.approx(0.2 + 0.4 * (1 - math.cos(math.pi / 8)))
    assert rate(8) == 1
    assert rate(12) == rate(4)


def test_warmup_rises_in_proportion_and_then_leaves_the_cosine_alone() -> None:
    assert rate(0, warmup_steps=4) == pytest.approx(0.25 * rate(0))
    assert rate(1, warmup_steps=4) == pytest.approx(0.5 * rate(1))
    assert rate(3, warmup_steps=4) == rate(3)
    assert rate(9, warmup_steps=4) == rate(9)


def test_recipe_of_stage_1() -> None:
    recipe = {"G_optimizer_lr": 1e-4, "G_scheduler_eta_min": 1e-7, "G_scheduler_periods": 300_000}
    assert rate(0, **recipe) == 1e-4
    assert rate(150_000, **recipe) == pytest.approx(5.005e-5)
    assert rate(299_999, **recipe) == pytest.approx(1e-7, rel=1e-3)


def test_the_rate_is_constant_over_an_epoch() -> None:
    by_epoch = [rate(step, epoch_steps=3) for step in range(30)]
    assert by_epoch == [rate(step // 3) for step in range(30)]
    assert by_epoch[0] == by_epoch[2] > by_epoch[3]


def test_the_optimizer_of_a_gpu_takes_the_same_steps(tmp_path) -> None:
    options = tiny_options(tmp_path).train
    weights = []
    for device in ("cpu", "cuda"):  # fused, as on a GPU, but on tensors of the CPU
        torch.manual_seed(0)
        layer = nn.Linear(5, 3)
        optimizer = build_optimizer(layer, options, torch.device(device))
        assert bool(optimizer.defaults["fused"]) == (device == "cuda")
        for step in range(5):
            optimizer.zero_grad()
            layer(torch.full((2, 5), 0.1 * step)).square().sum().backward()
            optimizer.step()
        weights.append(layer.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-7)
