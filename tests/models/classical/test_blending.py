"""Frames that choose: hand-made views as tensors, and the same rule in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.classical.blending import SEAM, better_view, choose, disagreement, narrow_seams
from models.parts.generator_layers import resize
from models.refiner.choosing import choose_views
from models.refiner.cues import MotionCues

CELL = 4


def cues(preference: Tensor, lead: float = 0.0) -> MotionCues:
    """Cues of one frame with this preference (h, w) for the first view."""
    size = preference.shape
    offset = torch.stack((torch.full(size, -lead / 2), torch.full(size, lead / 2)))[None]
    zeros = torch.zeros(1, 4, *size)
    return MotionCues(zeros, zeros, zeros, offset, preference[None, None])


def blend(first: Tensor, second: Tensor, known: MotionCues, noise: float) -> Tensor:
    return choose_views(known, first[None], second[None], noise)[0]


def random_image(seed: int, size: tuple[int, int] = (32, 48)) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("preference", [0.0, 0.4, -0.4, -3.0])
def test_views_that_disagree_give_one_of_them(preference: float) -> None:
    dark, light = 0.3 * random_image(1), 0.6 + 0.4 * random_image(2)
    frame = blend(dark, light, cues(torch.full((8, 12), preference)), noise=0.01)
    torch.testing.assert_close(frame, light if preference < 0 else dark)


def test_every_pixel_of_different_pictures_is_near_one_of_them() -> None:
    first, second = random_image(3), random_image(4)
    noise = 0.01
    frame = blend(first, second, cues(torch.full((8, 12), 0.2)), noise)
    distances = [(frame - view).square().sum(0).sqrt() for view in (first, second)]
    # A mixture differs from either view by no more than noise explains of their difference.
    assert torch.minimum(*distances).max() < 5 * noise * 6**0.5 / 2
    average = torch.sigmoid(torch.tensor(0.2)) * (first - second) + second
    assert (average - first).square().sum(0).sqrt().max() > 0.5


def test_noisy_views_that_agree_are_averaged() -> None:
    noise, scene = 0.02, 0.2 + 0.6 * random_image(5, (64, 64))
    generator = torch.Generator().manual_seed(6)
    first, second = (
        scene + noise * torch.randn(scene.shape, generator=generator) for _ in range(2)
    )
    frame = blend(first, second, cues(torch.zeros(16, 16)), noise)
    error = float((frame - scene).square().mean().sqrt())
    assert error == pytest.approx(noise / 2**0.5, rel=0.03)
    # Told that there is no noise, it takes one view.
    error = float((blend(first, second, cues(torch.zeros(16, 16)), 0.0) - scene).square().mean())
    assert error**0.5 > 0.9 * noise


def test_seams_are_at_most_two_pixels_wide() -> None:
    preference = torch.full((8, 12), 3.0)
    preference[:, 6:] = -3.0
    dark, light = torch.zeros(3, 32, 48), torch.ones(3, 32, 48)
    row = blend(dark, light, cues(preference), noise=0.0)[0, 16]
    assert torch.equal(row[:23], torch.zeros(23)) and torch.equal(row[25:], torch.ones(23))
    assert 0 < row[23] < row[24] < 1
    assert int(((row > 0) & (row < 1)).sum()) == SEAM
    # The same seam in NumPy, from cells enlarged to pixels.
    shares = resize((preference > 0).float()[None, None], CELL)[0, 0].numpy()
    np.testing.assert_allclose(1 - narrow_seams(shares, CELL)[16], row.numpy(), atol=1e-6)


def test_of_equally_near_exposures_the_earlier_counts() -> None:
    preference = np.zeros(3, np.float32)
    assert better_view(preference, np.array([0.4, 0.0, -0.4])).tolist() == [True, True, False]
    # But a clear preference counts more.
    assert better_view(preference - 0.5, np.array([0.4, 0.0, -0.4])).tolist() == [False] * 3
    assert better_view(preference + 0.5, np.array([0.4, 0.0, -0.4])).tolist() == [True] * 3


def test_disagreement_begins_at_two_and_a_half_deviations_of_the_difference() -> None:
    noise = 0.02
    variance = 3 * 2 * noise**2  # of a difference of views, over three channels
    ratios = np.array([0.0, 2.5, 3.953, 5.0, 9.0])  # 3.953 is half way between the squares
    found = disagreement(variance * ratios**2, noise)
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, 1], atol=1e-3)
    tensor = disagreement(torch.from_numpy(variance * ratios**2), noise)
    np.testing.assert_allclose(tensor.numpy(), found, rtol=1e-12)


def test_the_weight_goes_from_the_average_to_the_better_view() -> None:
    share, better = np.full(3, 0.3), np.ones(3)
    squared = np.array([0.0, 1e-3, 1.0])
    weight = choose(share, better, squared, 0.005)
    assert weight[0] == 0.3 and 0.3 < weight[1] < 1 and weight[2] == 1
