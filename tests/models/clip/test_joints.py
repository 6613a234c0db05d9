import pytest
import torch

from data.time_maps import scan_time
from models.clip.joints import joint_share, parts_of


def test_parts_are_captures_that_are_symmetric_about_the_joint() -> None:
    scan = scan_time(21)
    upper, lower = parts_of(scan)
    torch.testing.assert_close(upper.share + lower.share, torch.ones_like(scan))
    assert upper.share[0] == lower.share[-1] == 1
    before = torch.arange(2.0)[:, None, None, None].expand(2, 3, 21, 8)
    # b2t exposes the top row at 1, t2b of the next pair at 1 too: 1/2 of the joint's time.
    assert upper.scan_time[0] == 0.5 and upper.scan_time[-1] == -0.5
    assert upper.pair(before, before + 2)[:, 0, 0, 0].tolist() == [1, 2]
    assert lower.scan_time[-1] == 0.5
    assert lower.pair(before, before + 2)[:, 0, 0, 0].tolist() == [0, 3]


def test_parts_of_a_scan_from_the_bottom_are_mirrored() -> None:
    scan = scan_time(21)
    for part, mirrored in zip(parts_of(scan), parts_of(scan.flip(0)), strict=True):
        torch.testing.assert_close(mirrored.share, part.share.flip(0))


@pytest.mark.parametrize("t", [0.25, 0.75])
def test_rows_are_of_the_joint_where_the_pair_would_extrapolate(t: float) -> None:
    share = joint_share(scan_time(101), t)
    # The middle half of the rows has both exposures on the other side of t.
    assert share[:22].max() == 0 and share[79:].max() == 0
    assert share[29:72].min() == 1
    assert share[25] == pytest.approx(0.5)


def test_mid_time_is_the_pairs_and_the_ends_are_the_joints() -> None:
    scan = scan_time(11)
    assert not joint_share(scan, 0.5).any()
    assert joint_share(scan, 0).min() == joint_share(scan, 1).min() == 1
