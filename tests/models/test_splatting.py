import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.splatting import reverse_flows, splat
from models.warping import backward_warp

REFERENCES = Path(__file__).parents[1] / "references"


def flow_of(height, width, dx=0.0, dy=0.0):
    return torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(1, 2, height, width).clone()


def splat_by_hand(values, flow):
    """The definition, pixel by pixel, in double precision."""
    channels, height, width = values.shape
    total, weight = np.zeros((channels, height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            end_x, end_y = x + flow[0, y, x], y + flow[1, y, x]
            for row in (math.floor(end_y), math.floor(end_y) + 1):
                for column in (math.floor(end_x), math.floor(end_x) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        share = math.exp(-((end_x - column) ** 2) - (end_y - row) ** 2)
                        total[:, row, column] += share * values[:, y, x]
                        weight[row, column] += share
    return total, weight


def test_a_pixel_at_rest_also_reaches_its_right_lower_neighbours():
    values = torch.zeros(1, 1, 3, 4)
    values[0, 0, 1, 2] = 5.0
    total, weight = splat(values, flow_of(3, 4))
    e = math.exp(-1)
    expected = torch.zeros(3, 4)
    expected[1, 2], expected[1, 3], expected[2, 2], expected[2, 3] = 5, 5 * e, 5 * e, 5 * e * e
    torch.testing.assert_close(total[0, 0], expected)
    # Every pixel receives its own, and from those to the left, above and diagonally before it.
    assert weight[0, 0, 0, 0] == 1
    torch.testing.assert_close(weight[0, 0, 0, 1:], torch.full((3,), 1 + e))
    torch.testing.assert_close(weight[0, 0, 1:, 1:], torch.full((2, 3), (1 + e) ** 2))


def test_weights_of_a_fractional_landing():
    values = torch.zeros(1, 2, 4, 4)
    values[0, :, 0, 1] = torch.tensor([1.0, -2.0])
    flow = flow_of(4, 4, dx=100.0)
    flow[0, :, 0, 1] = torch.tensor([0.25, 1.5])  # lands at x 1.25, y 1.5
    total, weight = splat(values, flow)
    near, far = math.exp(-(0.25**2) - 0.5**2), math.exp(-(0.75**2) - 0.5**2)
    expected = torch.zeros(4, 4)
    expected[1:3, 1], expected[1:3, 2] = near, far
    torch.testing.assert_close(weight[0, 0], expected)
    torch.testing.assert_close(total[0], torch.stack((expected, -2 * expected)))


def test_follows_its_definition_with_pixels_leaving_on_every_side():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=generator)
    flow = 3 * torch.randn(2, 2, 5, 7, dtype=torch.float64, generator=generator)
    total, weight = splat(values, flow)
    for item in range(2):
        expected = splat_by_hand(values[item].numpy(), flow[item].numpy())
        np.testing.assert_allclose(total[item].numpy(), expected[0], atol=1e-12)
        np.testing.assert_allclose(weight[item, 0].numpy(), expected[1], atol=1e-12)


def test_targets_outside_are_dropped_not_moved_to_the_border():
    total, weight = splat(torch.ones(1, 1, 2, 3), flow_of(2, 3, dx=-1.5))
    e = math.exp(-0.25)
    # x = 1 lands at -0.5 and reaches column 0; x = 2 lands at 0.5: columns 0 and 1. Rows at rest.
    top = torch.tensor([2 * e, e, 0.0])
    expected = torch.stack((top, top * (1 + math.exp(-1))))
    torch.testing.assert_close(weight[0, 0], expected)
    torch.testing.assert_close(total[0, 0], expected)


def test_non_finite_and_huge_flows_do_not_break_the_scatter():
    flow = flow_of(3, 3)
    flow[0, 0, 0] = torch.tensor([math.nan, math.inf, 1e30])
    total, _ = splat(torch.ones(1, 1, 3, 3), flow)
    assert total.shape == (1, 1, 3, 3)


def test_half_precision_is_summed_in_single():
    total, _ = splat(torch.ones(1, 1, 2, 600, dtype=torch.float16), flow_of(2, 600).half())
    assert total.dtype == torch.float32
    torch.testing.assert_close(total[0, 0, 0, 1:], torch.full((599,), 1 + math.exp(-1)))


def test_splat_refuses_a_flow_of_another_size():
    with pytest.raises(ValueError, match=r"flow must be \(1, 2, 4, 5\) for these values"):
        splat(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 5, 4))


def test_constant_motion_is_reversed_exactly():
    forward, backward = flow_of(6, 8, 1.7, -0.6), flow_of(6, 8, -1.7, 0.6)
    tau = torch.linspace(0, 1, 6).reshape(1, 1, 6, 1).expand(1, 1, 6, 8)
    to_first, to_last = reverse_flows(forward, backward, tau)
    # Rows 1 to 4 receive something everywhere but where the flow carries pixels in from outside.
    inner = (..., slice(1, 5), slice(2, 6))
    torch.testing.assert_close(to_first[inner], (-tau * forward)[inner])
    torch.testing.assert_close(to_last[inner], ((1 - tau) * forward)[inner])


def test_at_the_ends_of_a_leg_one_flow_is_zero_and_the_other_whole():
    generator = torch.Generator().manual_seed(2)
    forward = torch.randn(1, 2, 5, 6, generator=generator)
    backward = torch.randn(1, 2, 5, 6, generator=generator)
    zeros, ones = torch.zeros(1, 1, 5, 6), torch.ones(1, 1, 5, 6)
    to_first, to_last = reverse_flows(forward, backward, zeros)
    total, weight = splat(forward, torch.zeros_like(forward))
    assert torch.equal(to_first, torch.zeros_like(forward))
    torch.testing.assert_close(to_last, total / weight)
    to_first, to_last = reverse_flows(forward, backward, ones)
    total, weight = splat(backward, torch.zeros_like(backward))
    torch.testing.assert_close(to_first, total / weight)
    assert torch.equal(to_last, torch.zeros_like(forward))


def test_hand_worked_reversal_of_one_row():
    # One row, two columns. At tau = 1/2 the flow (2, 0) of column 0 lands at 1; column 1 leaves.
    # The flows back, (-2, 0), do the same mirrored: column 1 lands at 0, and on 1 with exp(-1).
    forward, backward = flow_of(1, 2, dx=2.0), flow_of(1, 2, dx=-2.0)
    to_first, to_last = reverse_flows(forward, backward, torch.full((1, 1, 1, 2), 0.5))
    torch.testing.assert_close(to_first, flow_of(1, 2, dx=-1.0))
    torch.testing.assert_close(to_last, flow_of(1, 2, dx=1.0))
    # Without the flows back column 0 receives nothing forward, and column 1 a weight of 1 forward.
    backward = torch.zeros(1, 2, 1, 2)
    to_first, to_last = reverse_flows(forward, backward, torch.full((1, 1, 1, 2), 0.5))
    received = 2 / (0.5 * 1 + 0.5 * (1 + math.exp(-1)))
    torch.testing.assert_close(to_first[0, 0, 0], torch.tensor([0.0, -0.25 * received]))
    torch.testing.assert_close(to_last[0, 0, 0], torch.tensor([0.0, 0.25 * received]))


def test_where_nothing_arrives_both_flows_are_zero_and_gradients_finite():
    forward = flow_of(3, 4, dx=50.0).requires_grad_()
    backward = flow_of(3, 4, dx=-50.0).requires_grad_()
    flows = reverse_flows(forward, backward, torch.full((1, 1, 3, 4), 0.5))
    assert all(torch.equal(flow, torch.zeros(1, 2, 3, 4)) for flow in flows)
    sum(flow.sum() for flow in flows).backward()
    assert forward.grad.isfinite().all()
    assert backward.grad.isfinite().all()


def test_gradients_reach_values_weights_and_norm():
    generator = torch.Generator().manual_seed(3)

    def away_from_whole_pixels(*shape):
        fraction = 0.2 + 0.6 * torch.rand(*shape, dtype=torch.float64, generator=generator)
        whole = torch.randint(-2, 2, shape, generator=generator)
        return (whole + fraction).requires_grad_()

    values = torch.randn(1, 2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    flow = away_from_whole_pixels(1, 2, 3, 4)
    assert torch.autograd.gradcheck(splat, (values, flow))

    # At tau = 1/2 flows in twice those fractions land away from whole pixels too.
    tau = torch.full((1, 1, 3, 4), 0.5, dtype=torch.float64, requires_grad=True)
    flows = [(2 * away_from_whole_pixels(1, 2, 3, 4)).detach().requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(reverse_flows, (*flows, tau))


def test_released_flow_reversal_and_warp():
    reference = np.load(REFERENCES / "flow_reversal.npz")
    arrays = {name: torch.from_numpy(reference[name]) for name in reference.files}
    tau = arrays["time"][..., None].expand(-1, -1, -1, arrays["flow_01"].shape[-1])
    to_first, to_last = reverse_flows(arrays["flow_01"], arrays["flow_10"], tau)
    torch.testing.assert_close(to_first, arrays["flow_t0"], rtol=0, atol=1e-4)
    torch.testing.assert_close(to_last, arrays["flow_t1"], rtol=0, atol=1e-4)
    warped = backward_warp(arrays["image"], arrays["flow_t0"], "released").warped
    torch.testing.assert_close(warped, arrays["warped"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tau_shape", [(1, 1, 3, 5), (1, 2, 3, 4), (2, 1, 3, 4)])
def test_reversal_refuses_a_tau_of_another_shape(tau_shape):
    flow = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"a \(B, 1, H, W\) tau"):
        reverse_flows(flow, flow, torch.zeros(tau_shape))
