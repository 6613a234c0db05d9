import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from data.capture import CapturePair
from data.simulator.drawing import draw_scene
from data.simulator.scene import Scene
from data.simulator.settings import SceneSettings
from data.simulator.trajectories import Motion
from models.camera.path import RIGID, CameraMotion
from models.camera.refinement import refine_camera_motion
from models.classical.field import cell_centres
from models.flow.dis import to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import to_pixels
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan

SIZE = (192, 256)
SCAN = Scan.of(None, SIZE[0])
NO_PARALLAX = Parallax.none(SIZE[1])
PLACES = cell_centres(SIZE[0] // 4, SIZE[1] // 4)
HALF_DIAGONAL = 160.0
# Velocity and oscillation of the camera's shifts in px, turn in radians, and zoom.
RATES = (-9.0, 12.0, 0.03, -0.02)
SWAYS = (1.0, -0.8, 0.0, 0.0)


def draw(seed: int, *, objects: int = 0, parallax: tuple[float, float] = (0.0, 0.0)) -> Scene:
    photos = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea())
    textures = [torch.from_numpy(photo).permute(2, 0, 1) for photo in photos]
    settings = SceneSettings(*SIZE, 14.0, 20.0, 3.0, max_objects=4, parallax=parallax)
    scene = draw_scene(textures, settings, seed)
    while len(scene.layers) <= objects:
        seed += 1000
        scene = draw_scene(textures, settings, seed)
    coefficients = torch.zeros(6, 4, dtype=torch.float64)
    for number, (rate, sway) in enumerate(zip(RATES, SWAYS, strict=True)):
        coefficients[number] = torch.tensor((-rate / 2, rate, 0, sway))
    return replace(scene, camera=Motion(coefficients), layers=scene.layers[: 1 + objects])


def views_of(capture: CapturePair) -> tuple[Luma, Luma]:
    t2b, b2t = to_pixels(capture.pair)
    return to_luma(t2b), to_luma(b2t)


def true_displacements(scene: Scene, ends: tuple[float, ...] = (0.0, 1.0)) -> Array:
    """(2, h, w, 2) px of the background from t = 1/2 to both ends."""
    background = replace(scene, layers=scene.layers[:1])
    flows = [background.motion(0.5, end).flow[:, 2::4, 2::4] for end in ends]
    return torch.stack(flows).permute(0, 2, 3, 1).numpy()


def displacements(motion: CameraMotion) -> Array:
    velocity, deviation = motion.velocity(*PLACES), motion.deviation(*PLACES)
    return np.stack([side * velocity / 2 - deviation[..., 2] for side in (-1, 1)])


def odd_error(motion: CameraMotion, scene: Scene) -> float:
    """Root mean square error in px of the displacement over the whole readout, halved."""
    error = displacements(motion) - true_displacements(scene)
    return float(np.sqrt((((error[1] - error[0]) / 2) ** 2).sum(-1).mean()))


def even_error(motion: CameraMotion, scene: Scene) -> float:
    """Root mean square error in px of the mean displacement of both ends."""
    error = displacements(motion) - true_displacements(scene)
    return float(np.sqrt((((error[1] + error[0]) / 2) ** 2).sum(-1).mean()))


def rough() -> CameraMotion:
    """The camera's motion without its oscillation, with an error of half a pixel."""
    path = np.zeros((8, 4))
    path[:4, 0] = RATES
    path[:2, 0] = (path[:2, 0] + (0.7, -0.7)) / HALF_DIAGONAL
    return CameraMotion(path, SIZE, 0.5, RIGID)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rough_path_is_refined_to_hundredths_of_a_pixel(seed: int) -> None:
    scene = draw(seed)
    start = rough()
    found, _ = refine_camera_motion(start, views_of(scene.capture((0.5,))), SCAN, NO_PARALLAX)
    assert odd_error(start, scene) > 0.4
    assert odd_error(found, scene) < 0.04


def test_moving_objects_do_no_harm() -> None:
    scene = draw(4, objects=2)
    found, _ = refine_camera_motion(rough(), views_of(scene.capture((0.5,))), SCAN, NO_PARALLAX)
    assert odd_error(found, scene) < 0.15


def test_views_may_differ_in_brightness_and_contrast() -> None:
    scene = draw(1)
    t2b, b2t = views_of(scene.capture((0.5,)))
    darker = (0.8 * b2t.astype(np.float32) + 10).astype(np.uint8)
    found, _ = refine_camera_motion(rough(), (t2b, darker), SCAN, NO_PARALLAX)
    assert odd_error(found, scene) < 0.15


def test_vertical_motion_reveals_even_deviations() -> None:
    scene = draw(1)
    bowed = scene.camera.coefficients.clone()
    bowed[1, 2] = 2.0
    scene = replace(scene, camera=Motion(bowed))
    start = rough()
    found, _ = refine_camera_motion(start, views_of(scene.capture((0.5,))), SCAN, NO_PARALLAX)
    assert even_error(start, scene) > 1.9
    assert even_error(found, scene) < 0.7


@pytest.mark.parametrize("given", [(4.0, -2.0), (4.2, -1.9)])
def test_parallax_is_refined_and_not_mistaken_for_motion(given: tuple[float, float]) -> None:
    scene = draw(1, parallax=(4.0, -2.0))
    views = views_of(scene.capture((0.5,)))
    parallax = NO_PARALLAX._replace(middle=np.array(given, np.float32))
    found, corrected = refine_camera_motion(rough(), views, SCAN, parallax)
    assert odd_error(found, scene) < 0.04
    np.testing.assert_allclose(corrected.middle, (4, -2), atol=0.01)
    assert not corrected.change.any()


def test_parallax_of_a_fraction_of_a_pixel_is_found() -> None:
    views = views_of(draw(1, parallax=(0.0, 0.3)).capture((0.5,)))
    _, found = refine_camera_motion(rough(), views, SCAN, NO_PARALLAX)
    np.testing.assert_allclose(found.middle, (0, 0.3), atol=0.015)


def test_an_insignificant_parallax_is_dropped() -> None:
    views = views_of(draw(2).capture((0.5,)))
    parallax = NO_PARALLAX._replace(
        middle=np.array((0.2, 0), np.float32), change=np.array((0, 0.3), np.float32)
    )
    _, found = refine_camera_motion(rough(), views, SCAN, parallax)
    assert not found.middle.any() and not found.change.any()


def test_parallax_of_turned_cameras_is_a_line() -> None:
    t2b, b2t = views_of(draw(3).capture((0.5,)))
    centre = ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, math.degrees(1 / 128), 1.0)
    turned = cv2.warpAffine(b2t, turn, SIZE[::-1], flags=cv2.INTER_LANCZOS4)
    parallax = NO_PARALLAX._replace(change=np.array((0, -0.5), np.float32))
    _, found = refine_camera_motion(rough(), (t2b, np.asarray(turned)), SCAN, parallax)
    np.testing.assert_allclose(found.change, (0, -1), atol=0.1)


def test_a_scene_at_rest_stays_at_rest() -> None:
    still = to_luma(np.asarray(skimage.data.coffee()[:192, :256], np.float32) / 255)
    rest = CameraMotion(np.zeros((8, 4)), SIZE, 0.5, RIGID)
    found, _ = refine_camera_motion(rest, (still, still), SCAN, NO_PARALLAX)
    assert np.abs(displacements(found)).max() < 1e-6


@pytest.mark.parametrize("height, width", [(2, 1), (16, 16), (60, 60)])
def test_too_few_points_leave_the_motion_unchanged(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    views = tuple(rng.integers(0, 256, (height, width)).astype(np.uint8) for _ in range(2))
    path = np.zeros((8, 4))
    path[0, 0] = 0.01
    motion = CameraMotion(path, (height, width), 0.5, RIGID)
    scan = Scan.of(None, height)
    found, parallax = refine_camera_motion(motion, (views[0], views[1]), scan, NO_PARALLAX)
    assert found is motion and parallax is NO_PARALLAX


def test_images_without_texture_give_a_camera_at_rest() -> None:
    flat = np.full(SIZE, 90, np.uint8)
    path = np.zeros((8, 4))
    path[0, 0] = 0.01
    motion = CameraMotion(path, SIZE, 0.5, RIGID)
    found, _ = refine_camera_motion(motion, (flat, flat), SCAN, NO_PARALLAX)
    np.testing.assert_allclose(found.path, 0, atol=1e-9)


def test_unrelated_views_give_a_finite_path() -> None:
    rng = np.random.default_rng(0)
    views = tuple(rng.integers(0, 256, SIZE).astype(np.uint8) for _ in range(2))
    rest = CameraMotion(np.zeros((8, 4)), SIZE, 0.5, RIGID)
    found, _ = refine_camera_motion(rest, (views[0], views[1]), SCAN, NO_PARALLAX)
    assert np.isfinite(found.path).all() and np.abs(displacements(found)).max() < 20
