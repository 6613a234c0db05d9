"""Pairs with exact flow: what samples hold, and that they are functions of their number."""

import pytest
import torch
from torch import Tensor

from data.simulator.layers import Layer, Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion, shift_and_scale
from data.training.flow_pairs import (
    FlowPairs,
    FlowSample,
    FlowSetSettings,
    FlowTrainingSet,
    flip,
    image_pair,
    stays_inside,
)
from models.warping import backward_warp
from utils.errors import InputError

SCENE = SceneSettings(height=72, width=96, camera_motion=12, object_motion=8, max_objects=1)


def textures() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    rough = torch.rand(2, 3, 20, 30, generator=random)
    return list(torch.nn.functional.interpolate(rough, (160, 240), mode="bicubic").clamp(0, 1))


def training_set(**settings) -> FlowTrainingSet:
    return FlowTrainingSet(
        textures(), SCENE, FlowSetSettings(**({"patch_sizes": ((64, 64),)} | settings))
    )


def sliding_scene(dx: float, dy: float) -> Scene:
    """A photo at rest under a camera that moves so that all content slides by (dx, dy)."""
    coefficients = torch.zeros(6, 4, dtype=torch.float64)
    coefficients[0, 1], coefficients[1, 1] = -dx, -dy
    layer = Layer(textures()[0], shift_and_scale((120.0, 80.0)), Motion.at_rest())
    return Scene(40, 60, Motion(coefficients), (layer,))


def same(a: FlowSample, b: FlowSample) -> bool:
    return all(torch.equal(first, second) for first, second in zip(a, b, strict=True))


def test_a_sliding_photo_has_constant_flow_and_loses_its_border() -> None:
    sample = image_pair(sliding_scene(16, -8), (0.0, 0.5), Window(5, 10, 30, 40))
    assert [tuple(value.shape) for value in sample] == [(3, 30, 40)] * 2 + [
        (2, 30, 40),
        (1, 30, 40),
    ]
    expected = torch.tensor([8.0, -4.0])[:, None, None].expand(2, 30, 40)
    torch.testing.assert_close(sample.flow, expected)
    assert torch.equal(sample.visible[0, 4:, :32], torch.ones(26, 32))
    assert float(sample.visible.sum()) == 26 * 32
    torch.testing.assert_close(sample.first[:, 4:, :32], sample.second[:, :-4, 8:])


def test_the_second_frame_warped_by_the_flow_is_the_first_where_visible() -> None:
    sample = training_set(augment=False)[3]
    warped = backward_warp(sample.second[None], sample.flow[None]).warped[0]
    difference = (warped - sample.first).abs() * sample.visible
    still = (sample.second - sample.first).abs() * sample.visible
    assert float(difference.mean()) < 0.2 * float(still.mean())


def test_stays_inside_by_hand() -> None:
    flow = torch.zeros(2, 2, 3)
    flow[0, 0] = torch.tensor([-0.1, 1.0, 0.1])
    flow[1, 1] = torch.tensor([0.5, -1.0, float("nan")])
    assert stays_inside(flow).tolist() == [[[0, 1, 0], [0, 1, 0]]]


@pytest.mark.parametrize("horizontal", [True, False])
def test_flipping_keeps_flow_and_frames_together(horizontal: bool) -> None:
    sample = image_pair(sliding_scene(6, 4), (0.0, 1.0), Window(0, 0, 40, 60))
    flipped = flip(sample, horizontal=horizontal)
    expected = [-6, 4] if horizontal else [6, -4]
    assert flipped.flow[:, 20, 30].tolist() == pytest.approx(expected, abs=1e-4)
    warped = backward_warp(flipped.second[None], flipped.flow[None]).warped[0]
    torch.testing.assert_close(
        warped * flipped.visible, flipped.first * flipped.visible, rtol=0, atol=1e-3
    )
    assert same(flip(flipped, horizontal=horizontal), sample)


def test_samples_are_functions_of_their_number() -> None:
    dataset = training_set(crops_per_scene=2)
    again = training_set(crops_per_scene=2)
    later = again[5]
    assert same(dataset[4], again[4])
    assert same(dataset[5], later)
    assert not same(dataset[4], dataset[5])
    assert not same(dataset[5], training_set(crops_per_scene=2, seed=1)[5])


def test_brightness_and_noise_differ_but_not_the_flow() -> None:
    plain, varied = training_set(augment=False), training_set()
    flows = [float(dataset[7].flow.norm(dim=0).mean()) for dataset in (plain, varied)]
    assert flows[0] == pytest.approx(flows[1])
    gains = [varied[7].first.mean() / plain[7].first.mean() for _ in range(1)]
    gains += [varied[7].second.mean() / plain[7].second.mean()]
    assert abs(float(gains[0] - gains[1])) > 1e-3
    assert 0 <= float(varied[7].first.min()) <= float(varied[7].first.max()) <= 1


def test_motion_grows_over_the_ramp() -> None:
    settings = {"augment": False, "ramp": 10, "first_strength": 0.2}
    growing, full = training_set(**settings), training_set(augment=False)

    def ratio(number: int) -> float:
        return float(growing[number].flow.abs().mean() / full[number].flow.abs().mean())

    assert ratio(0) == pytest.approx(0.2, rel=0.1)
    assert ratio(5) == pytest.approx(0.6, rel=0.1)
    assert ratio(10) == pytest.approx(1)


def test_patches_must_fit() -> None:
    with pytest.raises(
        InputError, match="simulated scenes: patch_size 73x64 is larger than the image, 72x96"
    ):
        training_set(patch_sizes=((64, 64), (73, 64)))


def test_samples_of_a_batch_have_one_of_the_sizes() -> None:
    sizes = ((16, 32), (32, 16), (24, 24))
    dataset = training_set(patch_sizes=sizes, batch=2)
    drawn = [tuple(dataset[number].flow.shape[1:]) for number in range(24)]
    assert drawn[::2] == drawn[1::2]
    assert set(drawn) == set(sizes)


def test_pairs_to_score_on_are_whole_frames_that_repeat() -> None:
    pairs = FlowPairs(textures(), SCENE, count=3, seed=5)
    assert len(pairs) == 3
    assert pairs[1].first.shape == (3, 72, 96)
    assert same(pairs[1], FlowPairs(textures(), SCENE, count=9, seed=5)[1])
    assert not same(pairs[1], pairs[2])
    assert not same(pairs[1], FlowPairs(textures(), SCENE, count=3, seed=6)[1])
