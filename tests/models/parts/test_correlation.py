import pytest
import torch

from models.parts.correlation import correlation


def test_follows_its_definition_at_every_pixel_and_displacement():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, 3, 4, 5, generator=generator)
    second = torch.randn(2, 3, 4, 5, generator=generator)
    expected = torch.zeros(2, 25, 4, 5)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            for y in range(max(0, -dy), min(4, 4 - dy)):
                for x in range(max(0, -dx), min(5, 5 - dx)):
                    product = first[:, :, y, x] * second[:, :, y + dy, x + dx]
                    expected[:, (dy + 2) * 5 + dx + 2, y, x] = product.mean(dim=1)
    torch.testing.assert_close(correlation(first, second, radius=2), expected)


def test_displaced_features_match_at_their_displacement():
    first = torch.zeros(1, 2, 9, 9)
    second = torch.zeros(1, 2, 9, 9)
    first[:, :, 4, 4] = torch.tensor([2.0, 4.0])
    second[:, :, 1, 6] = torch.tensor([3.0, 5.0])  # (dx, dy) = (2, -3)
    volume = correlation(first, second)
    assert volume.shape == (1, 81, 9, 9)
    assert volume[0, (-3 + 4) * 9 + 2 + 4, 4, 4] == (2 * 3 + 4 * 5) / 2
    assert volume.count_nonzero() == 1


def test_one_pixel_only_meets_zeros_but_at_no_displacement():
    volume = correlation(torch.full((1, 4, 1, 1), 3.0), torch.full((1, 4, 1, 1), 2.0))
    expected = torch.zeros(81)
    expected[40] = 6
    assert torch.equal(volume.flatten(), expected)


def test_keeps_the_type():
    features = torch.ones(1, 4, 3, 3, dtype=torch.bfloat16)
    assert correlation(features, features).dtype == torch.bfloat16


def test_gradients():
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.randn(1, 2, 3, 3, dtype=torch.float64, generator=generator, requires_grad=True)
        for _ in range(2)
    ]
    assert torch.autograd.gradcheck(lambda a, b: correlation(a, b, radius=1), features)


def test_refuses_features_of_different_shapes():
    with pytest.raises(ValueError, match=r"got \(1, 2, 3, 3\) and \(1, 2, 3, 4\)"):
        correlation(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
