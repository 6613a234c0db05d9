import numpy as np
import pytest

from models.camera.path import (
    RIGID,
    SHEARING,
    CameraMotion,
    deviation_basis,
    half_diagonal,
    map_points,
    normalise,
    place_basis,
    sum_of_products,
    time_basis,
)

SIZE = (60, 80)  # half a diagonal is 50 px


def at_rest() -> CameraMotion:
    return CameraMotion(np.zeros((8, 4)), SIZE, 0.5, RIGID)


def coefficients(**components: tuple[float, float, float, float]) -> CameraMotion:
    motion = at_rest()
    names = ("shift_x", "shift_y", "turn", "zoom", "tilt_x", "tilt_y", "stretch", "shear")
    for name, row in components.items():
        motion.path[names.index(name)] = row
    return motion


def test_deviations_vanish_where_they_must_and_are_odd_or_even() -> None:
    ends = deviation_basis(np.array((0, 0.5, 1), np.float32), 0.5)
    np.testing.assert_allclose(ends[:, :2], 0, atol=1e-7)
    np.testing.assert_allclose(ends[:, 2], (-1, 0, -1), atol=1e-6)
    early, late = deviation_basis(np.array((0.25, 0.75), np.float32), 0.5)
    # -1/4 + 4/64; 1.55 times that plus sin(2 pi / 4) / (2 pi); cos(pi / 4) - 1
    second = 1.55 * (-0.1875 + 1 / (2 * np.pi))
    np.testing.assert_allclose(early, (-0.1875, second, 0.5**0.5 - 1), rtol=1e-5)
    np.testing.assert_allclose(late, early * (-1, -1, 1), rtol=1e-6)
    beyond = deviation_basis(np.array((-0.2, 1e30), np.float32), 0.5)
    np.testing.assert_allclose(beyond, ((0, 0, -1),) * 2, atol=1e-6)
    shorter = deviation_basis(np.array((0.4, 0.6), np.float32), 0.2)  # a readout from 0.3 to 0.7
    np.testing.assert_allclose(shorter, (early, late), rtol=1e-5)


def test_an_oscillation_and_a_cubic_are_both_combinations_of_the_odd_deviations() -> None:
    instant = np.linspace(0, 1, 101, dtype=np.float32)
    odd = deviation_basis(instant, 0.5)[:, :2]
    for wanted in (np.sin(2 * np.pi * instant), (instant - 0.5) * (1 - 4 * (instant - 0.5) ** 2)):
        share = np.linalg.lstsq(odd, wanted)[0]
        np.testing.assert_allclose(odd @ share, wanted, atol=1e-5)


def test_free_coefficients_and_prior_of_each_model() -> None:
    # Shift, turn and zoom have all deviations, tilt has none: 4 * 4 + 2. The other model has shear
    # in place of even deviations: 4 * 3 + 2 + 2.
    assert RIGID.known.sum() == 18 and SHEARING.known.sum() == 16
    assert not RIGID.known[6:].any() and not SHEARING.known[:, 3].any()
    # Of shift along x: velocity, two odd deviations, then 0.1 of the velocity 0.5.
    np.testing.assert_allclose(RIGID.expected(0.5)[:4], (0.3, 0.05, 0.02, 0.05))


def test_points_map_as_shift_turn_and_zoom_say() -> None:
    components = np.zeros((8, 3))
    components[0, 0], components[2, 1], components[3, 2] = 0.5, np.pi / 2, np.log(2)
    points = np.array([[0.2, 0.1]] * 3)
    mapped = map_points(components, points)
    np.testing.assert_allclose(mapped.T, [(0.7, 0.1), (-0.1, 0.2), (0.4, 0.2)], atol=1e-12)


@pytest.mark.parametrize("component", range(8))
def test_the_place_basis_is_the_derivative_of_the_map(component: int) -> None:
    points = np.array([[0.3, -0.2], [-0.5, 0.4]])
    components = np.zeros((8, 2))
    components[component] = 1e-6
    moved = (map_points(components, points) - points.T) / 1e-6
    np.testing.assert_allclose(moved, place_basis(points)[:, component], atol=1e-5)


def test_velocity_and_deviation_are_those_of_points_not_of_the_camera() -> None:
    motion = coefficients(shift_x=(-0.2, 0.04, 0, 0.02))
    x, y = np.float32(40), np.float32(30)
    np.testing.assert_allclose(motion.velocity(x, y), (10, 0), atol=1e-5)
    np.testing.assert_allclose(motion.deviation(x, y), [(-2, 0, -1), (0, 0, 0)], atol=1e-5)


def test_speed_is_the_root_mean_square_velocity() -> None:
    assert coefficients(shift_y=(0.3, 0, 0, 0)).speed == pytest.approx(0.3 + 0.1 / 50)
    assert at_rest().speed == pytest.approx(0.1 / 50)


def test_a_step_without_evidence_returns_to_rest() -> None:
    moving = coefficients(shift_x=(0.2, 0.01, 0, 0.01))
    stepped = moving.step(np.zeros((18, 18)), np.zeros(18))
    np.testing.assert_allclose(stepped.path, 0, atol=1e-12)
    assert moving.path.any()  # a step does not change its motion in place


def test_a_step_weighs_evidence_against_the_prior() -> None:
    normal, right = np.zeros((18, 18)), np.zeros(18)
    # One residual of slope 1 and standard deviation 0.3 asks for 0.1 of the first coefficient,
    # whose prior is 0.3: the step is half of it.
    normal[0, 0], right[0] = 1 / 0.3**2, -0.1 / 0.3**2
    assert at_rest().step(normal, right).path[0, 0] == pytest.approx(0.05)


def test_chunked_products_equal_the_matrix_product() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 1300)), rng.normal(size=(2, 1300))
    np.testing.assert_allclose(sum_of_products(first, second), first @ second.T)


def test_normalised_points_have_corners_at_distance_one() -> None:
    corners = np.array([(-0.5, -0.5), (79.5, 59.5)])
    np.testing.assert_allclose(np.hypot(*normalise(corners, SIZE).T), 1)
    assert half_diagonal(SIZE) == 50


def test_uniform_motion_counts_from_the_middle() -> None:
    np.testing.assert_allclose(time_basis(np.array([0.0, 0.5, 1.0]), 0.5)[:, 0], (-0.5, 0, 0.5))
