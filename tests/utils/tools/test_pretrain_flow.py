import numpy as np
import pytest
import torch

from models.generator import Generator
from models.parts.generator_blocks import FlowBlock
from utils.errors import InputError
from utils.tools.pretrain_flow import Lesson, _draw, _error, _shifted, pretrain, teach, widen


def photos(count: int = 2, side: int = 300) -> list[torch.Tensor]:
    noise = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (side, side), mode="bilinear")
    return list((255 * smooth).to(torch.uint8))


def test_a_widened_block_computes_what_the_narrow_one_does() -> None:
    torch.manual_seed(0)
    narrow, wide = FlowBlock(36, 8, 3, 1), FlowBlock(36, 24, 3, 1)
    widen(narrow, wide)
    inputs = torch.rand(2, 36, 32, 32)
    torch.testing.assert_close(wide(inputs), narrow(inputs), rtol=1e-4, atol=1e-5)
    wide(inputs).square().sum().backward()
    assert float(wide.conv1.weight.grad[16:].abs().sum()) > 0  # the further channels can learn


def test_shifted_views_are_displaced_by_the_shift() -> None:
    shift = torch.tensor([[4.0, -2.0]]).repeat(16, 1)
    first, second = _shifted(photos(), shift, 1, np.random.default_rng(0))
    # Content at (x, y) of the first view is at (x + 4, y - 2) of the second.
    torch.testing.assert_close(second[:, :, :-2, 4:], first[:, :, 2:, :-4], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 4])
def test_the_error_is_that_of_velocity_times_offset_at_the_blocks_scale(scale: int) -> None:
    lesson = Lesson(3, 4.0, 4.0, 1, timed=True)
    inputs, velocity, offsets = _draw(photos(), 4.0, scale, lesson, np.random.default_rng(0))
    right = (velocity * scale / 2).repeat(1, 6)[:, :, None, None].expand(-1, -1, 24, 24)
    assert float(_error(lambda _: right, (inputs, velocity, offsets), scale)) < 2e-3
    nothing = float(_error(lambda _: 0 * right, (inputs, velocity, offsets), scale))
    lengths = (velocity[:, None] * offsets[:, :, None]).norm(dim=2).mean()
    assert nothing == pytest.approx(float(lengths), rel=1e-2)


def test_a_lesson_changes_the_block_and_leaves_its_scale() -> None:
    torch.manual_seed(0)
    block = Generator(width=0.25).get_submodule("flow_net.block2")
    before = block.conv1.weight.detach().clone()
    teach(block, photos(), Lesson(2, 2.0, 2.0, 2, timed=False), np.random.default_rng(0))
    assert block.scale == 2
    assert not torch.equal(block.conv1.weight, before)


def test_the_wired_generator_leaves_its_coarsest_flow_at_zero() -> None:
    torch.manual_seed(0)
    generator = Generator(width=0.25)
    pretrain(generator, photos(), [Lesson(3, 2.0, 2.0, 2, timed=True)])
    offsets = torch.rand(1, 6, 64, 64) - 0.5
    flows = generator(torch.rand(1, 2, 3, 64, 64), offsets).flows
    assert torch.equal(flows[0], torch.zeros_like(flows[0]))
    assert float(flows[3].detach().abs().sum()) > 0
    still = generator(torch.rand(1, 2, 3, 64, 64), torch.zeros_like(offsets)).flows
    assert torch.equal(still[3], torch.zeros_like(still[3]))


def test_small_photos_are_refused() -> None:
    with pytest.raises(InputError, match="at least one of 256 px either way, got none"):
        pretrain(Generator(width=0.25), photos(side=200), [])
