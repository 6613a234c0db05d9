from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models.classical.correction import correct_with_field
from models.inference.correction import Corrected, correct_classically, self_ensemble
from tests.helpers.frames import classical_frames
from tests.helpers.moving_texture import Pan

TIMES = (0.0, 0.3, 1.0)


def t2b_and_time(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
) -> Corrected:
    """Frames that show t2b, brighter by t."""
    return Corrected(pair[:1] + torch.tensor(times)[:, None, None, None])


def test_frames_are_the_mean_of_both_ways() -> None:
    pair = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    frames = self_ensemble(t2b_and_time)(pair, TIMES).frames
    # The other way b2t takes the place of t2b, at 1 - t: the times average to 1/2.
    expected = pair.mean(0).expand(3, -1, -1, -1) + 0.5
    torch.testing.assert_close(frames, expected)


def test_the_pair_stays_as_it_is() -> None:
    pair = torch.rand(2, 3, 4, 6)
    before = pair.clone()
    self_ensemble(t2b_and_time)(pair, TIMES)
    assert torch.equal(pair, before)


def test_the_scan_is_that_of_the_rows_both_ways() -> None:
    scan, seen = torch.linspace(0.25, 0.75, 4), []

    def method(
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        seen.append(scan_time)
        return Corrected(pair[:1].repeat(len(times), 1, 1, 1))

    self_ensemble(method)(torch.rand(2, 3, 4, 6), (0.5,), scan_time=scan)
    assert all(one is scan for one in seen) and len(seen) == 2


def test_a_capture_and_its_reverse_give_the_same_frames() -> None:
    pair = Pan((9, 4), (48, 64)).pair()
    correct = self_ensemble(correct_classically)
    frames = correct(pair, TIMES).frames
    reverse = correct(pair.flip(0, -1), [1 - t for t in TIMES]).frames.flip(-1)
    torch.testing.assert_close(frames, reverse, atol=1e-6, rtol=0)


def test_flows_are_averaged_as_the_displacements_they_are() -> None:
    pair = Pan((9, 4), (48, 64)).pair()
    one = correct_classically(pair, TIMES, with_flows=True)
    both = self_ensemble(correct_classically)(pair, TIMES, with_flows=True)
    assert one.flows is not None and both.flows is not None
    mirrored = classical_frames(pair.flip(0, -1), [1 - t for t in TIMES]).flip(-1)
    torch.testing.assert_close(both.frames, (one.frames + mirrored) / 2, atol=1e-6, rtol=0)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (both.flows - one.flows)[inner].abs().mean() < 0.05
    assert one.flows[inner].abs().mean() > 1  # there is something to average


def test_a_known_motion_is_refused_because_it_is_of_one_version_only() -> None:
    pair = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    _, motion = correct_with_field(pair, [0.5])
    with pytest.raises(ValueError, match="give none"):
        self_ensemble(correct_classically)(pair, TIMES, motion=motion)
