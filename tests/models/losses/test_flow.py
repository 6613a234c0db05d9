"""Losses of flow training, by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from data.training.flow_pairs import FlowSample
from models.flow_pwc import FlowLevel
from models.losses.flow import (
    FlowLossSettings,
    FlowObjective,
    matching,
    multiscale_endpoint,
    shrink_flow,
)

SETTINGS = FlowLossSettings(level_weights=(0, 1, 1, 1, 1), hidden_weight=0.25)


def level(flow: Tensor, costs: Tensor | None = None, start: Tensor | None = None) -> FlowLevel:
    empty = flow.new_zeros(len(flow), 81, *flow.shape[2:])
    return FlowLevel(
        flow, torch.zeros_like(flow) if start is None else start, empty if costs is None else costs
    )


def constant(dx: float, dy: float, size: int) -> Tensor:
    return torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(1, 2, size, size).clone()


def sample(flow: Tensor, visible: Tensor) -> FlowSample:
    images = flow.new_zeros(len(flow), 3, *flow.shape[2:])
    return FlowSample(images, images, flow, visible)


def test_shrunk_flow_is_the_weighted_mean_of_a_cell() -> None:
    flow = torch.tensor([[[[1.0, 5.0], [3.0, 7.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    weight = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    mean, share = shrink_flow(flow, weight, 2)
    assert mean.flatten().tolist() == [3.0, 0.0]
    assert share.item() == 0.5
    nothing, _ = shrink_flow(flow, torch.zeros_like(weight), 2)
    assert nothing.flatten().tolist() == [0.0, 0.0]


def test_endpoint_error_weighs_levels() -> None:
    batch = sample(constant(3, 4, 4), torch.ones(1, 1, 4, 4))
    levels = [level(constant(0, 0, 1)), level(constant(3, 4, 2))]  # errors 5 and 0
    loss = multiscale_endpoint(levels, batch, FlowLossSettings(level_weights=(1, 3, 9)))
    assert float(loss) == pytest.approx((1 * 5 + 3 * 0.01) / 4, rel=1e-5)


def test_endpoint_error_weighs_pixels() -> None:
    batch = sample(constant(0, 0, 2), torch.tensor([[[[1.0, 0.25], [0.0, 0.0]]]]))
    settings = FlowLossSettings(level_weights=(1,), hidden_weight=0)
    found = torch.zeros(1, 2, 2, 2)
    found[0, 0, 0] = torch.tensor([2.0, 12.0])
    found[0, 0, 1] = 1000.0
    loss = multiscale_endpoint([level(found)], batch, settings)
    assert float(loss) == pytest.approx((2 + 0.25 * 12) / 1.25, rel=1e-4)


def test_the_exponent_tames_large_errors() -> None:
    batch = sample(constant(0, 0, 1), torch.ones(1, 1, 1, 1))
    found = [level(constant(16, 0, 1))]
    loss = multiscale_endpoint(found, batch, FlowLossSettings(level_weights=(1,), exponent=0.5))
    assert float(loss) == pytest.approx(4, rel=1e-4)


def test_matching_is_the_cross_entropy_of_the_true_displacement() -> None:
    # What is left at this level is (12 - 8) / 4 = 1 cell to the right and 0 down: channel 41.
    batch = sample(constant(12, 0, 4), torch.ones(1, 1, 4, 4))
    costs = torch.zeros(1, 81, 1, 1)
    start = constant(8, 0, 1)
    even = matching([level(constant(0, 0, 1), costs, start)], batch, SETTINGS)
    assert float(even) == pytest.approx(math.log(81), rel=1e-5)
    costs[0, 41] = 0.5
    sure = matching([level(constant(0, 0, 1), costs, start)], batch, SETTINGS)
    assert float(sure) == pytest.approx(-math.log(math.e**10 / (math.e**10 + 80)), rel=1e-3)
    off = matching([level(constant(0, 0, 1), costs)], batch, SETTINGS)  # 3 cells: channel 43
    assert float(off) == pytest.approx(math.log(math.e**10 + 80), rel=1e-4)


def test_matching_shares_fractions_bilinearly() -> None:
    batch = sample(constant(1, 3, 4), torch.ones(1, 1, 4, 4))  # 1/4 cell right, 3/4 down
    odds = torch.randn(1, 81, 1, 1, dtype=torch.float64) / 20
    loss = matching([level(constant(0, 0, 1), odds)], batch, SETTINGS)
    logs = torch.log_softmax(20 * odds.float(), dim=1).reshape(9, 9)
    near = logs[4:6, 4:6]
    expected = -(near * torch.tensor([[0.75, 0.25], [2.25, 0.75]]) / 4).sum()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("motion", "seen"), [(20.0, 1.0), (4.0, 0.0)])
def test_matching_leaves_out_what_it_cannot_find(motion: float, seen: float) -> None:
    batch = sample(constant(motion, 0, 4), torch.full((1, 1, 4, 4), seen))
    loss = matching([level(constant(0, 0, 1))], batch, SETTINGS)
    assert float(loss) == 0


class Levels(nn.Module):
    """Answers zero flow at two levels and remembers what it was asked."""

    def forward(self, first: Tensor, second: Tensor, *, down_to: int) -> tuple[FlowLevel, ...]:
        self.down_to = down_to
        return level(constant(0, 0, 1)), level(constant(0, 0, 2))


def test_samples_count_alike_however_much_of_them_is_seen() -> None:
    """So that parts of a batch, and processes, may share it."""
    visible = torch.ones(2, 1, 4, 4)
    visible[0, :, :3] = 0
    flow = torch.cat((constant(3, 4, 4), constant(6, 8, 4)))
    images = torch.zeros(2, 3, 4, 4)
    objective = FlowObjective({"Endpoint": 1.0}, down_to=5, settings=SETTINGS)
    whole = FlowSample(images, images, flow, visible)
    parts = [FlowSample(*(part[index : index + 1] for part in whole)) for index in (0, 1)]
    alone = [float(objective(Levels(), part).total) for part in parts]
    assert float(objective(Levels(), whole).total) == pytest.approx(sum(alone) / 2)


def test_objective_weighs_terms_and_hidden_pixels() -> None:
    flow = constant(3, 4, 4)
    flow[..., :2, :] *= 2  # the upper half moves by 10 px
    visible = torch.ones(1, 1, 4, 4)
    visible[..., :2, :] = 0
    network, images = Levels(), torch.zeros(1, 3, 4, 4)
    objective = FlowObjective(
        {"Endpoint": 2.0, "Matching": 0.5},
        down_to=5,
        settings=SETTINGS,
    )
    total, terms = objective(network, FlowSample(images, images, flow, visible))
    assert network.down_to == 5
    assert float(terms["Endpoint"]) == pytest.approx(2 * (0.25 * 10 + 5) / 1.25, rel=1e-4)
    # Of the 2nd level's cells the lower two are seen, and all 81 displacements are alike.
    assert float(terms["Matching"]) == pytest.approx(0.5 * math.log(81) / 2, rel=1e-4)
    assert float(total) == pytest.approx(float(terms["Endpoint"] + terms["Matching"]))
