"""Pixels hidden from the generator."""

import pytest
import torch

from models.losses.hidden_pixels import hide_pixels


def numbered(height: int, width: int) -> torch.Tensor:
    """(1, 2, 3, H, W): every pixel has its row in red, its column in green, its view in blue."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    views = [torch.stack((rows, columns, torch.full_like(rows, view))) for view in (0, 1)]
    return torch.stack(views)[None].float()


def test_only_hidden_pixels_change_each_to_one_around_it() -> None:
    torch.manual_seed(0)
    pair = numbered(7, 9)
    seen, hidden = hide_pixels(pair, 0.5)
    assert hidden.shape == (1, 2, 1, 7, 9)
    assert torch.equal(torch.where(hidden, pair, seen), pair)
    moved = (seen - pair).abs().masked_select(hidden.expand_as(pair))
    assert moved.max() == 2
    distance = (seen - pair)[:, :, :2].abs().amax(2, keepdim=True)
    assert bool((distance[hidden] >= 1).all())
    assert torch.equal(seen[:, :, 2], pair[:, :, 2])


@pytest.mark.parametrize(("share", "low", "high"), [(0, 0, 0), (0.1, 0.08, 0.12), (1, 1, 1)])
def test_share(share: float, low: float, high: float) -> None:
    torch.manual_seed(0)
    _, hidden = hide_pixels(torch.rand(2, 2, 3, 40, 40), share)
    assert low <= hidden.float().mean() <= high


def test_all_neighbours_are_drawn() -> None:
    torch.manual_seed(0)
    pair = numbered(64, 64)
    seen, _ = hide_pixels(pair, 1)
    offsets = (seen - pair)[0, 0, :2, 2:-2, 2:-2].flatten(1).T
    assert len(offsets.unique(dim=0)) == 24


def test_views_are_hidden_apart() -> None:
    torch.manual_seed(0)
    _, hidden = hide_pixels(torch.rand(1, 2, 3, 40, 40), 0.5)
    assert not torch.equal(hidden[:, 0], hidden[:, 1])
