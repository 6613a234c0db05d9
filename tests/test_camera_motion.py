from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from models.camera_motion import CameraMotion, fit_camera_motion, swing_basis

Array = npt.NDArray[np.float32]

SIZE = (120, 160)
PLANE = np.array((9, -4, 6, -3, 5, 8, 2, -3), np.float32)
SHAKE = np.array((((6, 0), (1, -1), (0, 2)), ((-4, 0), (0, 2), (1, 0))), np.float32)
MOVING = CameraMotion(PLANE, SHAKE, SIZE)


def grid() -> tuple[Array, Array]:
    y, x = np.mgrid[4 : SIZE[0] : 8, 4 : SIZE[1] : 8].astype(np.float32)
    return x, y


def exact_measurements(motion: CameraMotion) -> list[tuple[Array, ...]]:
    """What t2b and b2t say about points that are at grid places at t = 1/2, to the last bit."""
    x, y = grid()
    read = y / (SIZE[0] - 1)
    measured = []
    for own in (read, 1 - read):
        gap = 1 - 2 * own
        elapsed = swing_basis(own + gap, 0.5) - swing_basis(own, 0.5)
        swung = (motion.swing(x, y) * elapsed[..., None, :]).sum(-1)
        flow = motion.velocity(x, y) * gap[..., None] + swung
        measured.append((x, y, own, gap, flow.astype(np.float32), np.ones_like(x)))
    return measured


def displacement(motion: CameraMotion, start: float, end: float) -> Array:
    """(..., 2) px that the points of the grid move from one instant to another."""
    x, y = grid()
    elapsed = swing_basis(np.float32(end), 0.5) - swing_basis(np.float32(start), 0.5)
    return motion.velocity(x, y) * (end - start) + motion.swing(x, y) @ elapsed


def largest_error(found: CameraMotion) -> float:
    spans: Sequence[tuple[float, float]] = ((0.5, 0), (0.5, 0.25), (0.5, 1), (0.2, 0.7))
    # The points move by up to 9 px over half the readout.
    return max(
        float(np.abs(displacement(found, *span) - displacement(MOVING, *span)).max())
        for span in spans
    )


def test_swing_vanishes_at_the_ends_and_the_middle_and_is_odd() -> None:
    np.testing.assert_array_equal(swing_basis(np.array((0, 0.5, 1), np.float32), 0.5), 0)
    early, late = swing_basis(np.array((0.25, 0.75), np.float32), 0.5)
    np.testing.assert_array_equal(early, (-0.1875, -0.046875))  # -1/4 + 4/64, and 4/16 of that
    np.testing.assert_array_equal(late, -early)
    np.testing.assert_array_equal(swing_basis(np.array((-0.2, 1e30), np.float32), 0.5), 0)
    shorter = swing_basis(np.array((0.4, 0.6), np.float32), 0.2)  # a readout from 0.3 to 0.7
    np.testing.assert_allclose(shorter, (early, late), rtol=1e-6)


def test_velocities_are_those_of_a_homography() -> None:
    # Points (x, y, 1) in units of half the diagonal, from the centre, move by exp(t G).
    a, b, c, d, e, f, g, h = generator = np.array((0.3, 1.2, -0.7, 2, 0.1, 0.9, -0.4, 0.6))
    plane = np.array((c, a, b, f, d, e, -g, -h), np.float32)
    motion = CameraMotion(plane, np.zeros((2, 3, 2), np.float32), SIZE)
    matrix = np.append(generator, 0).reshape(3, 3)
    place = np.array((0.3, -0.2, 1.0))
    step = 1e-6
    moved = place + step * matrix @ place
    expected = (moved[:2] / moved[2] - place[:2]) / step
    half = np.hypot(*SIZE) / 2
    x, y = (place[:2] * half + ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)).astype(np.float32)
    np.testing.assert_allclose(motion.velocity(x, y), expected, atol=1e-5)


def test_exact_measurements_give_the_motion_back() -> None:
    assert largest_error(fit_camera_motion(exact_measurements(MOVING), SIZE, 0.5)) < 0.15


def test_a_third_of_outliers_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    measured = exact_measurements(MOVING)
    for *_, flow, _ in measured:
        outliers = rng.random(flow.shape[:2]) < 0.3
        flow[outliers] = rng.uniform(-40, 40, (np.count_nonzero(outliers), 2))
    assert largest_error(fit_camera_motion(measured, SIZE, 0.5)) < 0.15


def test_what_is_not_trusted_does_not_count() -> None:
    measured = exact_measurements(MOVING)
    for *_, flow, confidence in measured:
        flow[:, :6], confidence[:, :6] = 30, 0
    assert largest_error(fit_camera_motion(measured, SIZE, 0.5)) < 0.2


@pytest.mark.parametrize("trusted", [0, 1, 19])
def test_from_too_few_measurements_the_camera_rests(trusted: int) -> None:
    measured = exact_measurements(MOVING)
    for *_, confidence in measured:
        confidence.reshape(-1)[trusted:] = 0
    found = fit_camera_motion(measured, SIZE, 0.5)
    assert not found.plane.any() and not found.shake.any()
