"""Flicker is found, named and removed; steady light raises no alarm."""

import numpy as np
import pytest
import torch
from torch import Tensor

from data.simulator.drawing import draw_scene
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.time_maps import scan_time
from models.flow import dis
from models.measurement.flow_measurement import measure_pair
from models.rig.flicker import RowGains, measure_row_gains, remove_flicker
from models.rig.flicker_search import measure_light
from tests.helpers.moving_texture import Pan

SIZE = (96, 144)
FREQUENCY = 3.33


def flickering(
    pair: Tensor, amplitude: float, *, phase: float = 0, frequency: float = FREQUENCY
) -> tuple[Tensor, RowGains]:
    """A pair under light of brightness 1 + amplitude * sin(2 pi frequency t + phase)."""
    middle = np.pi * frequency + phase
    gains = RowGains(frequency, amplitude * np.sin(middle + np.pi / 2), amplitude * np.sin(middle))
    scan = scan_time(pair.shape[-2]).double().numpy()
    brightness = torch.from_numpy(np.stack([gains.at(scan), gains.at(1 - scan)])).float()
    return (pair * brightness[:, None, :, None]).clamp(0, 1), gains


def test_brightness_is_a_wave_of_time() -> None:
    gains = RowGains(2.0, 0.1, 0.05)
    np.testing.assert_allclose(
        gains.at(np.array([0.5, 0.625, 0.75, 0.875])), [1.05, 1.1, 0.95, 0.9]
    )
    assert gains.amplitude == pytest.approx(np.hypot(0.1, 0.05))


def test_slopes_are_derivatives_of_the_logarithm() -> None:
    gains, time, step = RowGains(2.3, 0.1, -0.2), np.linspace(0, 1, 7), 1e-6
    for field, name in enumerate(RowGains._fields):
        moved = gains._replace(**{name: getattr(gains, name) + step})
        expected = (np.log(moved.at(time)) - np.log(gains.at(time))) / step
        column = {"sine": 0, "cosine": 1, "frequency": 2}[name]
        np.testing.assert_allclose(gains.slopes(time)[:, column], expected, atol=1e-5), field


@pytest.mark.parametrize(("velocity", "amplitude"), [((14, 0), 0.1), ((9, -6), 0.03)])
def test_flicker_is_named_and_removed(velocity: tuple[float, float], amplitude: float) -> None:
    steady = 0.15 + 0.6 * Pan(velocity, SIZE).pair()
    pair, gains = flickering(steady, amplitude)
    found = measure_light([pair]).flicker
    assert found is not None
    assert found.frequency == pytest.approx(FREQUENCY, abs=0.05)
    assert found.amplitude == pytest.approx(amplitude, rel=0.15)
    measured = measure_row_gains(pair, None, found.frequency)
    time = np.linspace(0, 1, 50)
    np.testing.assert_allclose(measured.at(time), gains.at(time), atol=0.1 * amplitude)
    left = (remove_flicker(pair, None, measured) - steady).square().mean().sqrt()
    assert left < 0.15 * (pair - steady).square().mean().sqrt()


def test_frequency_counts_readouts_whatever_the_frame_interval() -> None:
    pair, _ = flickering(0.15 + 0.6 * Pan((14, 3), SIZE).pair(), 0.1)
    scan = 0.25 + scan_time(SIZE[0]) / 2
    for given in (None, scan):
        found = measure_light([pair], given).flicker
        assert found is not None and found.frequency == pytest.approx(FREQUENCY, abs=0.05)
    gains = measure_row_gains(pair, scan, FREQUENCY)
    assert gains.frequency == pytest.approx(2 * FREQUENCY, rel=0.02)
    cured = remove_flicker(pair, scan, gains)
    torch.testing.assert_close(
        cured,
        remove_flicker(pair, None, measure_row_gains(pair, None, FREQUENCY)),
        atol=4e-3,
        rtol=0,
    )


def test_one_capture_of_several_shows_the_flicker() -> None:
    steady = 0.15 + 0.6 * Pan((14, 0), SIZE).pair()
    hidden = np.pi / 2 - np.pi * FREQUENCY  # equal in both views, which move along the rows
    pairs = [flickering(steady, 0.1, phase=hidden + change)[0] for change in (0, 0.8)]
    assert measure_light(pairs[:1]).flicker is None
    found = measure_light(pairs).flicker
    assert found is not None and found.amplitude == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_steady_light_raises_no_alarm(seed: int) -> None:
    settings = SceneSettings(
        height=96, width=144, camera_motion=10, object_motion=20, exposure=0.2, shot_noise=0.01,
        read_noise=0.005, view_difference=0.08, parallax=(3, 1),
    )  # fmt: skip
    scene = draw_scene(load_textures(None), settings, seed)
    assert measure_light([scene.capture([]).pair]).flicker is None


def test_only_a_suspicious_capture_is_searched_beyond_its_own_flow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steady = 0.15 + 0.6 * Pan((14, 3), SIZE).pair()
    search, found = dis._search, []
    monkeypatch.setattr(dis, "_search", lambda *views: found.append(views) or search(*views))
    with dis.remembered_flows():
        measure_pair(steady)
        assert measure_light([steady]).flicker is None
        assert len(found) == 2
        assert measure_light([flickering(steady, 0.03)[0]]).flicker is not None
    assert len(found) > 4


def test_views_without_common_points_have_no_flicker() -> None:
    noise = torch.rand((2, 3, 64, 80), generator=torch.Generator().manual_seed(0))
    assert measure_light([noise]).flicker is None
    assert measure_light([torch.full((2, 3, 64, 80), 0.5)]).flicker is None
    assert measure_light([torch.zeros((2, 3, 5, 4))]).flicker is None
    gains = measure_row_gains(torch.zeros((2, 3, 64, 80)), None, FREQUENCY)
    assert gains.amplitude == 0
    assert torch.equal(remove_flicker(noise, None, gains), noise)


def test_a_flash_is_uneven_light_but_no_flicker() -> None:
    pair = 0.1 + 0.5 * Pan((12, 3), SIZE).pair()
    scan = scan_time(SIZE[0])
    lit = [1 + 0.5 * ((time > 0.55) & (time < 0.75)) for time in (scan, 1 - scan)]
    light = measure_light([pair * torch.stack(lit)[:, None, :, None]])
    assert light.flicker is None and light.unevenness > 0.1
    assert measure_light([pair]).unevenness < 0.01
