from pathlib import Path

import numpy as np
import pytest
import torch

from data.time_maps import leg_positions, offset_maps, scan_offset, scan_time

REFERENCE = Path(__file__).parents[1] / "references" / "time_maps.npz"


def test_scan_time_runs_from_zero_to_one():
    torch.testing.assert_close(scan_time(5), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))


def test_scan_time_of_a_crop_and_of_padding():
    expected = torch.tensor([0.5, 0.75, 1.0, 1.25])
    torch.testing.assert_close(scan_time(5, rows=4, top=2), expected)


def test_scan_time_of_a_crop_is_the_same_to_the_last_bit():
    assert torch.equal(scan_time(1080, rows=256, top=317), scan_time(1080)[317:573])


def test_scan_time_needs_two_rows():
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        scan_time(1)


@pytest.mark.parametrize("direction", [0, 1])
def test_maps_equal_the_released_ones(direction):
    reference = np.load(REFERENCE)
    count = int(reference["frames"])
    s = scan_time(int(reference["height"]))
    s = 1 - s if direction else s
    for index in range(1, count - 1):
        t, row = index / (count - 1), direction * count + index
        offset = torch.from_numpy(reference["distortion_maps"][row])
        torch.testing.assert_close(scan_offset(s, t), offset, atol=1e-5, rtol=0)
        before, after, first = torch.from_numpy(reference["time_maps"][row])
        legs = leg_positions(s, t)
        torch.testing.assert_close(legs.before, before, atol=1e-5, rtol=0)
        torch.testing.assert_close(legs.after, after, atol=1e-5, rtol=0)
        assert torch.equal(legs.on_first_leg, first.bool())


def test_offset_maps_hold_both_scans_one_after_the_other():
    s = torch.tensor([[0.0, 0.5, 1.0]])
    maps = offset_maps(s, torch.tensor([[0.0, 0.25]]))
    assert maps.shape == (1, 4, 3, 1)
    expected = [[0.0, 0.5, 1.0], [-0.25, 0.25, 0.75], [1.0, 0.5, 0.0], [0.75, 0.25, -0.25]]
    torch.testing.assert_close(maps[0, :, :, 0], torch.tensor(expected))


def test_offset_maps_pair_each_sample_with_its_own_instants():
    s = torch.stack((scan_time(4), scan_time(8, rows=4, top=2)))
    times = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.125, 1.0]])
    both = offset_maps(s, times)
    for sample in range(2):
        alone = offset_maps(s[sample : sample + 1], times[sample : sample + 1])
        assert torch.equal(both[sample : sample + 1], alone)


def test_leg_positions_by_hand():
    legs = leg_positions(torch.tensor([0.0, 0.125, 0.25, 0.5, 1.0]), 0.25)
    torch.testing.assert_close(legs.before, torch.tensor([0.0, 0.5, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(legs.after, torch.tensor([0.0, 0.0, 0.0, 1 / 3, 1.0]))
    assert legs.on_first_leg.tolist() == [True, True, True, False, False]


def test_leg_positions_are_limits_where_a_leg_has_no_length():
    s = torch.tensor([0.0, 0.5, 1.0])
    start, end = leg_positions(s, 0.0), leg_positions(s, 1.0)
    assert start.before.tolist() == [0.0, 1.0, 1.0]
    assert start.after.tolist() == [0.0, 0.5, 1.0]
    assert start.on_first_leg.tolist() == [True, False, False]
    assert end.before.tolist() == [0.0, 0.5, 1.0]
    assert end.after.tolist() == [0.0, 0.0, 0.0]
    assert end.on_first_leg.tolist() == [True, True, True]


def test_leg_positions_take_an_instant_per_sample():
    s = scan_time(3).reshape(1, 1, 3, 1).expand(2, 1, 3, 1)
    legs = leg_positions(s, torch.tensor([0.5, 1.0]).reshape(2, 1, 1, 1))
    assert legs.before.flatten().tolist() == [0.0, 1.0, 1.0, 0.0, 0.5, 1.0]


@pytest.mark.parametrize("t", [-0.01, 1.01, float("nan")])
def test_instants_outside_the_readout_are_refused(t):
    for function in (scan_offset, leg_positions):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            function(scan_time(4), t)
