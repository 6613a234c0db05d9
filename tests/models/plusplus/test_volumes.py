import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.plusplus import volumes
from models.plusplus.volumes import CHANNELS, look_up, prepare_volumes, volume_bytes


def features(height: int, width: int, batch: int = 1) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, 2, 12, height, width)


def test_values_are_products_with_pooled_features_zero_outside() -> None:
    views = features(16, 18)
    first, second = views[0]
    still = torch.zeros(1, 2, 16, 18)
    flow = still.clone()
    flow[:, 0], flow[:, 1] = 2, -1  # (dx, dy)
    found = look_up(prepare_volumes(views), flow, still)[0]
    assert found.shape == (CHANNELS, 16, 18)

    def channel(level: int, dx: int, dy: int) -> int:
        return level * 49 + (dx + 3) * 7 + dy + 3

    expected = first[:, 6, 4] @ second[:, 6 - 1 + 3, 4 + 2 - 2] / 12**0.5
    torch.testing.assert_close(found[channel(0, -2, 3), 6, 4], expected)
    pooled = F.avg_pool2d(second, 2)
    # Level 1 is sampled at half the coordinates: x = (4 + 2) / 2 + 1, y = (7 - 1) / 2.
    expected = first[:, 7, 4] @ pooled[:, 3, 4] / 12**0.5
    torch.testing.assert_close(found[channel(1, 1, 0), 7, 4], expected)
    assert found[channel(0, 0, -3), 3, 4] == 0  # y = 3 - 1 - 3 lies above the image
    # The other direction comes second.
    expected = second[:, 5, 9] @ first[:, 4, 11] / 12**0.5
    torch.testing.assert_close(found[CHANNELS // 2 + channel(0, 2, -1), 5, 9], expected)


@pytest.mark.parametrize(("height", "width", "reach"), [(18, 35, 3.0), (17, 20, 60.0)])
def test_computed_where_needed_equals_stored(height: int, width: int, reach: float) -> None:
    """With flow out of the image, of two instants of two pairs."""
    views = features(height, width, batch=2)
    flows = [reach * torch.randn(4, 2, height, width, requires_grad=True) for _ in range(2)]
    found = []
    for stored in (True, False):
        values = look_up(prepare_volumes(views, stored=stored), *flows)
        gradient = torch.autograd.grad(values.square().sum(), flows)
        found.append((values, *gradient))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_large_volumes_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    views = features(16, 16)
    assert volume_bytes(views.shape) == 2 * 4 * 256**2 * (1 + 1 / 4 + 1 / 16 + 1 / 64)
    assert len(prepare_volumes(views).from_t2b.stored) == 4
    monkeypatch.setattr(volumes, "STORED_BYTES", 1e5)
    assert prepare_volumes(views).from_t2b.stored == ()


def test_no_flow_is_no_index() -> None:
    """NaN, of a diverged training, ends as NaN elsewhere, not in a crash here."""
    flow = torch.full((1, 2, 16, 16), torch.nan)
    for stored in (True, False):
        assert (
            look_up(prepare_volumes(features(16, 16), stored=stored), flow, flow).isfinite().all()
        )
