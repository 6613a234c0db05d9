from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from models.camera.followed_points import Difference, FollowedPoints
from models.camera.path import RIGID, CameraMotion
from models.flow.dis import to_luma
from models.measurement.arrays import Array
from models.measurement.parallax import Parallax
from models.measurement.sampling import SmoothedView
from models.measurement.scan import Scan

SIZE = (120, 160)
SCAN = Scan.of(None, SIZE[0])
HALF_DIAGONAL = 100.0
STILL = CameraMotion(np.zeros((8, 4)), SIZE, 0.5, RIGID)
NO_PARALLAX = Parallax.none(SIZE[1])


def photo(shift: tuple[float, float] = (0.0, 0.0)) -> Array:
    """A blurred photo (H, W), shifted by (x, y) px."""
    luma = to_luma(np.asarray(skimage.data.coffee(), np.float32) / 255)
    blurred = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 6)
    move = np.array(((1, 0, shift[0] - 100), (0, 1, shift[1] - 150)), np.float64)
    return np.asarray(cv2.warpAffine(blurred, move, SIZE[::-1], flags=cv2.INTER_CUBIC))


def moving(coefficient: tuple[int, int], value: float) -> CameraMotion:
    path = np.zeros((8, 4))
    path[coefficient] = value
    return replace(STILL, path=path)


def seen_as(*levels: Array) -> tuple[SmoothedView, ...]:
    """Views without further blur."""
    return tuple(map(SmoothedView, levels))


def follow(images: tuple[Array, Array], motion: CameraMotion, parallax: Parallax) -> Difference:
    points = FollowedPoints(seen_as(*images), SCAN, min_spacing=2, max_points=10_000)
    points.difference(motion, parallax)
    return points.difference(motion, parallax)


def test_points_are_evenly_spaced_and_limited_in_number() -> None:
    images = (photo(), photo())
    dense = FollowedPoints(seen_as(*images), SCAN, min_spacing=2, max_points=10_000)
    assert dense.shape == (60, 80)
    np.testing.assert_array_equal(dense.x[:3], (1, 3, 5))
    assert FollowedPoints(seen_as(*images), SCAN, min_spacing=2, max_points=1200).shape == (30, 40)


def test_views_of_a_scene_at_rest_agree() -> None:
    seen = follow((photo(), photo()), STILL, NO_PARALLAX)
    np.testing.assert_allclose(seen.value, 0, atol=1e-3)
    np.testing.assert_allclose(seen.mean.reshape(60, 80), photo()[1::2, 1::2], atol=1e-3)
    np.testing.assert_array_equal(seen.inside.reshape(60, 80)[3:-3, 3:-3], True)
    assert not seen.inside.reshape(60, 80)[[0, -1]].any()


def test_parallax_is_compensated() -> None:
    parallax = NO_PARALLAX._replace(middle=np.array((3.0, -1.5), np.float32))
    views = photo((-1.5, 0.75)), photo((1.5, -0.75))
    seen = follow(views, STILL, parallax)
    assert np.abs(seen.value[seen.inside]).max() < 1.6
    assert np.abs(follow(views, STILL, NO_PARALLAX).value[seen.inside]).max() > 20


@pytest.mark.parametrize(
    "coefficient", [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (0, 1), (1, 2), (2, 1), (3, 2)]
)
def test_slopes_equal_numerical_derivatives(coefficient: tuple[int, int]) -> None:
    images, step = (photo(), photo()), (0.05, 0.1, 0.1)[coefficient[1]]
    more, less = (follow(images, moving(coefficient, sign * step), NO_PARALLAX) for sign in (1, -1))
    seen = follow(images, STILL, NO_PARALLAX)
    known = list(zip(*np.nonzero(RIGID.known), strict=True)).index(coefficient)
    numerical = ((more.value - less.value) / (2 * step))[seen.inside]
    given = seen.slopes[known][seen.inside]
    # Sampling errs by hundredths of a pixel, displacements are up to 2 or 3 px.
    assert np.corrcoef(numerical, given)[0, 1] > 0.99
    assert np.sum(numerical * given) / np.sum(given**2) == pytest.approx(1, abs=0.05)


def test_points_are_found_where_their_rows_were_exposed() -> None:
    """An image of a vertical gradient, whose grey level is its row, sinks by 12 px per readout."""
    rows = np.arange(SIZE[0], dtype=np.float32)[:, None]
    level = np.broadcast_to(rows, SIZE).copy()
    sinking = replace(STILL, path=np.zeros((8, 4)))
    sinking.path[1, 0] = -12 / HALF_DIAGONAL
    seen = follow((level, level), sinking, NO_PARALLAX)
    points = FollowedPoints(seen_as(level, level), SCAN, min_spacing=2, max_points=10_000)
    row = np.repeat(np.arange(1, SIZE[0], 2), points.shape[1])
    # y = row + 12 (t - 1/2), exposed at t = y / 119 in t2b and at 1 - y / 119 in b2t.
    first, second = (row - 6) / (1 - 12 / 119), (row + 6) / (1 + 12 / 119)
    np.testing.assert_allclose(
        seen.value[seen.inside], (first - second)[seen.inside], atol=1.3 / 32, rtol=0
    )
