"""Frames of two recordings paired by offsets and by time stamps."""

import random

import pytest

from data.video.pairing import Change, drift, needs_stamps, pair_by_offsets, pair_by_stamps


def test_a_change_of_offset_leaves_out_the_frame_without_a_partner() -> None:
    plain = pair_by_offsets((4, 5), 1)
    assert (plain.first, plain.second) == ((0, 1, 2, 3), (1, 2, 3, 4))
    # Frame 2 of the second recording is missing: frame 2 of the first has no partner.
    lost = pair_by_offsets((6, 5), 0, [Change(3, -1)])
    assert (lost.first, lost.second) == ((0, 1, 3, 4, 5), (0, 1, 2, 3, 4))
    assert lost.arrangement == "offset 0,3:-1"
    # Frame 2 of the first recording is missing.
    lost = pair_by_offsets((5, 6), 0, [Change(2, 1)])
    assert (lost.first, lost.second) == ((0, 1, 2, 3, 4), (0, 1, 3, 4, 5))
    both = pair_by_offsets((6, 6), 0, [Change(2, -1), Change(4, 0)])
    assert (both.first, both.second) == ((0, 2, 3, 4, 5), (0, 1, 2, 4, 5))
    assert pair_by_offsets((3, 3), 5).first == ()


def test_drifting_clocks_are_paired_by_their_stamps() -> None:
    first = [n / 30 for n in range(200)]
    second = [n / 29.7 for n in range(198)]
    gap = drift(first, second, 0)
    assert gap == pytest.approx(197 * (1 / 29.7 - 1 / 30))
    assert needs_stamps(gap, 1 / 30, 1e-5)
    assert not needs_stamps(drift(first, first, 0), 1 / 30, 1e-5)
    pairing = pair_by_stamps(first, second, 1 / 30, 0)
    assert max(map(abs, pairing.delays)) <= 0.5 / 30 + 1e-9
    assert len(set(pairing.second)) == len(pairing.second) >= 195
    for one, other, delay in zip(pairing.first, pairing.second, pairing.delays, strict=True):
        # The clocks are set by the first pairs, which are 4 intervals apart on the average.
        assert delay == pytest.approx(second[other] - first[one], abs=5 * (1 / 29.7 - 1 / 30))


@pytest.mark.parametrize("jitter", [0.003, 0.008, 0.014])
def test_jittered_stamps_pair_the_same_moments(jitter: float) -> None:
    draw = random.Random(1)
    first, second = ([n / 30 + draw.uniform(-jitter, jitter) for n in range(60)] for _ in range(2))
    pairing = pair_by_stamps(first, second, 1 / 30, 0)
    assert len(pairing.first) >= 55
    assert (
        max(abs(one - other) for one, other in zip(pairing.first, pairing.second, strict=True)) <= 1
    )
    assert max(map(abs, pairing.delays)) < 0.9 / 30


def test_a_gap_in_the_stamps_leaves_out_one_frame() -> None:
    first = [n / 25 for n in range(12)]
    second = [n / 25 for n in range(12) if n != 5]
    pairing = pair_by_stamps(first, second, 1 / 25, 0)
    assert pairing.first == (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11)
    assert pairing.second == tuple(range(11))
    assert pairing.delays == pytest.approx([0] * 11)
