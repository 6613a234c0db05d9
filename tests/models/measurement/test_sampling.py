import cv2
import numpy as np
import pytest

from models.measurement.arrays import Luma
from models.measurement.sampling import (
    SmoothedView,
    area_resize,
    box_mean,
    grid_spacing,
    pixel_grid,
    sample_image,
)


def test_sampling_is_bilinear_and_repeats_the_border() -> None:
    values = np.array(((0, 1), (2, 3)), np.float32)
    x = np.array(((0.5, 1, -4, 9),), np.float32)
    y = np.array(((0.5, 0, 1, 1),), np.float32)
    np.testing.assert_allclose(sample_image(values, x, y), [(1.5, 1, 2, 3)], atol=1e-6)


def test_a_pixel_grid_gives_every_nth_pixel() -> None:
    x, y = pixel_grid((3, 5), 2)
    np.testing.assert_array_equal(x, [(0, 2, 4)] * 2)
    np.testing.assert_array_equal(y, [(0, 0, 0), (2, 2, 2)])
    assert x.dtype == y.dtype == np.float32


def test_means_over_areas_and_windows() -> None:
    values = np.array(((0, 1, 2, 3), (4, 5, 6, 7)), np.float32)
    np.testing.assert_allclose(area_resize(values, (2, 1)), [(2.5, 4.5)])
    np.testing.assert_allclose(box_mean(values, 3)[0], (5 / 3, 7 / 3, 10 / 3, 4), rtol=1e-6)


def test_grid_spacing_grows_with_the_image() -> None:
    assert grid_spacing((540, 960), 2, 131_000) == 2
    assert grid_spacing((540, 960), 2, 33_000) == 4
    assert grid_spacing((2160, 3840), 2, 600_000) == 4


def test_a_smoothed_view_gives_levels_and_slopes() -> None:
    rows, columns = np.mgrid[:40, :50]
    view = SmoothedView.of((3 * columns + 2 * rows).astype(np.uint8))
    x, y = np.float32([[20, 20.25]]), np.float32([[10, 10]])
    level, slopes = view.at(x, y)
    np.testing.assert_allclose(level, [[80, 80.75]], atol=0.05)
    np.testing.assert_allclose(slopes, [[(3, 2), (3, 2)]], atol=1e-4)


@pytest.mark.parametrize("size", [(2, 1), (2, 2), (7, 3)])
def test_a_view_may_have_any_size(size: tuple[int, int]) -> None:
    view: Luma = np.full(size, 77, np.uint8)
    smoothed = SmoothedView.of(view)
    np.testing.assert_allclose(smoothed.level, view, atol=1e-4)
    place = np.zeros((1, 1), np.float32)
    np.testing.assert_allclose(smoothed.slopes(place, place), np.zeros((1, 1, 2)), atol=1e-4)


def test_sampling_a_smoothed_view_is_accurate_to_hundredths_of_a_pixel() -> None:
    """Grey levels of a wave of 12 px encode the position; bicubic sampling is less accurate."""
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(64, dtype=np.float32) / 12)
    view = SmoothedView(np.broadcast_to(wave, (16, 64)).astype(np.float32))
    x = np.arange(12, 52, 1 / 32, dtype=np.float32)[None]
    y = np.full_like(x, 8)
    level, _ = view.at(x, y)
    bicubic = sample_image(view.level, x, y, cv2.INTER_CUBIC)
    true = 128 + 100 * np.sin(2 * np.pi * x / 12)
    error, of_bicubic = (
        np.sqrt(((found - true) ** 2).mean()) / (100 * 2 * np.pi / 12) for found in (level, bicubic)
    )
    assert error < 0.005
    assert of_bicubic > 0.02
