import numpy as np
import pytest
import torch

from data.simulator.trajectories import Motion, apply, inverse
from models.camera.motion import Matches, fit_camera_motion
from models.camera.path import RIGID, CameraMotion, deviation_basis
from models.measurement.arrays import Array

SIZE = (240, 320)
CENTRE = torch.tensor(((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2), dtype=torch.float64)


def moving(**components: tuple[float, float, float]) -> Motion:
    """A camera's motion: (rate, bow, sway) of shift_x, shift_y, turn, zoom; px and radians."""
    coefficients = torch.zeros(6, 4, dtype=torch.float64)
    for number, name in enumerate(("shift_x", "shift_y", "turn", "zoom", "tilt_x", "tilt_y")):
        rate, bow, sway = components.get(name, (0.0, 0.0, 0.0))
        coefficients[number] = torch.tensor((-rate / 2, rate, bow, sway), dtype=torch.float64)
    return Motion(coefficients)


SHAKEN = moving(
    shift_x=(14, -4, 2), shift_y=(-24, 3, 3), turn=(0.03, 0.004, 0), zoom=(-0.02, 0, 0.002)
)


def at(motion: Motion, time: float, scene: torch.Tensor) -> torch.Tensor:
    """Pixels (..., 2) where points (..., 2) of the scene are at a time."""
    matrix = inverse(motion.homographies(torch.tensor(time, dtype=torch.float64)))
    return apply(matrix, scene) + CENTRE


def grid() -> torch.Tensor:
    y, x = torch.meshgrid(
        torch.arange(3.5, SIZE[0], 8), torch.arange(3.5, SIZE[1], 8), indexing="ij"
    )
    return torch.stack((x, y), dim=-1).double().reshape(-1, 2)


def exact_matches(motion: Motion, *, confidence: float = 1.0) -> Matches:
    """Matches of points on a grid in each view that the other view shows, too."""
    parts = []
    for bottom_up in (False, True):
        place = grid()
        own = place[:, 1] / (SIZE[0] - 1)
        own = 1 - own if bottom_up else own
        scene = apply(motion.homographies(own), place - CENTRE)
        other = 1 - own
        for _ in range(60):
            seen = apply(inverse(motion.homographies(other)), scene) + CENTRE
            row = seen[:, 1] / (SIZE[0] - 1)
            other = row if bottom_up else 1 - row
        inside = ((seen > 0) & (seen < torch.tensor((SIZE[1] - 1, SIZE[0] - 1)))).all(-1)
        found = (place, own, seen, other, torch.full_like(own, confidence))
        parts.append([part[inside].numpy().astype(np.float32) for part in found])
    return Matches(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def misplacements(found: CameraMotion, motion: Motion, time: float) -> Array:
    """Errors in px of the places at a time of points that are on the grid at t = 1/2."""
    place = grid()
    scene = apply(motion.homographies(torch.tensor(0.5, dtype=torch.float64)), place - CENTRE)
    x, y = place.numpy().astype(np.float32).T
    elapsed = deviation_basis(np.float32(time), 0.5) - deviation_basis(np.float32(0.5), 0.5)
    moved = found.velocity(x, y) * (time - 0.5) + found.deviation(x, y) @ elapsed
    error = place.numpy() + moved - at(motion, time, scene).numpy()
    return np.hypot(*error.T).astype(np.float32)


@pytest.mark.parametrize("time", [0.0, 0.25, 0.75, 1.0])
def test_exact_matches_give_the_true_path(time: float) -> None:
    found = fit_camera_motion(exact_matches(SHAKEN), SIZE, 0.5)
    # Points move by about 15 px from t = 1/2 to either end.
    assert misplacements(found, SHAKEN, time).max() < 0.4


@pytest.mark.parametrize("bow", [(5.0, 0.0), (0.0, -5.0)])
def test_vertical_motion_shows_a_steady_acceleration(bow: tuple[float, float]) -> None:
    motion = moving(shift_x=(5, bow[0], 0), shift_y=(-30, bow[1], 0))
    found = fit_camera_motion(exact_matches(motion), SIZE, 0.5)
    centre = np.float32((SIZE[1] - 1) / 2), np.float32((SIZE[0] - 1) / 2)
    # The scene moves opposite to the camera.
    np.testing.assert_allclose(found.deviation(*centre)[:, 2], (-bow[0], -bow[1]), atol=0.4)


def test_acceleration_without_a_trace_is_estimated_as_none() -> None:
    sideways = moving(shift_x=(30, 4, 0))
    found = fit_camera_motion(exact_matches(sideways), SIZE, 0.5)
    assert misplacements(found, sideways, 0.5).max() < 0.1
    assert np.abs(found.deviation(np.float32(100), np.float32(60))[:, 2]).max() < 0.5


def test_shear_is_not_mistaken_for_acceleration() -> None:
    # Sideways past a floor: motion increases towards the bottom, by 16 px.
    matches = exact_matches(moving(shift_x=(12, 0, 0), shift_y=(-20, 0, 0)))
    gap = matches.other_instant - matches.instant
    middle = matches.place[:, 1] + (0.5 - matches.instant) * 20
    faster = 16 * (middle / SIZE[0] - 0.5) * gap
    sheared = matches.other_place - np.stack((faster, np.zeros_like(faster)), axis=1)
    found = fit_camera_motion(matches._replace(other_place=sheared), SIZE, 0.5)
    assert found.path[6:].any() and not found.path[:, 3].any()
    top, bottom = (found.velocity(np.float32(160), np.float32(y)) for y in (40, 200))
    np.testing.assert_allclose(bottom - top, (-16 * 160 / 240, 0), atol=0.5)


def test_a_little_shear_does_not_select_the_shearing_model() -> None:
    motion = moving(shift_x=(5, 3, 0), shift_y=(-30, 4, 0))
    matches = exact_matches(motion)
    rng = np.random.default_rng(1)
    # Errors that shear explains a little better than acceleration, as flow may have.
    matches.other_place[:] += rng.normal(0, 0.5, matches.other_place.shape)
    matches.other_place[:, 0] += 0.05 * (matches.place[:, 1] / SIZE[0] - 0.5)
    found = fit_camera_motion(matches, SIZE, 0.5)
    assert found.model is RIGID and not found.path[6:].any()


def test_a_third_of_outliers_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    matches = exact_matches(SHAKEN)
    outliers = rng.random(len(matches.instant)) < 0.3
    matches.other_place[outliers] += rng.uniform(-40, 40, (np.count_nonzero(outliers), 2))
    found = fit_camera_motion(matches, SIZE, 0.5)
    assert misplacements(found, SHAKEN, 0.0).max() < 0.5


def test_matches_without_confidence_do_not_count() -> None:
    matches = exact_matches(SHAKEN)
    matches.other_place[:60] += 30
    matches.confidence[:60] = 0
    found = fit_camera_motion(matches, SIZE, 0.5)
    assert misplacements(found, SHAKEN, 1.0).max() < 0.5


@pytest.mark.parametrize("trusted", [0, 1, 39])
def test_with_too_few_matches_the_camera_rests(trusted: int) -> None:
    matches = exact_matches(SHAKEN)
    matches.confidence[trusted:] = 0
    assert not fit_camera_motion(matches, SIZE, 0.5).path.any()


def test_a_single_column_at_rest_gives_a_camera_at_rest() -> None:
    rows = np.arange(0, 600, 8, dtype=np.float32)
    place = np.stack((np.full_like(rows, 3.5), rows), axis=1)
    instant, sure = rows / 599, np.ones_like(rows)
    still = Matches(place, instant, place.copy(), 1 - instant, sure)
    assert not fit_camera_motion(still, (600, 8), 0.5).path.any()


def test_a_shorter_readout_has_its_own_deviation_basis() -> None:
    motion = moving(shift_x=(16, 0, 0), shift_y=(-20, 0, 0))
    matches = exact_matches(motion)
    # The same places, read out in half the time: motion is twice as fast.
    halved = matches._replace(
        instant=0.25 + 0.5 * matches.instant, other_instant=0.25 + 0.5 * matches.other_instant
    )
    found = fit_camera_motion(halved, SIZE, 0.25)
    velocity = found.velocity(np.float32(160), np.float32(120))
    np.testing.assert_allclose(velocity, (-32, 40), atol=0.2)


@pytest.mark.parametrize("accelerates", [False, True])
def test_even_deviations_are_believed_only_where_they_explain_matches(accelerates: bool) -> None:
    motion = moving(shift_x=(14, 0, 0), shift_y=(-24, 4 if accelerates else 0, 0))
    matches = exact_matches(motion)
    errors = np.random.default_rng(0).normal(scale=0.2, size=matches.other_place.shape)
    noisy = matches._replace(other_place=(matches.other_place + errors).astype(np.float32))
    found = fit_camera_motion(noisy, SIZE, 0.5)
    assert bool(found.path[:, -1].any()) == accelerates
    assert misplacements(found, motion, 0.0).max() < (1.0 if accelerates else 0.2)
