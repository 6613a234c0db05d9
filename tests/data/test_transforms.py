"""Every symmetry is proved on a simulated scene, whose image at any instant is known."""

from dataclasses import replace

import pytest
import torch

from data.simulator.drawing import draw_scene
from data.simulator.layers import Window
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion
from data.transforms import crop, flip_horizontal, flip_vertical, reverse_time
from models.warping import backward_warp

HEIGHT, WIDTH = 40, 56
TIMES = (0.0, 0.25, 0.6, 1.0)
SETTINGS = SceneSettings(
    height=HEIGHT, width=WIDTH, camera_motion=8, object_motion=10, acceleration=2, max_objects=0
)


def smooth_photo():
    """A photo without fine detail, which bilinear sampling hardly blurs."""
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(240.0), indexing="ij")
    waves = (torch.sin(x / 9 + y / 31), torch.cos(y / 11 - x / 23), torch.sin((x + y) / 13))
    return torch.stack(waves) / 2 + 0.5


@pytest.fixture(scope="module")
def scene():
    return draw_scene([smooth_photo()], SETTINGS, seed=3)


@pytest.fixture(scope="module")
def capture(scene):
    return scene.capture(TIMES, with_flows=True)


def same_time(t):
    return t


def as_is(images):
    return images


# (transform of the capture, the same transform of any image, the scene's instant at time t)
SYMMETRIES = {
    "none": (as_is, as_is, same_time),
    "crop": (
        lambda capture: crop(capture, top=7, left=5, height=24, width=32),
        lambda images: images[..., 7:31, 5:37],
        same_time,
    ),
    "horizontal": (flip_horizontal, lambda images: images.flip(-1), same_time),
    "vertical": (flip_vertical, lambda images: images.flip(-2), same_time),
    "reverse": (reverse_time, as_is, lambda t: 1 - t),
    "all": (
        lambda capture: reverse_time(
            flip_vertical(flip_horizontal(crop(capture, top=7, left=5, height=24, width=32)))
        ),
        lambda images: images[..., 7:31, 5:37].flip(-1, -2),
        lambda t: 1 - t,
    ),
}
symmetries = pytest.mark.parametrize("symmetry", SYMMETRIES.values(), ids=SYMMETRIES.keys())


def test_the_scene_moves(capture):
    assert (capture.t2b - capture.b2t).abs().mean() > 0.02
    assert capture.truth_flows.abs().mean() > 1


@symmetries
def test_every_row_shows_the_scene_at_its_own_instant(scene, capture, symmetry):
    transform, transform_image, instant = symmetry
    result = transform(capture)
    for image, exposure in ((result.t2b, result.scan_time), (result.b2t, 1 - result.scan_time)):
        instants = instant(exposure)[:, None].expand(-1, HEIGHT)
        frames = transform_image(scene.render(instants))
        expected = torch.stack([frames[row, :, row] for row in range(result.height)], dim=1)
        torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)


@symmetries
def test_true_frames_show_the_scene_at_their_times(scene, capture, symmetry):
    transform, transform_image, instant = symmetry
    result = transform(capture)
    assert result.truth_times.diff().min() > 0
    instants = instant(result.truth_times)[:, None].expand(-1, HEIGHT)
    expected = transform_image(scene.render(instants))
    torch.testing.assert_close(result.truth, expected, atol=1e-4, rtol=0)


@symmetries
def test_true_flows_lead_to_the_same_points(capture, symmetry):
    transform, _, _ = symmetry
    result = transform(capture)
    count = len(result.truth_times)
    for image, flows in zip(result.pair, result.truth_flows.unbind(1), strict=True):
        warped, valid = backward_warp(image.expand(count, -1, -1, -1), flows)
        inside = valid.expand_as(warped) > 0
        assert inside.float().mean() > 0.5
        assert (warped - result.truth)[inside].abs().max() < 0.02


@symmetries
def test_rows_exposed_at_a_frames_time_do_not_move(capture, symmetry):
    transform, _, _ = symmetry
    result = transform(capture)
    for number, exposure in enumerate((result.scan_time, 1 - result.scan_time)):
        away = (exposure - result.truth_times[:, None]).abs()
        flows = result.truth_flows[:, number].abs().amax(dim=(1, 3))
        assert (flows <= 1e-4 + 40 * away).all()


def mirrored_scene(scene, *, horizontal):
    """The scene whose images are the mirror images of another's."""
    mirror = torch.eye(3, dtype=torch.float64)
    mirror[0 if horizontal else 1] *= -1

    camera = scene.camera.coefficients.clone()
    camera[[0 if horizontal else 1, 2, 4 if horizontal else 5]] *= -1
    (wall,) = scene.layers  # at rest
    mirrored = replace(wall, placement=wall.placement @ mirror)
    return replace(scene, camera=Motion(camera), layers=(mirrored,))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("horizontal", [True, False])
def test_flows_of_a_flipped_capture_are_those_of_the_mirrored_scene(scene, horizontal, stride):
    flip = flip_horizontal if horizontal else flip_vertical
    flipped = flip(scene.capture(TIMES, with_flows=True, flow_stride=stride))
    rendered = mirrored_scene(scene, horizontal=horizontal).capture(
        TIMES, with_flows=True, flow_stride=stride
    )
    for field in ("t2b", "b2t", "truth"):
        torch.testing.assert_close(
            getattr(flipped, field), getattr(rendered, field), atol=1e-4, rtol=0
        )
    torch.testing.assert_close(flipped.truth_flows, rendered.truth_flows, atol=1e-3, rtol=0)


def backward_scene(scene):
    """The scene whose instant t is another's 1 - t: sway and rate change sign."""
    start, rate, bow, sway = scene.camera.coefficients.unbind(1)
    camera = Motion(torch.stack((start + rate, -rate, bow, -sway), dim=1))
    return replace(scene, camera=camera)


@pytest.mark.parametrize("stride", [1, 2])
def test_flows_of_a_reversed_capture_are_those_of_the_scene_run_backwards(scene, stride):
    reversed_ = reverse_time(scene.capture(TIMES, with_flows=True, flow_stride=stride))
    times = reversed_.truth_times
    rendered = backward_scene(scene).capture(times, with_flows=True, flow_stride=stride)
    for field in ("t2b", "b2t", "truth"):
        torch.testing.assert_close(
            getattr(reversed_, field), getattr(rendered, field), atol=1e-4, rtol=0
        )
    torch.testing.assert_close(reversed_.truth_flows, rendered.truth_flows, atol=1e-3, rtol=0)


@pytest.mark.parametrize("transform", [flip_horizontal, flip_vertical, reverse_time])
def test_applied_twice_nothing_changes(capture, transform):
    again = transform(transform(capture))
    for field in ("t2b", "b2t", "truth", "truth_flows"):
        assert torch.equal(getattr(again, field), getattr(capture, field))
    torch.testing.assert_close(again.scan_time, capture.scan_time)
    torch.testing.assert_close(again.truth_times, capture.truth_times)


def test_flows_of_blocks_are_cropped_with_their_blocks(scene):
    whole = scene.capture(TIMES, with_flows=True, flow_stride=2)
    part = crop(whole, top=6, left=4, height=24, width=32)
    alone = scene.capture(TIMES, Window(6, 4, 24, 32), with_flows=True, flow_stride=2)
    torch.testing.assert_close(part.truth_flows, alone.truth_flows, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="true flows of 2x2 px blocks cannot be cut to 24x32 at"):
        crop(whole, top=7, left=4, height=24, width=32)


def test_a_crop_equals_the_capture_of_that_window(scene, capture):
    part = crop(capture, top=7, left=5, height=24, width=32)
    alone = scene.capture(TIMES, Window(7, 5, 24, 32), with_flows=True)
    assert torch.equal(part.scan_time, alone.scan_time)
    for field in ("t2b", "b2t", "truth", "truth_flows"):
        torch.testing.assert_close(getattr(part, field), getattr(alone, field), atol=1e-4, rtol=0)


@pytest.mark.parametrize("transform", [flip_horizontal, flip_vertical, reverse_time])
def test_truth_is_optional(scene, transform):
    pair = scene.capture(())
    result = transform(crop(pair, top=0, left=0, height=HEIGHT, width=WIDTH))
    assert result.truth_flows is None
    assert result.name == pair.name


@pytest.mark.parametrize(
    "rectangle", [(-1, 0, 8, 8), (33, 0, 8, 8), (0, 49, 8, 8), (0, 0, 0, 8), (0, 0, 8, 57)]
)
def test_crops_beyond_the_images_are_refused(capture, rectangle):
    top, left, height, width = rectangle
    with pytest.raises(ValueError, match=f"cannot crop {height}x{width} at row {top}"):
        crop(capture, top=top, left=left, height=height, width=width)
