from collections.abc import Sequence

import torch
from torch import Tensor

from models.classical.correction import correct_classically
from models.inference.correction_flows import CorrectionWithFlows, correct_classically_with_flows
from models.inference.self_ensemble import average_both_ways, average_both_ways_with_flows
from tests.helpers.moving_texture import Pan

TIMES = (0.0, 0.3, 1.0)


def t2b_and_time(
    pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
) -> Tensor:
    """Frames that show t2b, brighter by t."""
    return pair[:1] + torch.tensor(times)[:, None, None, None]


def test_frames_are_the_mean_of_both_ways() -> None:
    pair = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    frames = average_both_ways(t2b_and_time)(pair, TIMES)
    # The other way b2t takes the place of t2b, at 1 - t: the times average to 1/2.
    expected = pair.mean(0).expand(3, -1, -1, -1) + 0.5
    torch.testing.assert_close(frames, expected)


def test_the_pair_stays_as_it_is() -> None:
    pair = torch.rand(2, 3, 4, 6)
    before = pair.clone()
    average_both_ways(t2b_and_time)(pair, TIMES)
    assert torch.equal(pair, before)


def test_the_scan_is_that_of_the_rows_both_ways() -> None:
    scan, seen = torch.linspace(0.25, 0.75, 4), []

    def method(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
        seen.append(scan_time)
        return pair[:1].repeat(len(times), 1, 1, 1)

    average_both_ways(method)(torch.rand(2, 3, 4, 6), (0.5,), scan_time=scan)
    assert all(one is scan for one in seen) and len(seen) == 2


def test_a_capture_and_its_reverse_give_the_same_frames() -> None:
    t2b, b2t = (torch.from_numpy(view) for view in Pan((9, 4), (48, 64)).views())
    pair = torch.stack((t2b, b2t)).permute(0, 3, 1, 2)
    correct = average_both_ways(correct_classically)
    frames = correct(pair, TIMES)
    reverse = correct(pair.flip(0, -1), [1 - t for t in TIMES]).flip(-1)
    torch.testing.assert_close(frames, reverse, atol=1e-6, rtol=0)


def test_flows_are_averaged_as_the_displacements_they_are() -> None:
    t2b, b2t = (torch.from_numpy(view) for view in Pan((9, 4), (48, 64)).views())
    pair = torch.stack((t2b, b2t)).permute(0, 3, 1, 2)
    one = correct_classically_with_flows(pair, TIMES)
    both = average_both_ways_with_flows(correct_classically_with_flows)(pair, TIMES)
    assert isinstance(both, CorrectionWithFlows)
    torch.testing.assert_close(
        both.frames, average_both_ways(correct_classically)(pair, TIMES), atol=1e-6, rtol=0
    )
    inner = (..., slice(8, -8), slice(8, -8))
    assert (both.flows - one.flows)[inner].abs().mean() < 0.05
    assert one.flows[inner].abs().mean() > 1  # there is something to average
