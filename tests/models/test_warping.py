from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.warping import Padding, backward_warp, bicubic_warp, prepare_canvas

REFERENCES = Path(__file__).parents[1] / "references"


def _warped(image: Tensor, flow: Tensor) -> Tensor:
    return backward_warp(image, flow).warped


def _released(image: Tensor, flow: Tensor) -> Tensor:
    return backward_warp(image, flow, "released").warped


def constant_flow(dx: float, dy: float, height: int, width: int) -> Tensor:
    return torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (37, 29), (541, 963)])
def test_aligned_zero_flow_is_the_identity_to_the_bit(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    warped, valid = backward_warp(image, torch.zeros(1, 2, *size))
    assert torch.equal(warped, image)
    assert torch.equal(valid, torch.ones(1, 1, *size))


@pytest.mark.parametrize(("dx", "dy"), [(3, -2), (-5, 0), (0, 7), (40, 40)])
def test_aligned_whole_pixel_flow_shifts_to_the_bit(dx: int, dy: int) -> None:
    height, width = 23, 31
    image = torch.rand(1, 3, height, width)
    warped, valid = backward_warp(image, constant_flow(dx, dy, height, width))
    rows = torch.arange(height) + dy
    columns = torch.arange(width) + dx
    clamped = image[:, :, rows.clamp(0, height - 1)][..., columns.clamp(0, width - 1)]
    assert torch.equal(warped, clamped)
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    assert torch.equal(valid[0, 0].bool(), inside)


def test_aligned_interpolates_bilinearly() -> None:
    image = torch.tensor([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]])
    warped, valid = backward_warp(image[None, None], constant_flow(0.25, 0.5, 3, 4))
    # x + 0.25 adds 0.25, y + 0.5 adds 2, and the last column and row stay on the border.
    expected = torch.tensor(
        [[2.25, 3.25, 4.25, 5.0], [6.25, 7.25, 8.25, 9.0], [8.25, 9.25, 10.25, 11.0]]
    )
    torch.testing.assert_close(warped[0, 0], expected)
    assert valid[0, 0].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets PyTorch's threads, for the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("rows", [1, 7, 12, 544])  # of which 5 threads share 1, 1, 4 and 4 bands
def test_however_many_threads_sample_an_image_the_result_is_the_same(
    rows: int, threads: Callable[[int], None]
) -> None:
    image, flow = torch.rand(1, 3, rows, 40), 9 * torch.randn(1, 2, rows, 40)
    results = []
    for count in (1, 5):
        threads(count)
        leaves = [image.clone().requires_grad_(), flow.clone().requires_grad_()]
        warped = [warp(*leaves) for warp in (_warped, bicubic_warp, _released)]
        sum(part.square().sum() for part in warped).backward()
        results.append([*warped, *(leaf.grad for leaf in leaves)])
    for one, several in zip(*results, strict=True):
        torch.testing.assert_close(several, one, rtol=1e-4, atol=1e-5)
    for one, several in zip(*(result[:3] for result in results), strict=True):
        assert torch.equal(several, one)


def test_far_outside_flow_has_no_gradient() -> None:
    image = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    flow = constant_flow(40.3, -70.2, 5, 6).double().clone().requires_grad_()
    backward_warp(image, flow).warped.square().sum().backward()
    assert flow.grad is not None and not flow.grad.any()


@pytest.mark.parametrize("sampling", ["aligned", "released"])
def test_flow_that_is_no_number_ends_no_process(sampling: str) -> None:
    image = torch.rand(1, 3, 64, 64)
    flow = torch.zeros(1, 2, 64, 64)
    flow[0, 0, 5, 7] = float("nan")
    for warp in (
        lambda f: backward_warp(image, f, sampling).warped,
        lambda f: bicubic_warp(image, f),
    ):
        moved = flow.clone().requires_grad_()
        warp(moved).sum().backward()
        assert moved.grad is not None and moved.grad[0, 1, 0, 0].isfinite()


def test_canvas_goes_on_with_the_border_up_to_powers_of_two() -> None:
    image = torch.rand(2, 3, 5, 6)
    ground = prepare_canvas(image).ground
    assert ground.shape == (2, 3, 8, 8)
    assert torch.equal(ground, F.pad(image, (0, 2, 0, 3), mode="replicate"))
    assert prepare_canvas(image, exact=False).ground is image


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_inexact_sampling_is_off_by_rounding_alone(padding: Padding) -> None:
    generator = torch.Generator().manual_seed(7)
    image = torch.rand(1, 3, 37, 29, generator=generator)
    flow = 20 * torch.randn(1, 2, 37, 29, generator=generator)
    exact = backward_warp(image, flow, padding=padding)
    fast = backward_warp(image, flow, padding=padding, exact=False)
    torch.testing.assert_close(fast.warped, exact.warped, rtol=0, atol=1e-4)
    assert torch.equal(fast.valid, exact.valid)


def test_aligned_zero_padding_blanks_what_lies_outside() -> None:
    image = torch.rand(1, 2, 5, 6) + 1
    flow = constant_flow(2.5, 0.0, 5, 6)
    warped, valid = backward_warp(image, flow, padding="zeros")
    assert torch.equal(warped == 0, (valid == 0).expand_as(warped))
    assert int(valid.sum()) == 5 * 3


def test_released_matches_the_reference() -> None:
    arrays = np.load(REFERENCES / "flow_reversal.npz")
    image, flow, expected = (
        torch.from_numpy(arrays[name]) for name in ("image", "flow_t0", "warped")
    )
    warped, _ = backward_warp(image, flow, "released")
    torch.testing.assert_close(warped, expected, rtol=0, atol=1e-5)


def test_released_zero_flow_blacks_out_exactly_the_outermost_ring() -> None:
    warped, valid = backward_warp(torch.ones(1, 1, 6, 8), torch.zeros(1, 2, 6, 8), "released")
    expected = torch.zeros(6, 8)
    expected[1:-1, 1:-1] = 1
    assert torch.equal(valid[0, 0], expected)
    assert torch.equal(warped[0, 0], expected)


@pytest.mark.parametrize("sampling", ["aligned", "released"])
def test_gradients(sampling: str) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    # Away from whole pixels, where bilinear interpolation has kinks.
    flow = 0.3 + 0.4 * torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=generator)
    flow.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, f: backward_warp(i, f, sampling).warped, (image, flow)
    )


def test_half_precision_keeps_its_type_and_whole_pixels() -> None:
    image = torch.rand(1, 3, 40, 600).to(torch.bfloat16)
    warped, valid = backward_warp(image, constant_flow(1, 0, 40, 600).to(torch.bfloat16))
    assert warped.dtype == valid.dtype == torch.bfloat16
    assert torch.equal(warped[..., :-1], image[..., 1:])


def test_wrong_shape_and_unknown_rule_are_refused() -> None:
    image = torch.rand(1, 3, 4, 5)
    with pytest.raises(ValueError, match=r"flow must be \(1, 2, 4, 5\).*got \(1, 2, 5, 4\)"):
        backward_warp(image, torch.zeros(1, 2, 5, 4))
    with pytest.raises(ValueError, match="'aligned' or 'released', got 'bicubic'"):
        backward_warp(image, torch.zeros(1, 2, 4, 5), "bicubic")  # type: ignore[arg-type]


def test_bicubic_reproduces_pixels_and_quadratics_between_them() -> None:
    x = torch.arange(12.0)
    image = (0.02 * x**2 - 0.1 * x + 0.3).expand(1, 1, 5, 12).contiguous()
    still = bicubic_warp(image, constant_flow(0, 0, 5, 12))
    torch.testing.assert_close(still, image, atol=1e-6, rtol=0)
    half = bicubic_warp(image, constant_flow(0.5, 0, 5, 12))[..., 2:-3]
    between = (x + 0.5)[2:-3]
    expected = 0.02 * between**2 - 0.1 * between + 0.3
    # PyTorch's kernel (a = -0.75) is not exact on quadratics; bilinear sampling errs by 0.005.
    assert (half - expected.expand_as(half)).abs().max() < 3e-3


def test_bicubic_is_clamped_to_the_border_and_keeps_its_type() -> None:
    image = torch.rand(1, 2, 6, 7, dtype=torch.bfloat16)
    outside = bicubic_warp(image, constant_flow(-50, 0, 6, 7).bfloat16())
    assert outside.dtype == torch.bfloat16
    torch.testing.assert_close(outside, image[..., :1].expand_as(image), atol=1e-2, rtol=0)
    with pytest.raises(ValueError, match=r"flow must be \(1, 2, 6, 7\)"):
        bicubic_warp(image, torch.zeros(1, 2, 7, 6))


@pytest.mark.parametrize("sampling", ["aligned", "released"])
def test_a_part_of_the_flow_gives_that_part_of_the_warped_image(sampling: str) -> None:
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(2, 3, 14, 19, generator=generator)
    flow = 8 * torch.randn(2, 2, 14, 19, generator=generator)
    part = (..., slice(3, 11), slice(6, 19))
    whole = backward_warp(image, flow, sampling)
    found = backward_warp(image, flow[part], sampling, corner=(3, 6))
    torch.testing.assert_close(found.warped, whole.warped[part])
    assert torch.equal(found.valid, whole.valid[part])


def test_bicubic_part_of_the_flow_likewise() -> None:
    generator = torch.Generator().manual_seed(6)
    image = torch.rand(1, 3, 14, 19, generator=generator)
    flow = 8 * torch.randn(1, 2, 14, 19, generator=generator)
    part = (..., slice(3, 11), slice(6, 19))
    found = bicubic_warp(image, flow[part], (3, 6))
    torch.testing.assert_close(found, bicubic_warp(image, flow)[part])
