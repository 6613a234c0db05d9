"""Motions over the readout and the meeting of moving points with the scan line."""

import math

import numpy as np
import pytest
import torch

from data.simulator.trajectories import (
    EXPOSURE_INSTANTS,
    Motion,
    apply,
    draw_camera_motion,
    draw_object_motion,
    exposed_positions,
    inverse,
    shift_and_scale,
)
from utils.errors import InputError


def motion(**rows: list[float]) -> Motion:
    """A motion with the given coefficients, (start, rate, bow, sway) by component."""
    names = ("x", "y", "angle", "log_zoom", "tilt_x", "tilt_y")
    still = [0.0] * 4
    values = [rows.get(name, still) for name in names]
    return Motion(torch.tensor(values, dtype=torch.float64))


def test_at_rest_is_the_identity_at_any_time() -> None:
    times = torch.tensor([[-0.5, 0.0], [0.3, 1.5]])
    expected = torch.eye(3, dtype=torch.float64).expand(2, 2, 3, 3)
    assert torch.equal(Motion.at_rest().homographies(times), expected)


def test_components_follow_their_formula() -> None:
    moving = motion(x=[1, 8, 3, 2], y=[0, -4, 0, 0])
    points = apply(moving.homographies(torch.tensor([0.0, 0.25, 1.0])), torch.zeros(3, 2).double())
    bent = 1 + 2 + 3 * math.sqrt(0.5) + 2
    expected = torch.tensor([[1, 0], [bent, -1], [9, -4]], dtype=torch.float64)
    torch.testing.assert_close(points, expected)


def test_angle_and_zoom_turn_and_stretch() -> None:
    moving = motion(angle=[0, math.pi / 2, 0, 0], log_zoom=[0, math.log(3), 0, 0])
    turned = apply(moving.homographies(torch.tensor(1.0)), torch.tensor([2.0, 1.0]).double())
    torch.testing.assert_close(turned, torch.tensor([-3.0, 6.0]).double())


def test_inverse_undoes_a_homography() -> None:
    moving = motion(x=[5, 9, 0, 0], angle=[0.4, 0, 0, 0], tilt_x=[1e-3, 0, 0, 0])
    homography = moving.homographies(torch.tensor(0.7))
    points = torch.tensor([[3.0, -4.0], [100.0, 50.0]]).double()
    torch.testing.assert_close(apply(inverse(homography), apply(homography, points)), points)


def test_shift_and_scale() -> None:
    mapped = apply(shift_and_scale((10, 20), 2, math.pi / 2), torch.tensor([1.0, 0.0]).double())
    torch.testing.assert_close(mapped, torch.tensor([10.0, 22.0]).double())


@pytest.mark.parametrize("seed", range(20))
def test_drawn_motion_keeps_within_its_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = draw_camera_motion(rng, travel=60, acceleration=12, reach=500)
    other = draw_object_motion(rng, (7, -3), travel=60, acceleration=12, strength=1)
    for drawn, middle in ((camera, (0, 0)), (other, (7, -3))):
        shift = drawn.coefficients[:2]
        assert 24 <= shift[:, 1].norm() <= 60
        assert shift[:, 2].norm() + shift[:, 3].norm() <= 12
        assert (shift[:, 0] + shift[:, 1] / 2).tolist() == pytest.approx(middle)
    assert abs(other.coefficients[2, 1]) <= math.radians(50)


def test_about_a_third_of_the_objects_spin() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        draw_object_motion(rng, (0, 0), travel=1, acceleration=1, strength=1) for _ in range(600)
    ]
    spins = torch.stack([each.coefficients[2, 1].abs() for each in drawn])
    assert 150 < int((spins >= math.radians(15)).sum()) < 250
    assert int(((spins > math.radians(3)) & (spins < math.radians(15))).sum()) == 0


def test_zero_strength_gives_no_motion() -> None:
    rng = np.random.default_rng(3)
    camera = draw_camera_motion(rng, travel=0, acceleration=0, reach=500)
    other = draw_object_motion(rng, (1, 2), travel=0, acceleration=0, strength=0)
    assert not camera.coefficients.any()
    assert not other.coefficients[:, 1:].any()


@pytest.mark.parametrize("bottom_up", [False, True])
def test_exposure_of_uniformly_moving_points_by_hand(bottom_up: bool) -> None:
    # y(t) = 20 + 40 t meets the line 100 t at t = 1/3, and 100 (1 - t) at t = 80/140.
    moving = motion(x=[0, 30, 0, 0], y=[0, 40, 0, 0])
    point = torch.tensor([[10.0, 20.0]]).double()
    table = moving.homographies(EXPOSURE_INSTANTS)
    found = exposed_positions(point, point[:, 1], table, height=101, bottom_up=bottom_up)
    t = 80 / 140 if bottom_up else 1 / 3
    assert found[0].tolist() == pytest.approx([10 + 30 * t, 20 + 40 * t], abs=1e-6)


@pytest.mark.parametrize("bottom_up", [False, True])
def test_exposure_solves_the_fixed_point_of_a_curved_motion(bottom_up: bool) -> None:
    moving = motion(
        x=[-20, 40, 9, -6],
        y=[30, -60, 8, 5],
        angle=[0, 0.5, 0, 0],
        log_zoom=[0, 0.1, 0, 0],
        tilt_x=[0, 1e-5, 0, 0],
    )
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).double() * 500
    table = moving.homographies(EXPOSURE_INSTANTS)
    found = exposed_positions(points, points[:, 1], table, height=540, bottom_up=bottom_up)
    s = found[:, 1] / 539
    exact = apply(moving.homographies(1 - s if bottom_up else s), points)
    assert float((exact - found).abs().max()) < 0.01


def test_a_point_as_fast_as_the_scan_is_refused() -> None:
    table = motion(y=[5, 100, 0, 0]).homographies(EXPOSURE_INSTANTS)
    point = torch.tensor([[0.0, 20.0]]).double()
    with pytest.raises(InputError, match="as fast as the scan of 101 rows"):
        exposed_positions(point, point[:, 1], table, height=101, bottom_up=False)


def test_coefficients_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs \(6, 4\) torch.float64.*got \(4, 6\)"):
        Motion(torch.zeros(4, 6, dtype=torch.float64))
