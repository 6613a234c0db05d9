"""Textured planes: how they are sampled and what part of an image they cover."""

import pytest
import torch
from torch import Tensor

from data.simulator.layers import Layer, Window
from data.simulator.trajectories import Motion, shift_and_scale


def shifts(*amounts: float, rows: int) -> Tensor:
    """(K, rows, 3, 3) homographies that move sensor pixels left by the given amounts."""
    each = torch.stack([shift_and_scale((-amount, 0)) for amount in amounts])
    return each[:, None].expand(-1, rows, -1, -1)


def layer(texture: Tensor) -> Layer:
    return Layer(texture, shift_and_scale((0, 0)), Motion.at_rest())


def test_a_window_knows_its_place_in_another() -> None:
    assert Window(12, 25, 3, 4).within(Window(10, 20, 30, 40)) == (slice(2, 5), slice(5, 9))


def test_each_row_is_sampled_with_its_own_homography() -> None:
    texture = torch.rand(3, 2, 8, generator=torch.Generator().manual_seed(0))
    per_row = torch.stack([shift_and_scale((1, 0)), shift_and_scale((2.5, 0))])[None]
    (image,) = layer(texture).sample(per_row, Window(0, 0, 2, 4))
    torch.testing.assert_close(image[:, 0], texture[:, 0, 1:5])
    torch.testing.assert_close(image[:, 1], (texture[:, 1, 2:6] + texture[:, 1, 3:7]) / 2)


def test_objects_are_transparent_beyond_their_texture_and_backgrounds_mirrored() -> None:
    texture = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(0))
    window = Window(0, -2, 3, 2)
    homographies = shifts(0.0, rows=3)
    assert not layer(texture).sample(homographies, window).any()
    (mirrored,) = layer(texture[:3]).sample(homographies, window)
    torch.testing.assert_close(mirrored, texture[:3, :, 1:].flip(-1))


def test_footprint_holds_the_object_in_every_image() -> None:
    thing = layer(torch.ones(4, 11, 11))
    homographies = shifts(20.0, 50.0, rows=61)
    whole = Window(0, 0, 61, 81)
    assert thing.footprint(homographies, whole) == Window(0, 19, 12, 43)
    assert thing.footprint(homographies, Window(0, 30, 61, 10)) == Window(0, 30, 12, 10)
    rgba = thing.sample(homographies, whole)
    touched = (rgba[:, 3].amax(0) > 1e-3).nonzero()
    assert touched.amin(0).tolist() == [0, 20]
    assert touched.amax(0).tolist() == [10, 60]


@pytest.mark.parametrize("missed", [Window(20, 0, 61, 81), Window(0, 0, 61, 10)])
def test_footprint_is_none_where_the_object_misses(missed: Window) -> None:
    thing = layer(torch.ones(4, 11, 11))
    assert thing.footprint(shifts(20.0, rows=61), missed) is None


def test_footprint_of_a_background_is_the_whole_window() -> None:
    window = Window(5, 6, 7, 8)
    assert layer(torch.ones(3, 11, 11)).footprint(shifts(900.0, rows=7), window) == window
