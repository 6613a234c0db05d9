"""Frames that choose: hand-made views as tensors, and the same rule in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.classical.blending import choose, disagreement, informed
from models.measurement.arrays import Array
from models.refiner.blending import choose_views


def random_image(seed: int, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


def blend(first: Tensor, second: Tensor, share: float, noise: float) -> Tensor:
    """The choice at a share where nothing is left of the fused frame, which is grey."""
    shares = torch.full((1, 1, *first.shape[1:]), share)
    views = (first[None], second[None])
    grey, strength = torch.full_like(views[0], 0.5), torch.ones_like(shares)
    return choose_views(grey, shares, (strength, 0 * strength), views, noise)[0]


def test_a_choice_is_informed_where_one_exposure_is_clearly_nearer() -> None:
    # The times' ratios 1, 1.22, 1.44 and 1.73 are shares 1/2, 0.6, 0.675 and 3/4.
    first = np.array([0.3, -0.5, 0.0, 0.3, 0.3, -0.3, 0.5196, 0.0, 1.0])
    second = np.array([-0.3, -0.5, 0.0, 0.366, 0.4323, 0.5196, 0.3, 0.9, 0.1])
    expected = [0, 0, 0, 0, 0.5, 1, 1, 1, 1]
    found = informed(first, second)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert found[:3].tolist() == [0, 0, 0]
    tensor = informed(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(tensor.numpy(), found, rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
def test_views_that_disagree_give_the_nearer_one(share: float) -> None:
    dark, light = 0.3 * random_image(1), 0.6 + 0.4 * random_image(2)
    frame = blend(dark, light, share, noise=0.01)
    torch.testing.assert_close(frame, light if share < 0.5 else dark)


def test_where_both_are_equally_near_the_frame_is_the_fused_one() -> None:
    fused, views = random_image(1)[None], (0.3 * random_image(2)[None], 0.5 + fill(0.1))
    for share in (0.0, 0.5, 0.8):
        frame = choose_views(fused, fill(share), (fill(0.0), fill(0.0)), views, 0.01)
        assert torch.equal(frame, fused)
    # Half informed, it is the mean of the fused frame and of one half way to the better view.
    half = choose_views(fused, fill(0.8), (fill(0.5), fill(0.0)), views, 0.0)
    chosen = 0.9 * views[0] + 0.1 * views[1]
    torch.testing.assert_close(half, (fused + chosen) / 2)


def test_at_both_ends_frames_are_sampled_from_the_views_alone() -> None:
    fused, views = random_image(1)[None], (0.3 * random_image(2)[None], 0.5 + fill(0.1))
    average = 0.8 * views[0] + 0.2 * views[1]
    end = choose_views(fused, fill(0.8), (fill(0.0), fill(1.0)), views, 0.0)
    torch.testing.assert_close(end, average)
    quarter = choose_views(fused, fill(0.8), (fill(0.0), fill(0.5)), views, 0.0)
    torch.testing.assert_close(quarter, (fused + average) / 2)


def fill(value: float) -> Tensor:
    return torch.full((1, 1, 32, 48), value)


def test_noisy_views_that_agree_are_averaged() -> None:
    noise, scene = 0.02, 0.2 + 0.6 * random_image(5, (64, 64))
    generator = torch.Generator().manual_seed(6)
    first, second = (
        scene + noise * torch.randn(scene.shape, generator=generator) for _ in range(2)
    )
    error = float((blend(first, second, 0.75, noise) - scene).square().mean().sqrt())
    assert error == pytest.approx(noise * 0.625**0.5, rel=0.03)
    # Told that there is no noise, it takes one view.
    error = float((blend(first, second, 0.75, 0.0) - scene).square().mean().sqrt())
    assert error > 0.95 * noise


def test_disagreement_begins_at_two_and_a_half_deviations_of_the_difference() -> None:
    noise = 0.02
    variance = 3 * 2 * noise**2  # of a difference of views, over three channels
    ratios = np.array([0.0, 2.5, 3.953, 5.0, 9.0])  # 3.953 is half way between the squares
    found = disagreement(variance * ratios**2, noise)
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-3)
    tensor = disagreement(torch.from_numpy(variance * ratios**2), noise)
    np.testing.assert_allclose(tensor.numpy(), found, rtol=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_weight_goes_from_the_average_to_the_better_view(share: float) -> None:
    squared = np.array([0.0, 1e-3, 1.0])
    weight = choose(np.full(3, share), np.ones(3), squared, 0.005)
    better = float(share > 0.5)
    assert weight[0] == share and weight[2] == better
    assert min(share, better) < weight[1] < max(share, better)
    shares = torch.full((3,), share, dtype=torch.float64)
    tensor = choose(shares, torch.ones(3), torch.from_numpy(squared), 0.005)
    np.testing.assert_allclose(tensor.numpy(), weight, rtol=1e-12)


def test_the_weight_changes_without_a_jump_where_the_better_view_does() -> None:
    time = np.linspace(0, 1, 1001)
    share = share_by_time(time)
    weight = choose(share, informed(time, time - 1), np.ones(1001), 0.005)
    assert weight[0] == 1 and weight[500] == pytest.approx(0.5) and weight[-1] == 0
    assert np.diff(weight).max() <= 0 and np.diff(weight).min() > -0.02


def share_by_time(time: Array) -> Array:
    """Share of a view exposed `time` after the frame, the other one 1 - `time` before it."""
    return (1 - time) ** 2 / (time**2 + (1 - time) ** 2)
