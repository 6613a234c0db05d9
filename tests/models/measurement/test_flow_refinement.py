import cv2
import numpy as np
import pytest
import skimage.data

from models.flow.dis import search_flow, to_luma
from models.measurement import flow_refinement
from models.measurement.arrays import Array, Luma
from models.measurement.flow_refinement import refine_flow
from models.measurement.sampling import SmoothedView

SIZE = (120, 160)
INSIDE = (slice(8, -8), slice(8, -8))


def photo(shift: tuple[float, float] = (0.0, 0.0)) -> Luma:
    """A photo (H, W), shifted by (x, y) px, resampled from four times its size."""
    luma = to_luma(np.asarray(skimage.data.astronaut(), np.float32) / 255)[:480]
    large = cv2.GaussianBlur(cv2.resize(luma, None, fx=2, fy=2).astype(np.float32), (0, 0), 3)
    place = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32) + np.float32(10)
    x, y = 4 * (place[1] - shift[0]), 4 * (place[0] - shift[1])
    return np.round(cv2.remap(large, x, y, cv2.INTER_LINEAR)).astype(np.uint8)


def refined(flow: Array, first: Luma, second: Luma) -> Array:
    return refine_flow(flow, SmoothedView.of(first), SmoothedView.of(second))


@pytest.mark.parametrize("shift", [(0.3, -0.4), (-0.5, 0.2)])
def test_a_shift_of_a_fraction_of_a_pixel_is_found(shift: tuple[float, float]) -> None:
    found = refined(np.zeros((*SIZE, 2), np.float32), photo(), photo(shift))
    error = np.hypot(*(found - np.float32(shift))[INSIDE].T)
    assert np.median(error) < 0.08


def test_refinement_reduces_the_error_of_a_search() -> None:
    shift = np.float32((6.3, -3.6))
    first, second = photo(), photo((6.3, -3.6))
    searched = search_flow(first, second)
    before, after = (
        np.hypot(*(flow - shift)[16:-16, 16:-16].T).mean()
        for flow in (searched, refined(searched, first, second))
    )
    assert after < 0.7 * before


def test_flow_stays_in_images_without_texture() -> None:
    flat = np.full(SIZE, 90, np.uint8)
    flow = np.random.default_rng(0).normal(size=(*SIZE, 2)).astype(np.float32)
    np.testing.assert_array_equal(refined(flow, flat, flat), flow)


def test_flow_changes_by_one_pixel_at_most() -> None:
    flow = np.zeros((*SIZE, 2), np.float32)
    moved = np.hypot(*refined(flow, photo(), photo((2.0, 1.5))).T)
    assert 0.5 < moved.max() <= 1 + 1e-5


def test_flow_out_of_the_image_stays() -> None:
    flow = np.full((*SIZE, 2), (500, 0), np.float32)
    np.testing.assert_array_equal(refined(flow, photo(), photo()), flow)


def test_refinements_are_interpolated_between_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flow_refinement, "_SPACING", 8)
    found = refined(np.zeros((*SIZE, 2), np.float32), photo(), photo((0.6, -0.4)))
    for axis in (0, 1):
        bends = np.abs(np.diff(found, 2, axis=axis)).max(axis=(1 - axis, 2))
        at_points = np.arange(1, SIZE[axis] - 1) % 8 == 0
        assert bends[~at_points].max() < 1e-6 < 1e-2 < bends[at_points].max()


@pytest.mark.parametrize("size", [(2, 1), (3, 2), (5, 40)])
def test_images_may_have_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    views = [rng.integers(0, 256, size).astype(np.uint8) for _ in range(2)]
    found = refined(np.zeros((*size, 2), np.float32), *views)
    assert found.shape == (*size, 2) and found.dtype == np.float32 and np.isfinite(found).all()


def test_views_may_differ_in_brightness_and_contrast() -> None:
    darker = np.round(0.8 * photo((0.3, -0.4)).astype(np.float32) + 15).astype(np.uint8)
    zero = np.zeros((*SIZE, 2), np.float32)
    alike, differing = (refined(zero, photo(), other) for other in (photo((0.3, -0.4)), darker))
    assert np.median(np.hypot(*(differing - np.float32((0.3, -0.4)))[INSIDE].T)) < 0.1
    assert np.median(np.hypot(*(differing - alike)[INSIDE].T)) < 0.05
