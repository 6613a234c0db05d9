import numpy as np
import pytest
import torch
from torch import Tensor

from models.rig.colours import (
    ColourDifference,
    estimate_colours,
    fit_colours,
    match_colours,
)
from tests.helpers.moving_texture import Pan

GAIN, OFFSET = (1.12, 0.95, 0.88), (-0.02, 0.03, 0.0)


def shift_colours(image: Tensor) -> Tensor:
    """An image (3, H, W) as a camera with other colours takes it."""
    gain, offset = (torch.tensor(part)[:, None, None] for part in (GAIN, OFFSET))
    return (image * gain + offset).clamp(0, 1)


def moving_pair(*, contrast: float = 1.0, noise: float = 0.0) -> Tensor:
    """A pair of equal cameras."""
    views = torch.from_numpy(np.stack(Pan((10, -5), (120, 160)).views())).permute(0, 3, 1, 2)
    generator = torch.Generator().manual_seed(0)
    return views * contrast + noise * torch.randn(views.shape, generator=generator)


def to_8_bits(pair: Tensor) -> Tensor:
    return (pair.clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_known_gains_come_out_within_a_percent(noise: float) -> None:
    pair = moving_pair(contrast=0.8, noise=noise)
    found = estimate_colours([to_8_bits(torch.stack((pair[0], shift_colours(pair[1]))))])
    np.testing.assert_allclose(found.gain, GAIN, rtol=0.01)
    np.testing.assert_allclose(found.offset, OFFSET, atol=0.005)


def test_clipped_values_do_not_count() -> None:
    pair = moving_pair(contrast=1.5)
    found = estimate_colours([to_8_bits(torch.stack((pair[0], pair[1] * 0.9)))])
    np.testing.assert_allclose(found.gain, (0.9, 0.9, 0.9), rtol=0.01)


def test_equal_cameras_do_not_differ() -> None:
    found = estimate_colours([to_8_bits(moving_pair())])
    np.testing.assert_allclose(found.at_grey, (0, 0, 0), atol=0.003)


def test_matched_views_have_the_mean_colours() -> None:
    view = torch.full((3, 4, 5), 0.5)
    pair = torch.stack((view, shift_colours(view)))
    matched = match_colours(pair, ColourDifference(GAIN, OFFSET))
    torch.testing.assert_close(matched[0], matched[1])
    torch.testing.assert_close(matched[0], pair.mean(0))
    bright = match_colours(torch.ones(2, 3, 4, 5), ColourDifference((1.5, 1, 0.5), (0, 0.1, 0)))
    assert bright.max() <= 1 and bright.min() >= 0


def test_matching_makes_a_moving_pair_equal() -> None:
    pair = moving_pair(contrast=0.8)
    pair = to_8_bits(torch.stack((pair[0], shift_colours(pair[1]))))
    left = estimate_colours([match_colours(pair, estimate_colours([pair]))])
    np.testing.assert_allclose(left.at_grey, (0, 0, 0), atol=0.005)


def test_difference_at_grey_by_hand() -> None:
    difference = ColourDifference((1.1, 1.0, 0.8), (0.0, 0.05, 0.1))
    assert difference.at_grey == pytest.approx((0.1, 0.1, 0.0))


def test_a_single_grey_gives_a_gain_and_no_offset() -> None:
    first = np.full((200, 3), 0.4, np.float32)
    found = fit_colours([(first, 1.25 * first, np.ones((200, 3), bool))])
    np.testing.assert_allclose(found.gain, (1.25,) * 3, rtol=1e-4)
    np.testing.assert_allclose(found.offset, (0,) * 3, atol=1e-4)


def test_without_points_cameras_count_as_equal() -> None:
    few = np.full((20, 3), 0.4, np.float32)
    assert fit_colours([(few, 2 * few, np.ones((20, 3), bool))]) == ColourDifference()
    assert estimate_colours([]) == ColourDifference()
