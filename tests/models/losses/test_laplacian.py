import pytest
import torch
import torch.nn.functional as F

from models.losses.laplacian import laplacian_distance


def test_constant_differences_are_in_no_band() -> None:
    images = torch.rand(1, 3, 64, 64)
    assert float(laplacian_distance(images + 0.25, images)) < 1e-5


def test_a_checkerboard_is_all_in_the_first_band() -> None:
    """The kernel's response at the highest frequency is 0: nothing is left for the low-pass."""
    board = (torch.arange(64)[:, None] + torch.arange(96)).remainder(2) * 2.0 - 1
    images = board.expand(2, 3, 64, 96)
    assert float(laplacian_distance(0.5 * images, torch.zeros(1, 3, 64, 96))) == pytest.approx(0.5)


def plain_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Both pyramids, with the kernel in two dimensions."""
    row = torch.tensor((1.0, 4, 6, 4, 1)) / 16
    kernel = torch.outer(row, row).expand(3, 1, 5, 5)

    def smooth(images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)

    total, levels = 0.0, [first, second]
    for _ in range(5):
        bands = []
        for index, level in enumerate(levels):
            spread = torch.zeros_like(level)
            spread[..., ::2, ::2] = levels[index] = smooth(level)[..., ::2, ::2]
            bands.append(level - 4 * smooth(spread))
        total += float((bands[0] - bands[1]).abs().mean())
    return total


def test_equals_both_pyramids() -> None:
    first, second = torch.rand(2, 2, 3, 64, 96)
    expected = plain_distance(first, second)
    assert float(laplacian_distance(first, second)) == pytest.approx(expected, rel=1e-5)


def test_targets_broadcast_and_gradient_flows() -> None:
    estimate = torch.rand(2, 2, 3, 64, 64, requires_grad=True)
    target = torch.rand(2, 1, 3, 64, 64)
    loss = laplacian_distance(estimate, target)
    expected = (laplacian_distance(part, target[:, 0]) for part in estimate.detach().unbind(1))
    torch.testing.assert_close(loss.detach(), sum(expected) / 2)
    loss.backward()
    assert estimate.grad is not None and estimate.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(32, 64), (80, 64)])
def test_sizes_it_cannot_take(size: tuple[int, int]) -> None:
    images = torch.rand(1, 3, *size)
    with pytest.raises(ValueError, match=r"Lap needs sides .* 32 from 64 on, got \d+x64"):
        laplacian_distance(images, images)
