"""Exact motion between instants, and flows at the centres of blocks."""

from dataclasses import replace

import pytest
import torch

from data.simulator.drawing import draw_scene
from data.simulator.layers import Layer, Window
from data.simulator.motion import PixelGrid
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion, shift_and_scale
from models.warping import backward_warp
from tests.data.simulator.test_drawing import photos, plane, translation

SETTINGS = SceneSettings(height=80, width=112, camera_motion=14, object_motion=14, acceleration=3)


def still(instant: float, rows: int = 80) -> torch.Tensor:
    return torch.full((1, rows), instant)


def block_scene(camera: Motion | None = None) -> Scene:
    """A 9x9 block that moves by (12, 0) px over the readout, on a resting wall."""
    wall = plane(torch.full((3, 61, 81), 0.2))
    block = plane(torch.full((4, 9, 9), 0.9), translation(12, 0))
    return Scene(41, 61, camera or Motion.at_rest(), (wall, block))


def test_moving_camera_by_hand() -> None:
    scene = Scene(41, 61, translation(-10, 6), (plane(torch.rand(3, 81, 101)),))
    motion = scene.motion(0.25, 0.75)
    expected = torch.tensor([5.0, -3.0])[:, None, None].expand(2, 41, 61)
    torch.testing.assert_close(motion.flow, expected, atol=1e-5, rtol=0)
    visible = torch.zeros(1, 41, 61)
    visible[:, 3:, :-5] = 1
    assert torch.equal(motion.visible, visible)
    back = scene.motion(0.75, 0.25, Window(10, 20, 7, 9))
    torch.testing.assert_close(back.flow, -expected[:, :7, :9], atol=1e-5, rtol=0)
    assert back.visible.shape == (1, 7, 9)


def test_points_behind_a_nearer_layer_are_not_visible() -> None:
    scene = block_scene()
    motion = scene.motion(0.0, 1.0)
    # The block covers columns 26..34 at t = 0 and 38..46 at t = 1, in rows 16..24.
    block = (slice(16, 25), slice(26, 35))
    assert bool((motion.flow[0][block] == 12).all())
    assert bool((motion.visible[0][block] == 1).all())
    assert not motion.flow[0, :, 35:].any() and not motion.flow[1].any()
    hidden = torch.zeros(41, 61, dtype=torch.bool)
    hidden[16:25, 38:47] = True
    assert torch.equal(motion.visible[0] == 0, hidden)


@pytest.mark.parametrize("seed", range(4))
def test_the_later_frame_warped_by_the_motion_is_the_earlier_one(seed: int) -> None:
    scene = draw_scene(photos(), SETTINGS, seed)
    start, end = 0.1, 0.9
    motion = scene.motion(start, end)
    first, second = (scene.render(still(instant)) for instant in (start, end))
    warped, _ = backward_warp(second, motion.flow[None])
    difference = (warped - first).abs().amax(1)[0]
    # Outlines are half transparent: both layers show, one of them is named.
    seen = motion.visible[0] > 0
    assert float((difference[seen] < 0.03).float().mean()) > 0.9
    assert float(seen.float().mean()) > 0.5
    assert motion.flow.dtype == motion.visible.dtype == torch.float32


def test_there_and_back_is_the_identity_where_visible() -> None:
    scene = draw_scene(photos(), SETTINGS, 5)
    there, back = scene.motion(0.0, 0.6), scene.motion(0.6, 0.0)
    returned, _ = backward_warp(back.flow[None], there.flow[None])
    error = (returned[0] + there.flow).norm(dim=0)[there.visible[0] > 0]
    assert float((error < 0.05).float().mean()) > 0.9


def test_equal_instants_give_no_motion() -> None:
    motion = draw_scene(photos(), SETTINGS, 2).motion(0.4, 0.4)
    assert float(motion.flow.abs().max()) < 1e-6
    assert float(motion.visible.mean()) > 0.99


@pytest.mark.parametrize(("start", "end"), [(-0.1, 0.5), (0.5, 1.1)])
def test_instants_outside_the_readout_are_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match=r"instants must lie in \[0, 1\]"):
        block_scene().motion(start, end)


def test_blocks_have_their_centres_between_pixels() -> None:
    grid = PixelGrid(Window(10, 20, 4, 6), stride=2)
    assert grid.blocks == Window(0, 0, 2, 3)
    centres = grid.centres(torch.device("cpu"))
    assert centres[0].tolist() == [[20.5, 10.5], [22.5, 10.5], [24.5, 10.5]]
    assert centres[1, 0].tolist() == [20.5, 12.5]


def test_flows_of_blocks_by_hand() -> None:
    velocity = torch.tensor([9.0, -6.0])
    texture = photos(1)[0].float() / 255
    scene = Scene(90, 120, translation(-9, 6), (plane(texture),))
    part = scene.capture([0.25], Window(8, 6, 12, 16), with_flows=True, flow_stride=2)
    assert part.truth_flows is not None
    flow = part.truth_flows[0].permute(0, 2, 3, 1)
    row = 8.5 + 2 * torch.arange(6)[:, None] + flow[..., 1]
    exposure = torch.stack((row[0] / 89, 1 - row[1] / 89))
    torch.testing.assert_close(flow, velocity * (exposure - 0.25)[..., None], atol=1e-4, rtol=0)


def test_flows_of_blocks_are_those_of_their_middle() -> None:
    scene = draw_scene(photos(), replace(SETTINGS, max_objects=0), 6)
    coarse = scene.capture([0.0, 0.5], with_flows=True, flow_stride=2).truth_flows
    fine = scene.capture([0.0, 0.5], with_flows=True).truth_flows
    assert coarse is not None and fine is not None
    assert coarse.shape == (2, 2, 2, 40, 56)
    middles = fine.unfold(3, 2, 2).unfold(4, 2, 2).flatten(-2).mean(-1)
    # Within a block flows bend, and each is solved for to 0.001 px.
    torch.testing.assert_close(coarse, middles, atol=3e-3, rtol=0)


def test_blocks_fill_the_window() -> None:
    scene = block_scene()
    with pytest.raises(ValueError, match="blocks of 2x2 px do not fill a window of 41x61"):
        scene.capture([0.5], with_flows=True, flow_stride=2)


def test_opacity_is_sampled_and_zero_beyond_the_texture() -> None:
    texture = torch.zeros(4, 3, 3)
    texture[3, 1] = torch.tensor([0.2, 0.6, 1.0])
    layer = Layer(texture, shift_and_scale((0, 0)), Motion.at_rest())
    points = torch.tensor([[[0.5, 1.0], [2.0, 1.0], [2.5, 1.0], [5.0, 1.0]]]).double()
    torch.testing.assert_close(layer.opacity(points), torch.tensor([[0.4, 1.0, 0.5, 0.0]]))
