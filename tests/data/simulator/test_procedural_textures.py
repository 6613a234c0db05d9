"""Textures without photos: always the same, all different, full of detail."""

import numpy as np
import pytest
import torch
from torch import Tensor

from data.simulator.procedural_textures import draw_outline, draw_textures


@pytest.fixture(scope="module")
def five() -> list[Tensor]:
    return draw_textures(5)


def test_textures_depend_on_their_number_alone(five: list[Tensor]) -> None:
    first, again = five, draw_textures(4)
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again, strict=True))
    assert not torch.equal(first[0], first[4])


def test_textures_are_rgb_and_have_detail_everywhere(five: list[Tensor]) -> None:
    for texture in five[:4]:
        assert texture.shape == (3, 720, 1080)
        assert texture.dtype == torch.uint8
        tiles = texture.float().unfold(1, 180, 180).unfold(2, 180, 180)
        assert float(tiles.std((-1, -2)).amax(0).min()) > 1
        assert float(texture.float().std()) > 8


def test_none_are_drawn_unless_asked_for() -> None:
    assert draw_textures(0) == []


@pytest.mark.parametrize("seed", range(24))
def test_outlines_are_antialiased_and_stay_off_the_border(seed: int) -> None:
    height, width = 60, 90
    opacity = draw_outline(np.random.default_rng(seed), height, width)
    assert tuple(opacity.shape) == (height, width)
    for border in (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]):
        assert not border.any()
    inside, edge = int((opacity == 1).sum()), int(((opacity > 0) & (opacity < 1)).sum())
    assert inside > 0.05 * height * width
    assert 30 < edge < 0.25 * height * width
    assert float(opacity.diff(dim=0).abs().max()) < 0.95


def test_outlines_differ_from_seed_to_seed() -> None:
    areas = {float(draw_outline(np.random.default_rng(seed), 60, 90).sum()) for seed in range(10)}
    assert len(areas) == 10
