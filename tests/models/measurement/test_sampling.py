import cv2
import numpy as np
import pytest

from models.measurement.arrays import Luma
from models.measurement.sampling import SmoothedView, grid_spacing, sample_image


def test_sampling_is_bilinear_and_holds_the_border() -> None:
    values = np.array(((0, 1), (2, 3)), np.float32)
    x = np.array(((0.5, 1, -4, 9),), np.float32)
    y = np.array(((0.5, 0, 1, 1),), np.float32)
    np.testing.assert_allclose(sample_image(values, x, y), [(1.5, 1, 2, 3)], atol=1e-6)


def test_points_are_as_dense_as_their_number_allows() -> None:
    assert grid_spacing((540, 960), 2, 131_000) == 2
    assert grid_spacing((540, 960), 2, 33_000) == 4
    assert grid_spacing((2160, 3840), 2, 600_000) == 4


def test_a_smoothed_view_knows_its_slopes() -> None:
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


def test_between_pixels_a_view_is_right_to_hundredths_of_a_pixel() -> None:
    """Waves of 12 px, whose grey levels tell the place: of the bicubic kernel that is not true."""
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
