"""Scenes that last several readouts: acceleration, shake, and readouts that meet."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.simulator.clip_motion import lengthen_motion, shake_camera
from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.simulator.trajectories import Motion, Oscillation
from tests.data.simulator.test_drawing import SETTINGS, photos, plane, translation

CLIP = replace(SETTINGS, camera_shake=5.0)


def shift_of(motion: Motion, times: torch.Tensor) -> torch.Tensor:
    """Shift (x, y) of a motion without rotation, (T, 2)."""
    return motion.homographies(times)[:, :2, 2]


def test_oscillations_are_added_and_times_count_from_begin() -> None:
    amplitudes = torch.tensor([2.0, -4.0, 0, 0, 0, 0], dtype=torch.float64)
    moving = Motion(translation(3, 0).coefficients, (Oscillation(0.25, math.pi / 2, amplitudes),))
    times = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    expected = torch.tensor([[2.0, -4.0], [3.0, 0.0], [4.0, 4.0]], dtype=torch.float64)
    assert torch.allclose(shift_of(moving, times), expected)
    assert torch.equal(shift_of(replace(moving, begin=2), times), shift_of(moving, times + 2))


def test_long_motion_keeps_its_rate_and_size_of_deviation() -> None:
    coefficients = translation(30, 0).coefficients
    coefficients[1, 2], coefficients[0, 0] = 8.0, -15.0
    times = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    largest = 0.0
    for seed in range(20):
        long = lengthen_motion(Motion(coefficients), np.random.default_rng(seed), 4, middle=2.0)
        starts = torch.arange(-10, 10)
        path = shift_of(long, (times + starts).reshape(-1)).reshape(101, 20, 2)
        chord = torch.lerp(path[0], path[-1], times[..., None])
        largest = max(largest, float((path - chord).norm(dim=-1).max()))
        assert torch.allclose(path[..., 0], 30 * (times + starts - 2))
    assert 0.8 * 8 < largest < 1.1 * 8


@pytest.mark.parametrize("readouts", [0, 21])
def test_clips_have_limits(readouts: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 20 readouts, got {readouts}"):
        lengthen_motion(Motion.at_rest(), np.random.default_rng(0), readouts, middle=0.5)


def test_shake_stays_within_its_amplitude_and_moves_in_all_readouts() -> None:
    shaken = shake_camera(Motion.at_rest(), np.random.default_rng(3), amplitude=9.0, reach=100.0)
    lengths = shift_of(shaken, torch.linspace(0, 20, 2001, dtype=torch.float64)).norm(dim=-1)
    assert 4 < float(lengths.max()) <= 9
    for moments in lengths[:2000].split(200):
        assert float(moments.max() - moments.min()) > 0.5


def test_readouts_meet_and_show_one_continuous_motion() -> None:
    scene = draw_scene(photos(), CLIP, 5, readouts=3)
    times = [0.0, 0.5, 1.0]
    captures = [scene.readout(number).capture(times) for number in range(3)]
    truth = [capture.truth for capture in captures if capture.truth is not None]
    assert len(truth) == 3
    for early, late in zip(truth, truth[1:], strict=False):
        assert float((early[-1] - late[0]).abs().max()) < 1e-5
        assert float((early[0] - late[0]).abs().mean()) > 0.01
    # The last row of t2b and the first of b2t are exposed when the next readout begins.
    assert torch.allclose(captures[0].t2b[:, -1], truth[1][0][:, -1], atol=1e-5)
    assert torch.allclose(captures[0].b2t[:, 0], truth[1][0][:, 0], atol=1e-5)


def test_every_readout_has_its_own_noise_and_exact_flows() -> None:
    still = Scene(48, 64, translation(0, 0), (plane(photos()[0].float() / 255),))
    noisy = replace(still, imaging=replace(still.imaging, shot_noise=0.1, noise_seed=4))
    first, second = (noisy.readout(number).capture([]) for number in (0, 1))
    assert torch.equal(first.t2b, noisy.capture([]).t2b)
    assert float((first.t2b - second.t2b).abs().mean()) > 0.01
    moving = replace(still, camera=translation(6, 2))
    flows = [
        moving.readout(number).capture([0.5], with_flows=True).truth_flows for number in (0, 7)
    ]
    assert flows[0] is not None and flows[1] is not None
    assert torch.allclose(flows[0], flows[1], atol=1e-3)


def test_objects_enter_and_leave() -> None:
    settings = replace(SETTINGS, object_motion=60, camera_motion=0, max_objects=4)
    seen = {"all": 0, "some": 0}
    for seed in range(12):
        scene = draw_scene(photos(), settings, seed, readouts=3)
        for layer in scene.layers[1:]:
            visible = [
                layer.footprint(
                    scene._to_texture(layer, instant.expand(1, 90)), Window(0, 0, 90, 120)
                )
                is not None
                for instant in torch.linspace(0, 3, 13)
            ]
            assert any(visible)
            seen["all" if all(visible) else "some"] += 1
    assert seen["all"] and seen["some"]
