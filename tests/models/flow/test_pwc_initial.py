"""What an untrained PWC-Net does."""

import torch
import torch.nn.functional as F

from models.flow.pwc_initial import initialise
from models.flow_pwc import PWCNet


def untrained() -> PWCNet:
    torch.manual_seed(0)
    network = PWCNet(matching="cosine")
    initialise(network)
    return network.requires_grad_(False)


def test_it_starts_close_to_no_motion_at_every_level() -> None:
    images = torch.rand(2, 1, 3, 128, 128)
    for level in untrained()(images[0], images[1], down_to=2):
        assert float(level.flow.abs().max()) < 2


def test_a_level_upsamples_the_coarser_flow() -> None:
    network = untrained()
    above = torch.randn(1, 2, 3, 4)
    first = torch.zeros(1, 32, 6, 8)
    features = torch.zeros(1, network.moduleTwo.moduleUpfeat.in_channels, 3, 4)
    flow, _ = network.moduleTwo(first, first, (above, features))
    expected = F.interpolate(above, scale_factor=2, mode="bilinear", align_corners=False)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(flow[inner], expected[inner], rtol=0, atol=0.02)


def test_cosines_find_a_shift_without_training() -> None:
    blurred = F.avg_pool2d(torch.rand(1, 3, 136, 136), 3, stride=1)
    first = blurred[..., :128, :128] * 0.8
    second = first.roll((-8, 16), dims=(2, 3))  # by (4, -2) cells of the 2nd level
    extractor = untrained().moduleExtractor
    a, b = (F.normalize(extractor(image)[1], dim=1) for image in (first, second))
    here = (a * b.roll((2, -4), dims=(2, 3))).sum(1)[..., 8:-8, 8:-8]
    elsewhere = (a * b).sum(1)[..., 8:-8, 8:-8]
    torch.testing.assert_close(here, torch.ones_like(here))
    assert float(elsewhere.mean()) < 0.9
