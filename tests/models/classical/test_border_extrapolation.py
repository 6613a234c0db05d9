import math

import pytest
import torch

from data.simulator.textures import load_textures
from models.classical.border_extrapolation import MARGIN, extrapolate_borders


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (9, 4)])
def test_images_are_kept_and_uniform_images_stay_uniform(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    continued = extrapolate_borders(images, 5)
    assert continued.shape == (2, 3, size[0] + 10, size[1] + 10)
    assert torch.equal(continued[..., 5:-5, 5:-5], images)
    grey = torch.full((3, *size), 0.25)
    torch.testing.assert_close(extrapolate_borders(grey, 5), torch.full_like(continued[0], 0.25))


def test_a_wave_along_the_border_fades_with_the_distance_by_half_its_wave_number() -> None:
    wave_number = 3 * math.pi / 8
    wave = torch.cos(wave_number * (torch.arange(8) + 0.5))
    continued = extrapolate_borders(wave[:, None].expand(8, 4), 6)[6:-6]
    for distance in range(1, 7):
        expected = wave * math.exp(-0.5 * wave_number * distance)
        torch.testing.assert_close(continued[:, 6 - distance], expected)
        torch.testing.assert_close(continued[:, 9 + distance], expected)


def test_extrapolation_commutes_with_flips() -> None:
    images = torch.rand(3, 6, 8)
    for axes in ((-1,), (-2,), (-2, -1)):
        torch.testing.assert_close(
            extrapolate_borders(images.flip(axes)), extrapolate_borders(images).flip(axes)
        )


def test_photos_are_extrapolated_better_than_by_repeating_the_border() -> None:
    """By at least 0.9 dB at a distance of 16 px, over all bundled photos."""
    errors = []
    for photo in load_textures(None):
        if min(photo.shape[-2:]) < 256:
            continue
        seen, true = photo[:, : 128 + 1].float(), photo[:, 128 + 16].float()
        repeated, continued = (
            seen[:, -1],
            extrapolate_borders(seen)[:, MARGIN + 128 + 16, MARGIN:-MARGIN],
        )
        errors.append([(guess - true).square().mean() for guess in (repeated, continued)])
    by_border, by_waves = torch.tensor(errors).mean(0)
    assert 10 * math.log10(by_border / by_waves) > 0.9


def test_types_are_kept_and_gradients_are_right() -> None:
    half = torch.rand(3, 4, 6).half()
    continued = extrapolate_borders(half)
    assert continued.dtype == torch.float16
    torch.testing.assert_close(
        continued.float(), extrapolate_borders(half.float()), atol=1e-3, rtol=0
    )
    images = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: extrapolate_borders(given, 3), images)
