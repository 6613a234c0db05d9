"""Real cameras: exposure, noise, gains and parallax, and that all of it is off by default."""

from dataclasses import replace

import pytest
import torch

from data.simulator.drawing import draw_scene
from data.simulator.imaging import Imaging
from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion
from models.warping import backward_warp
from tests.data.simulator.test_drawing import photos, plane, translation

SETTINGS = SceneSettings(height=64, width=80, camera_motion=12, object_motion=10, acceleration=2)
REAL = {"exposure": 0.3, "shot_noise": 0.02, "read_noise": 0.01, "view_difference": 0.1}


def flat(value: float) -> torch.Tensor:
    return torch.full((2, 3, 300, 400), value)


def test_light_and_values_are_inverse_and_gamma_is_their_exponent() -> None:
    imaging = Imaging(gamma=2.0)
    values = torch.linspace(0, 1, 11)
    torch.testing.assert_close(imaging.to_light(values), values.square())
    torch.testing.assert_close(imaging.to_values(imaging.to_light(values)), values)
    assert imaging.to_values(torch.tensor([-0.5, 4.0])).tolist() == [0.0, 1.0]


def test_exposures_are_centred_on_their_instant() -> None:
    instants = Imaging(exposure=0.4).instants(torch.tensor([0.0, 0.5]), 4)
    expected = torch.tensor([[-0.15, 0.35], [-0.05, 0.45], [0.05, 0.55], [0.15, 0.65]])
    torch.testing.assert_close(instants, expected)


def test_noise_has_the_requested_deviation() -> None:
    imaging = Imaging(gamma=1.0, shot_noise=0.08, read_noise=0.03)
    for light in (0.25, 0.5):
        recorded = imaging.record(flat(light))
        expected = (0.08**2 * light + 0.03**2) ** 0.5
        assert float(recorded.std()) == pytest.approx(expected, rel=0.01)
        assert float(recorded.mean()) == pytest.approx(light, abs=1e-3)


def test_noise_repeats_for_a_window_and_differs_elsewhere() -> None:
    imaging = Imaging(read_noise=0.05, noise_seed=3)
    first = imaging.record(flat(0.5), corner=(-2, 8))
    assert torch.equal(first, imaging.record(flat(0.5), corner=(-2, 8)))
    assert not torch.equal(first, imaging.record(flat(0.5), corner=(0, 8)))
    assert not torch.equal(first, replace(imaging, noise_seed=4).record(flat(0.5), corner=(-2, 8)))
    assert not torch.equal(first[0], first[1])


def test_gains_scale_the_light_of_each_channel() -> None:
    imaging = Imaging(gamma=1.0, gains=((1.0, 0.8, 1.2), (0.5, 1.0, 3.0)))
    recorded = imaging.record(flat(0.5))[:, :, 0, 0]
    torch.testing.assert_close(recorded, torch.tensor([[0.5, 0.4, 0.6], [0.25, 0.5, 1.0]]))


@pytest.mark.parametrize("seed", range(3))
def test_by_default_cameras_are_ideal(seed: int) -> None:
    scene = draw_scene(photos(), SETTINGS, seed)
    assert scene.imaging.is_ideal
    real = draw_scene(photos(), replace(SETTINGS, **REAL, parallax=(3.0, 0.0)), seed)
    assert not real.imaging.is_ideal
    # What imaging draws leaves the scene alone, and the truth is sharp and free of noise.
    ideal, other = (each.capture([0, 0.5, 1], with_flows=True) for each in (scene, real))
    assert ideal.truth is not None and other.truth is not None
    assert torch.equal(ideal.truth, other.truth)
    assert not torch.equal(ideal.pair, other.pair)


def test_same_seed_same_noise_and_gains() -> None:
    settings = replace(SETTINGS, **REAL, strength=(0.5, 1.0))
    first, again, other = (draw_scene(photos(), settings, (seed, 1)) for seed in (5, 5, 6))
    assert first.imaging == again.imaging
    assert first.imaging.gains != other.imaging.gains
    assert first.imaging.noise_seed != other.imaging.noise_seed
    assert torch.equal(first.capture([]).pair, again.capture([]).pair)
    gains = torch.tensor(first.imaging.gains)
    assert float((gains - 1).abs().max()) <= 0.05


def test_ranges_are_drawn_from_for_each_scene() -> None:
    settings = replace(SETTINGS, exposure=(0.1, 0.4), read_noise=(0.0, 0.02))
    drawn = [draw_scene(photos(), settings, seed).imaging for seed in range(12)]
    assert all(0.1 <= imaging.exposure <= 0.4 for imaging in drawn)
    assert all(0 <= imaging.read_noise <= 0.02 for imaging in drawn)
    assert len({imaging.exposure for imaging in drawn}) == 12


def test_exposure_averages_light_along_the_path_by_hand() -> None:
    # A step from black to white moves 20 px over the readout; half of that is 10 px of blur.
    texture = torch.zeros(3, 41, 121)
    texture[:, :, 60:] = 1
    imaging = Imaging(exposure=0.5, gamma=2.0)
    scene = Scene(21, 61, translation(-20, 0), (plane(texture),), imaging)
    row = scene.capture([]).t2b[0, 10] ** 2
    # At s = 1/2 the edge, first between columns 29 and 30, is 10 px further on.
    ramp = ((torch.arange(61) - 34.5) / 10).clamp(0, 1)
    assert float((row - ramp).abs().max()) < 0.08
    assert float((row - ramp).abs().mean()) < 0.01


def test_exposure_takes_steps_of_about_a_pixel() -> None:
    texture = torch.rand(3, 61, 81)
    scene = Scene(41, 61, translation(30, -40), (plane(texture),), Imaging(exposure=0.2))
    assert scene._count_sub_instants() == 10
    assert replace(scene, imaging=Imaging())._count_sub_instants() == 1


def test_a_part_of_an_exposed_frame_is_that_part_of_the_whole() -> None:
    settings = replace(SETTINGS, exposure=0.25, view_difference=0.2, parallax=(4.0, 1.0))
    scene = draw_scene(photos(), settings, 4)
    whole, part = scene.capture([]), scene.capture([], Window(10, 20, 30, 40))
    torch.testing.assert_close(part.pair, whole.pair[:, :, 10:40, 20:60], atol=1e-4, rtol=0)


def test_parallax_displaces_the_views_by_half_each() -> None:
    still = Scene(41, 61, Motion.at_rest(), (plane(torch.rand(3, 81, 101)),))
    capture = replace(still, imaging=Imaging(parallax=(6.0, -4.0))).capture([0.5], with_flows=True)
    assert capture.truth is not None and capture.truth_flows is not None
    truth = capture.truth[0]
    # To light and back costs the last bits.
    torch.testing.assert_close(capture.t2b[:, 2:, :-3], truth[:, :-2, 3:], atol=1e-4, rtol=0)
    torch.testing.assert_close(capture.b2t[:, :-2, 3:], truth[:, 2:, :-3], atol=1e-4, rtol=0)
    expected = torch.tensor([[-3.0, 2.0], [3.0, -2.0]])
    torch.testing.assert_close(
        capture.truth_flows[0], expected[:, :, None, None].expand(2, 2, 41, 61), atol=1e-4, rtol=0
    )


def test_flows_lead_through_parallax_and_to_the_middle_of_the_exposure() -> None:
    settings = replace(SETTINGS, max_objects=0, parallax=(5.0, 2.0), exposure=0.2)
    capture = draw_scene(photos(blur=16), settings, 3).capture([0.5], with_flows=True)
    assert capture.truth is not None and capture.truth_flows is not None

    def error(offset: float) -> float:
        warped, valid = backward_warp(capture.pair, capture.truth_flows[0] + offset)
        return float(((warped - capture.truth).abs() * valid).mean())

    assert error(0.0) < 0.01
    assert min(error(-1.0), error(1.0)) > 1.5 * error(0.0)
