"""Textures without photos: always the same, all different, full of detail."""

import pytest
import torch
from torch import Tensor

from data.simulator.procedural_textures import draw_textures


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
