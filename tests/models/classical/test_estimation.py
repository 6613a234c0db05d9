import numpy as np
import pytest

from models.classical.estimation import estimate_motion
from models.classical.field import cell_centres, sample_frame
from models.measurement.arrays import Array
from models.measurement.scan import Scan
from tests.helpers.moving_texture import Pan, smooth_texture


def misplacements(pan: Pan, t: float) -> Array:
    """Distances in pixels between the places found and those where a pan was exposed."""
    field = estimate_motion(*pan.views(), pan.scan)
    x, y = cell_centres(*field.velocity.shape[:2])
    found = []
    for view in sample_frame(field, t, field.velocity):
        off_x, off_y = (view.offset * field.readout * speed for speed in pan.velocity)
        found.append(np.hypot(view.x - x - off_x, view.y - y - off_y))
    return np.stack(found)


def test_a_scene_at_rest_has_no_motion() -> None:
    image = smooth_texture((50, 70))
    field = estimate_motion(image, image, Scan.of(None, 50))
    assert field.velocity.shape == (13, 18, 2)
    assert np.abs(field.velocity).max() < 0.01 and not field.parallax.middle.any()


@pytest.mark.parametrize("velocity", [(9.0, 0.0), (-5.0, 7.0), (0.0, -8.0)])
def test_a_pan_is_found_everywhere(velocity: tuple[float, float]) -> None:
    pan = Pan(velocity, (96, 128))
    errors = misplacements(pan, 0.5)
    assert np.median(errors) < 0.15 and errors.max() < 1.5
    assert np.median(misplacements(pan, 0.0)) < 1


def test_a_partial_readout_is_estimated_like_a_whole_one() -> None:
    middle = Pan((24, -10), (96, 128), scan=Scan(0.25, 0.5 / 95))
    assert np.median(misplacements(middle, 0.5)) < 0.15
    assert np.median(misplacements(middle, 0.3)) < 0.4


def test_an_object_is_separated_from_the_camera() -> None:
    still, moving = smooth_texture((128, 160), seed=1), Pan((14, 0), (128, 160))
    views = [still.copy(), still.copy()]
    for image, view, side in zip(views, moving.views(), (1, -1), strict=True):
        for row in range(12, 52):
            left = round(60 + 14 * (0.5 + side * (row / 127 - 0.5) - 0.5))
            image[row, left : left + 40] = view[row, left : left + 40]
    field = estimate_motion(views[0], views[1], Scan.of(None, 128))
    inside, outside = field.velocity[5:11, 17:23], field.velocity[20:, :]
    np.testing.assert_allclose(inside.mean((0, 1)), (14, 0), atol=1)
    assert np.abs(outside).max() < 0.5 and np.abs(field.camera).max() < 0.5


@pytest.mark.parametrize("size", [(2, 1), (3, 5), (7, 7), (17, 33)])
def test_noise_of_any_size_gives_finite_motion(size: tuple[int, int]) -> None:
    first, second = np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
    field = estimate_motion(first, second, Scan.of(None, size[0]))
    for t in (0.0, 1.0):
        for view in sample_frame(field, t, field.velocity):
            assert all(np.isfinite(part).all() for part in view)
