"""The losses of an interpolator, on values worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from data.training.interpolation import InterpolationSample
from models.losses.interpolation import InterpolationObjective, motion_endpoint
from models.plusplus.interpolator import Interpolated, Interpolator, Motion


def batch(visible: float = 1.0) -> InterpolationSample:
    flows = torch.zeros(1, 4, 64, 64)
    flows[:, 0], flows[:, 3] = 3.0, -4.0  # 3 px right to the first, 4 px up to the second
    seen = torch.full((1, 2, 64, 64), visible)
    images = torch.rand(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return InterpolationSample(*images[:2], torch.linspace(0, 1, 64)[None], images[2], flows, seen)


def motion(*flows: Tensor) -> Motion:
    none = torch.zeros(())
    return Motion(flows, none, none, none)


def test_the_error_is_the_mean_distance_of_all_blocks_and_frames() -> None:
    sample = batch()
    at_rest = torch.zeros_like(sample.flows)
    assert float(motion_endpoint(motion(sample.flows), sample)) == pytest.approx(0.01)
    assert float(motion_endpoint(motion(at_rest), sample)) == pytest.approx(3.5, rel=1e-4)
    both = motion_endpoint(motion(at_rest, sample.flows), sample)
    assert float(both) == pytest.approx((3.5 + 0.01) / 2, rel=1e-3)


def test_hidden_points_weigh_a_fifth() -> None:
    sample = batch()
    sample.visible[:, 0, :32] = 0  # of the first frame, whose error is 3 in its upper half
    wrong = sample.flows.clone()
    wrong[:, 0, :32] += 3
    found = float(motion_endpoint(motion(wrong), sample))
    seen, hidden = 3 * 64 * 32, 64 * 32  # of both frames
    assert found == pytest.approx(3 * 0.2 * hidden / (seen + 0.2 * hidden), abs=0.02)


class Known(nn.Module):
    """Returns an image and motion, and keeps what it was given."""

    def forward(
        self, first: Tensor, second: Tensor, position: Tensor, *, with_motion: bool
    ) -> Interpolated:
        assert with_motion
        self.position = position
        return Interpolated(first, motion(torch.zeros_like(first[:, :1]).expand(-1, 4, -1, -1)))


def test_terms_are_weighted_and_rows_have_their_position() -> None:
    sample, network = batch(), Known()
    loss = InterpolationObjective({"Charbonnier": 2.0, "Motion": 0.1})(network, sample)
    expected = 2 * ((sample.first - sample.target).square() + 1e-9).sqrt().mean()
    torch.testing.assert_close(loss.terms["Charbonnier"], expected)
    assert float(loss.terms["Motion"]) == pytest.approx(0.35, rel=1e-3)
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))
    assert network.position.shape == (1, 1, 64, 64)
    torch.testing.assert_close(network.position[0, 0, :, 5], sample.position[0])


def test_gradient_reaches_every_weight() -> None:
    torch.manual_seed(0)
    network = Interpolator(0.05)
    InterpolationObjective({"Lap": 1.0, "Motion": 0.01})(network, batch()).total.backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.ndim == 1 or bool(weight.grad.any()), name  # slopes of few channels may rest
