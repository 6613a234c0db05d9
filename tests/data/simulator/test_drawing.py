"""Scenes: exact images by either shutter, and exact displacements between them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from data.files.images import read_image
from data.simulator.drawing import draw_scene
from data.simulator.layers import Layer, Window
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion, shift_and_scale
from data.time_maps import scan_time
from tests.helpers.frames import psnr
from utils.errors import InputError
from utils.tools.demo_pictures import SAMPLES, make_samples

HEIGHT, WIDTH = 90, 120
SETTINGS = SceneSettings(
    height=HEIGHT, width=WIDTH, camera_motion=14, object_motion=14, acceleration=3
)


def photos(count: int = 3, *, blur: float = 8.0) -> list[Tensor]:
    """Smooth random colour fields, (3, 160, 200) uint8."""
    generator = torch.Generator().manual_seed(0)
    size = (round(160 / blur), round(200 / blur))
    fields = torch.rand(count, 3, *size, generator=generator)
    smooth = F.interpolate(fields, size=(160, 200), mode="bicubic", align_corners=False)
    return list(smooth.clamp(0, 1).mul(255).round().to(torch.uint8))


def translation(x: float, y: float) -> Motion:
    """Uniform translation of the camera by (x, y) px over the readout."""
    coefficients = torch.zeros(6, 4, dtype=torch.float64)
    coefficients[0, 1], coefficients[1, 1] = x, y
    return Motion(coefficients)


def plane(texture: Tensor, motion: Motion | None = None) -> Layer:
    """A layer with its texture's centre at its own origin, one texture pixel per frame pixel."""
    height, width = texture.shape[1:]
    placement = shift_and_scale(((width - 1) / 2, (height - 1) / 2))
    return Layer(texture, placement, motion or Motion.at_rest())


def pixel_grid(height: int, width: int) -> Tensor:
    """(height, width, 2) pixel positions (x, y)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((x, y), dim=-1).float()


def sample_at(image: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples of (3, H, W) at (h, w, 2) positions (x, y)."""
    size = torch.tensor([image.shape[2] - 1, image.shape[1] - 1])
    return F.grid_sample(image[None], (2 * positions / size - 1)[None], align_corners=True)[0]


def test_same_seed_same_scene_bit_for_bit() -> None:
    first, second, other = (
        draw_scene(photos(), SETTINGS, seed).capture([0, 0.5, 1], with_flows=True)
        for seed in (7, 7, 8)
    )
    assert torch.equal(first.pair, second.pair)
    assert first.truth is not None and second.truth is not None
    assert torch.equal(first.truth, second.truth)
    assert first.truth_flows is not None and second.truth_flows is not None
    assert torch.equal(first.truth_flows, second.truth_flows)
    assert not torch.equal(first.pair, other.pair)


def test_seed_may_be_a_sequence() -> None:
    captures = [draw_scene(photos(), SETTINGS, seed).capture([]) for seed in ((1, 2), (1, 3))]
    assert not torch.equal(captures[0].pair, captures[1].pair)


def test_no_motion_makes_all_images_equal() -> None:
    scene = draw_scene(photos(), replace(SETTINGS, strength=0.0), 3)
    capture = scene.capture([0, 0.3, 1], with_flows=True)
    assert capture.truth is not None and capture.truth_flows is not None
    for image in (capture.b2t, *capture.truth):
        torch.testing.assert_close(image, capture.t2b, atol=1e-6, rtol=0)
    assert float(capture.truth_flows.abs().max()) < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_rolling_shutter_images_come_from_their_instants(seed: int) -> None:
    scene = draw_scene(photos(blur=2), SETTINGS, seed)
    s = scan_time(HEIGHT)
    capture = scene.capture(s)
    assert capture.truth is not None
    t2b = torch.stack([capture.truth[row, :, row] for row in range(HEIGHT)], dim=1)
    b2t = torch.stack([capture.truth[HEIGHT - 1 - row, :, row] for row in range(HEIGHT)], dim=1)
    torch.testing.assert_close(capture.t2b, t2b, atol=1e-5, rtol=0)
    # 1 - s and the instant of the opposite row differ in their last bit.
    torch.testing.assert_close(capture.b2t, b2t, atol=1e-4, rtol=0)


def test_a_part_of_the_frame_equals_that_part_of_the_whole() -> None:
    for seed in range(8):
        scene = draw_scene(photos(blur=1), SETTINGS, seed)
        whole = scene.capture([0, 0.4, 1], with_flows=True)
        part = scene.capture([0, 0.4, 1], Window(20, 30, 40, 50), with_flows=True)
        region = (..., slice(20, 60), slice(30, 80))
        for field in ("t2b", "b2t", "truth"):
            expected = getattr(whole, field)[region]
            torch.testing.assert_close(getattr(part, field), expected, atol=1e-5, rtol=0)
        assert whole.truth_flows is not None and part.truth_flows is not None
        torch.testing.assert_close(part.truth_flows, whole.truth_flows[region])
        assert torch.equal(part.scan_time, whole.scan_time[20:60])


def test_translated_photo_by_hand() -> None:
    texture = torch.rand(3, 41, 61, generator=torch.Generator().manual_seed(1))
    scene = Scene(21, 31, translation(-8, 4), (plane(texture),))
    at_rest, moved = scene.render(torch.tensor([[0.0], [0.5]]).expand(-1, 21))
    torch.testing.assert_close(at_rest, texture[:, 10:31, 15:46], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved, texture[:, 12:33, 11:42], atol=1e-5, rtol=0)


def test_background_continues_as_a_mirror_image() -> None:
    texture = torch.rand(3, 11, 15, generator=torch.Generator().manual_seed(2))
    image = Scene(11, 25, Motion.at_rest(), (plane(texture),)).render(torch.zeros(1, 11))[0]
    torch.testing.assert_close(image[:, :, 5:20], texture, atol=1e-5, rtol=0)
    torch.testing.assert_close(image[:, :, :5], texture[:, :, 1:6].flip(-1), atol=1e-5, rtol=0)


def test_objects_are_blended_by_their_opacity() -> None:
    background = plane(torch.full((3, 41, 41), 0.2))
    texture = torch.full((4, 9, 9), 0.8)
    texture[3] = 0.25
    scene = Scene(21, 21, Motion.at_rest(), (background, plane(texture)))
    image = scene.render(torch.zeros(1, 21))[0]
    inside = torch.full((3, 9, 9), 0.35)
    torch.testing.assert_close(image[:, 6:15, 6:15], inside, atol=1e-5, rtol=0)
    torch.testing.assert_close(image[:, :5], torch.full((3, 5, 21), 0.2))


def test_exact_flow_of_uniform_translation_by_hand() -> None:
    velocity = torch.tensor([9.0, -6.0])
    texture = photos(1)[0].float() / 255
    scene = Scene(HEIGHT, WIDTH, translation(-9, 6), (plane(texture),))
    capture = scene.capture([0.0, 0.25, 1.0], with_flows=True)
    assert capture.truth_flows is not None and capture.truth_times is not None
    flow = capture.truth_flows.permute(0, 1, 3, 4, 2)
    arrival = pixel_grid(HEIGHT, WIDTH) + flow
    s = arrival[..., 1] / (HEIGHT - 1)
    exposure = torch.stack((s[:, 0], 1 - s[:, 1]), dim=1)
    elapsed = exposure - capture.truth_times[:, None, None, None]
    torch.testing.assert_close(flow, velocity * elapsed[..., None], atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_rolling_shutter_images_warped_by_the_flows_are_the_frames(seed: int) -> None:
    scene = draw_scene(photos(), replace(SETTINGS, max_objects=0), seed)
    capture = scene.capture([0, 0.5, 1], with_flows=True)
    assert capture.truth is not None and capture.truth_flows is not None
    inputs = pixel_grid(HEIGHT, WIDTH)
    for frame, flows in zip(capture.truth, capture.truth_flows, strict=True):
        for image, flow in zip(capture.pair, flows, strict=True):
            arrival = inputs + flow.permute(1, 2, 0)
            x, y = arrival.unbind(-1)
            seen = (x >= 0) & (x <= WIDTH - 1) & (y >= 0) & (y <= HEIGHT - 1)
            assert float(seen.float().mean()) > 0.6
            warped = sample_at(image, arrival)
            assert psnr(warped[:, seen], frame[:, seen]) > 40
            assert psnr(image[:, seen], frame[:, seen]) < 35


def test_flows_on_an_object_follow_the_object() -> None:
    background = plane(torch.full((3, 121, 141), 0.2))
    blob = torch.full((4, 31, 31), 0.9)
    scene = Scene(
        HEIGHT, WIDTH, Motion.at_rest(), (background, plane(blob, translation(20.0, 10.0)))
    )
    capture = scene.capture([0.0], with_flows=True)
    assert capture.truth_flows is not None
    # At t = 0 the object's centre is the frame's, row 44.5; it meets the scan of t2b where
    # 44.5 + 10 s = 89 s and that of b2t where 44.5 + 10 s = 89 (1 - s).
    middle = capture.truth_flows[0, :, :, 44:46, 60].mean(-1)
    expected = torch.tensor([[20.0, 10.0]]) * torch.tensor([[44.5 / 79], [44.5 / 99]])
    torch.testing.assert_close(middle, expected, atol=1e-3, rtol=0)
    assert not capture.truth_flows[..., :20, :].any()


def test_capture_carries_its_times_and_name() -> None:
    capture = draw_scene(photos(), SETTINGS, 0).capture([0.25, 0.75], name="scene/4")
    assert capture.name == "scene/4"
    assert capture.truth_times is not None
    assert capture.truth_times.tolist() == [0.25, 0.75]
    assert torch.equal(capture.scan_time, scan_time(HEIGHT))


def test_images_show_more_of_the_scene_beyond_the_frame() -> None:
    scene = draw_scene(photos(), SETTINGS, 1)
    instants = scan_time(HEIGHT)[None]
    wide = scene.render(instants, Window(0, -16, HEIGHT, WIDTH + 32))
    torch.testing.assert_close(wide[..., 16:-16], scene.render(instants), atol=1e-5, rtol=0)


def test_strength_range_is_drawn_from_and_scales_motion() -> None:
    def travel(strength: float | tuple[float, float], seed: int) -> float:
        scene = draw_scene(photos(), replace(SETTINGS, strength=strength), seed)
        return float(scene.camera.coefficients[:2, 1].norm())

    assert travel(0.5, 4) == pytest.approx(0.5 * travel(1.0, 4))
    ratios = [travel((0.25, 0.5), seed) / travel(1.0, seed) for seed in range(10)]
    assert all(0.25 <= ratio <= 0.5 for ratio in ratios)
    assert len(set(ratios)) == 10


def test_number_of_objects_and_their_photos_vary() -> None:
    dark, bright = (torch.full((3, 160, 200), v, dtype=torch.uint8) for v in (0, 255))
    scenes = [draw_scene([dark, bright], SETTINGS, seed) for seed in range(40)]
    assert {len(scene.layers) - 1 for scene in scenes} == {0, 1, 2, 3, 4}
    for scene in scenes:
        background_is_dark = float(scene.layers[0].texture.max()) == 0
        for layer in scene.layers[1:]:
            assert (float(layer.texture[:3].max()) > 0) == background_is_dark


@pytest.mark.parametrize(("height", "width"), [(2, 1), (3, 500), (400, 2)])
def test_sensors_of_any_size_are_drawn(height: int, width: int) -> None:
    scene = draw_scene(photos(), SceneSettings(height=height, width=width), 0)
    assert tuple(scene.capture([0.5]).pair.shape) == (2, 3, height, width)


def test_moving_a_scene_to_a_device_keeps_its_images() -> None:
    scene = draw_scene(photos(), SETTINGS, 2)
    assert torch.equal(scene.to("cpu").capture([0.5]).pair, scene.capture([0.5]).pair)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_renders_the_same_scene() -> None:
    scene = draw_scene(photos(), SETTINGS, 2)
    here = scene.capture([0, 0.5, 1], with_flows=True)
    there = scene.to("cuda").capture([0, 0.5, 1], with_flows=True)
    assert there.pair.device.type == "cuda"
    for field in ("pair", "truth"):
        torch.testing.assert_close(
            getattr(there, field).cpu(), getattr(here, field), atol=1e-3, rtol=0
        )
    assert there.truth_flows is not None and here.truth_flows is not None
    differences = (there.truth_flows.cpu() - here.truth_flows).abs()
    assert float(differences.flatten().quantile(0.99)) < 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 1}, "scene: height must be at least 2, got 1"),
        ({"width": 0}, "scene: width must be at least 1, got 0"),
        ({"strength": (1, 11)}, r"strength must be 0 to 10, .* got \(1, 11\)"),
        ({"max_objects": -1}, "scene: max_objects must be at least 0, got -1"),
        ({"camera_motion": math.nan}, "scene: camera_motion must be at least 0, got nan"),
        ({"strength": (0.5, 0.25)}, r"strength must be 0 to 10, or a range .* \(0.5, 0.25\)"),
        ({"strength": -1.0}, "strength must be 0 to 10, .* got -1.0"),
        ({"exposure": 1.5}, r"exposure must be 0 to 1, or a range \(low, high\) .* got 1.5"),
        ({"read_noise": (0.0, 2.0)}, "read_noise must be 0 to 1, .* got"),
        ({"gamma": 0.5}, "gamma must be 1 to 10, got 0.5"),
        ({"view_difference": -0.1}, "view_difference must be 0 to 1, got -0.1"),
        ({"parallax": (1.0, math.inf)}, r"parallax must be \(x, y\) in px, got \(1.0, inf\)"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SceneSettings(**changes)  # type: ignore[arg-type]


def test_scenes_need_photos_and_windows_need_pixels() -> None:
    with pytest.raises(InputError, match="at least one photo"):
        draw_scene([], SETTINGS, 0)
    scene = draw_scene(photos(), SETTINGS, 0)
    with pytest.raises(ValueError, match="cannot image .* of a 90x120 frame"):
        scene.capture([0.5], Window(0, WIDTH, HEIGHT, 0))
    with pytest.raises(InputError, match="about as fast as the scan"):
        Scene(9, 9, translation(0, -8), scene.layers).capture([0.5], with_flows=True)


def test_bundled_samples_can_be_made_again(tmp_path: Path) -> None:
    make_samples(tmp_path)
    for name in SAMPLES:
        for scan in ("t2b", "b2t"):
            made = read_image(tmp_path / name / f"0_{scan}.png")
            bundled = read_image(
                Path(__file__).parents[3] / "data" / "samples" / name / f"0_{scan}.png"
            )
            assert tuple(made.shape) == (3, 288, 384)
            assert psnr(made, bundled + 1e-6) > 50
