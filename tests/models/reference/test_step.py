"""Training steps equal the straightforward ones of `models.reference.step`."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from data.capture import TrainingSample
from models.flow_pwc import PWCNet
from models.generator import Generator
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, DistillationObjective
from models.parts.correlation import correlation
from models.parts.memory_saving import checkpoint_blocks
from models.reference.formula_weights import fill_by_formula
from models.reference.step import plain_correlation, plain_cycle, plain_distillation
from tests.models.test_objectives import RELEASED_LOSS, random_batch


@pytest.fixture(scope="module")
def cycle() -> CycleObjective:
    flow, perceptual = PWCNet("released").requires_grad_(False).eval(), Perceptual()
    fill_by_formula(flow, 1, 2**0.5)
    fill_by_formula(perceptual, 2, 2**0.5)
    return CycleObjective(
        RELEASED_LOSS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
    )


def generator(seed: int) -> Generator:
    torch.manual_seed(seed)
    return Generator(width=0.25)


def gradients(network: nn.Module, total: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(total, list(network.parameters())))


def in_double(batch: TrainingSample) -> TrainingSample:
    return TrainingSample(batch.pair.double(), batch.scan_time.double(), batch.t.double())


def check_gradients(total: torch.Tensor, expected: torch.Tensor, network: nn.Module) -> None:
    """In float32 rounding decides between neighbouring pixels, where gradients jump."""
    assert total.dtype == torch.float64
    for gradient, other in zip(
        *(gradients(network, loss) for loss in (total, expected)), strict=True
    ):
        assert (gradient - other).norm() < 1e-5 * other.norm() + 1e-9


def test_a_stage_1_step_equals_the_plain_one(cycle: CycleObjective) -> None:
    network, batch = generator(0), random_batch(64)
    total, terms = cycle(network, batch)
    assert total.item() == pytest.approx(plain_cycle(cycle, network, batch)[0].item(), rel=1e-4)
    assert total.item() == pytest.approx(float(sum(terms.values())), rel=1e-5)


@pytest.mark.slow
def test_stage_1_gradients_are_the_plain_ones(cycle: CycleObjective) -> None:
    precise, network, batch = deepcopy(cycle).double(), generator(0).double(), random_batch(64)
    batch = in_double(batch)
    expected, _ = plain_cycle(precise, network, batch)
    check_gradients(precise(network, batch).total, expected, network)


@pytest.mark.slow
def test_a_stage_2_step_equals_the_plain_one(cycle: CycleObjective) -> None:
    network, batch = generator(0).double(), in_double(random_batch(96, count=1))
    objective = DistillationObjective(deepcopy(cycle), generator(1), border=16).double()
    expected = plain_distillation(objective, network, batch)
    total = objective(network, batch).total
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    check_gradients(total, expected, network)


def test_frozen_networks_get_no_gradient(cycle: CycleObjective) -> None:
    network = generator(0)
    cycle(network, random_batch(64, count=1)).total.backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert all(weight.grad is None for weight in cycle.parameters())


def test_recomputed_blocks_change_nothing(cycle: CycleObjective) -> None:
    network, batch = generator(0), random_batch(64, count=1)
    names = list(network.state_dict())
    total = cycle(network, batch).total
    expected = gradients(network, total)
    checkpoint_blocks(network)
    again = cycle(network, batch).total
    assert torch.equal(again, total)
    for gradient, other in zip(gradients(network, again), expected, strict=True):
        torch.testing.assert_close(gradient, other)
    assert list(network.state_dict()) == names


def test_flows_between_images_are_those_of_their_pairs(cycle: CycleObjective) -> None:
    images = torch.rand(2, 3, 3, 64, 96)
    pairs = ((0, 2), (2, 1))
    flows = cycle.flow.between(images, pairs)
    assert flows.shape == (2, 2, 2, 64, 96)
    for index, (a, b) in enumerate(pairs):
        alone = cycle.flow(images[:, a], images[:, b])
        torch.testing.assert_close(flows[:, index], alone, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("width", [5, 16, 37])
def test_cost_volumes_equal_the_plain_ones(width: int) -> None:
    first, second = torch.randn(2, 2, 3, 6, width, dtype=torch.float64)
    volumes = []
    for compute in (correlation, plain_correlation):
        maps = [features.clone().requires_grad_() for features in (first, second)]
        volume = compute(maps[0], maps[1])
        weights = torch.linspace(-1, 1, volume.numel(), dtype=torch.float64).view_as(volume)
        volumes.append((volume, *torch.autograd.grad((volume * weights).sum(), maps)))
    for found, expected in zip(*volumes, strict=True):
        torch.testing.assert_close(found, expected)
