import pytest
import torch
from torch import nn

from models.refiner.blocks import DilatedConv2d, FusionNet


def poison_memory() -> None:
    """Leave NaN in freed memory, so that reading uninitialised memory shows."""
    for count in (1_000, 10_000, 100_000, 1_000_000):
        torch.full((count,), float("nan"))


@pytest.mark.parametrize("channels", [8, 24, 32])
@pytest.mark.parametrize("dilation", [2, 4])
def test_dilated_convolutions_learn_in_bfloat16_as_in_float32(channels: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DilatedConv2d(channels, 16, 3, 1, dilation, dilation)
    layer.to(memory_format=torch.channels_last)
    image = torch.randn(2, channels, 24, 40).to(memory_format=torch.channels_last)
    found = {}
    for lower in (False, True):
        poison_memory()
        given = image.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            (layer(given).float() * torch.linspace(-1, 2, 40)).sum().backward()
        found[lower] = (layer.weight.grad, layer.bias.grad, given.grad)
        layer.zero_grad()
    for exact, rounded in zip(found[False], found[True], strict=True):
        assert (rounded - exact).abs().max() < 0.02 * exact.abs().max()


def test_a_dilated_convolution_is_the_plain_one() -> None:
    plain, dilated = nn.Conv2d(24, 8, 3, 1, 2, 2), DilatedConv2d(24, 8, 3, 1, 2, 2)
    dilated.load_state_dict(plain.state_dict())
    image = torch.randn(1, 24, 16, 16)
    assert torch.equal(plain(image), dilated(image))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(plain(image), dilated(image), atol=0.02, rtol=0)


def test_the_network_uses_this_class_for_all_dilated_layers() -> None:
    layers = [layer for layer in FusionNet(8, 24).modules() if isinstance(layer, nn.Conv2d)]
    dilated = [layer for layer in layers if layer.dilation != (1, 1)]
    assert len(dilated) == 2
    assert all(isinstance(layer, DilatedConv2d) for layer in dilated)
