"""Disagreement of the two views."""

import pytest
import torch

from models.losses.disagreement import find_disagreement


def ramp(shift: float) -> torch.Tensor:
    """(3, 8, 16) image that rises by 0.05 per column, moved right by `shift` px."""
    columns = torch.arange(16) - shift
    return (0.05 * columns).expand(3, 8, 16)


def constant_flow(*, t2b: float, b2t: float) -> torch.Tensor:
    """(1, 4, 4, 8) for one frame: horizontal displacements in px of the full size."""
    flow = torch.zeros(1, 4, 4, 8)
    flow[:, 0], flow[:, 2] = t2b / 2, b2t / 2
    return flow


def test_views_agree_along_their_true_motion() -> None:
    pair = torch.stack((ramp(-1), ramp(2)))[None]
    found = find_disagreement(pair, constant_flow(t2b=-1, b2t=2))
    assert found.difference.shape == found.seen.shape == (1, 1, 1, 8, 16)
    assert float(found.mean) == pytest.approx(0, abs=1e-6)
    # The first column lies left of t2b, the last two right of b2t.
    assert found.seen[0, 0, 0, 0].tolist() == [0] + [1] * 13 + [0] * 2


def test_a_missed_motion_is_measured_in_grey_levels() -> None:
    pair = torch.stack((ramp(-1), ramp(2)))[None]
    found = find_disagreement(pair, constant_flow(t2b=0, b2t=0))
    assert float(found.mean) == pytest.approx(3 * 0.05, abs=1e-6)
    assert torch.allclose(found.difference, torch.full((1, 1, 1, 8, 16), 0.15), atol=1e-6)


def test_instants_come_apart() -> None:
    pair = torch.stack((ramp(0), ramp(1)))[None]
    still, moved = constant_flow(t2b=0, b2t=0), constant_flow(t2b=0, b2t=1)
    # All instants of t2b come first, then those of b2t.
    flow = torch.cat((still[:, :2], moved[:, :2], still[:, 2:], moved[:, 2:]), dim=1)
    means = find_disagreement(pair, flow).difference[..., :-1].mean((0, 2, 3, 4))
    assert means.tolist() == pytest.approx([0.05, 0], abs=1e-6)


def test_nothing_seen_by_both_is_no_disagreement() -> None:
    pair = torch.stack((ramp(0), ramp(1)))[None]
    assert float(find_disagreement(pair, constant_flow(t2b=-40, b2t=40)).mean) == 0
