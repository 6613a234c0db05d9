"""Images between two frames: what samples hold, and that they are functions of their number."""

import numpy as np
import pytest
import torch

from data.simulator.layers import Window
from data.simulator.scene import Scene
from data.time_maps import scan_time
from data.training.interpolation import (
    InterpolationSample,
    InterpolationScenes,
    InterpolationTrainingSet,
    draw_sample,
    flip,
    image_between,
    swap,
)
from models.warping import backward_warp
from tests.data.training.test_flow_pairs import SCENE, FlowSetSettings, sliding_scene, textures


def training_set(**settings) -> InterpolationTrainingSet:
    drawn = FlowSetSettings(**({"patch_sizes": ((64, 64),)} | settings))
    return InterpolationTrainingSet(textures(), SCENE, drawn)


def same(a: InterpolationSample, b: InterpolationSample) -> bool:
    return all(torch.equal(first, second) for first, second in zip(a, b, strict=True))


def test_rows_of_a_sliding_photo_move_by_their_time() -> None:
    """The photo slides by (16, -8) over the readout; the leg is its second half."""
    scene, window = sliding_scene(16, -8), Window(5, 10, 30, 40)
    exposed = scan_time(scene.height, rows=30, top=5)
    sample = image_between(scene, (0.5, 1.0), exposed, window)
    inside = exposed > 0.5
    torch.testing.assert_close(sample.position[inside], (2 * exposed - 1)[inside])
    assert not sample.position[~inside].any()
    torch.testing.assert_close(sample.target[:, ~inside], sample.first[:, ~inside])
    time = 0.5 + 0.5 * sample.position[:, None].expand(-1, 40)
    expected = torch.stack((16 * (0.5 - time), -8 * (0.5 - time), 16 * (1 - time), -8 * (1 - time)))
    torch.testing.assert_close(sample.flows, expected, rtol=0, atol=1e-4)
    # Content moves up: that of the first rows has left the window at t = 1.
    assert not sample.visible[1, :4].any() and bool(sample.visible[0, :15].all())
    captured = scene.capture((0.5, 1.0), window)
    torch.testing.assert_close(sample.target[:, inside], captured.t2b[:, inside])
    torch.testing.assert_close(torch.stack(sample[:2]), captured.truth)


@pytest.mark.parametrize("number", range(4))
def test_frames_warped_by_the_flows_are_the_image(number: int) -> None:
    sample = training_set()[number]
    for frame, image in enumerate(sample[:2]):
        warped = backward_warp(image[None], sample.flows[None, 2 * frame : 2 * frame + 2]).warped[0]
        seen = sample.visible[frame] > 0
        error = (warped - sample.target).abs().amax(0)[seen]
        assert float((error < 0.03).float().mean()) > 0.9


def test_samples_are_functions_of_their_number() -> None:
    again = training_set()[3]
    assert same(training_set()[3], again)
    assert not same(training_set(seed=1)[3], again)
    assert again.position.shape == (64,) and again.flows.shape == (4, 64, 64)
    crops = training_set(crops_per_scene=2, augment=False)
    assert not same(crops[0], crops[1])
    assert training_set(patch_sizes=((64, 32),))[0].target.shape == (3, 64, 32)


def test_every_view_leg_and_order_is_drawn_where_rows_lie_on_it() -> None:
    scene = sliding_scene(4, 2)
    kinds = set()
    for seed in range(40):
        sample = draw_sample(scene, Window(10, 0, 20, 16), np.random.default_rng(seed))
        position = sample.position
        assert bool(((position > 0) & (position < 1)).any())
        falling = float(position[0]) > float(position[-1])
        kinds.add((falling, float(position.min()) == 0, float(position.max()) == 1))
    legs = {(False, False), (True, False), (False, True)}  # 0 -> 1, t -> 1, 0 -> t
    assert kinds == {(falling, *ends) for falling in (True, False) for ends in legs}


def test_swapping_and_flipping_twice_give_the_sample_back() -> None:
    sample = training_set(augment=False)[1]
    other = swap(sample)
    assert torch.equal(other.first, sample.second) and torch.equal(
        other.flows[:2], sample.flows[2:]
    )
    torch.testing.assert_close(swap(other).position, sample.position)
    assert same(swap(other)._replace(position=sample.position), sample)
    for horizontal in (True, False):
        flipped = flip(sample, horizontal=horizontal)
        axis = -1 if horizontal else -2
        assert torch.equal(flipped.target, sample.target.flip(axis))
        assert torch.equal(
            flipped.flows[0 if horizontal else 1], -sample.flows[0 if horizontal else 1].flip(axis)
        )
        assert same(flip(flipped, horizontal=horizontal), sample)


def test_scenes_to_score_span_the_whole_readout() -> None:
    scenes = InterpolationScenes(textures(), SCENE, count=2, seed=5)
    sample = scenes[1]
    assert len(scenes) == 2 and same(sample, scenes[1])
    torch.testing.assert_close(sample.position, scan_time(SCENE.height))
    assert isinstance(scenes.draw(1)[0], Scene)
