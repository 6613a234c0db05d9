import math

import cv2
import numpy as np
import pytest

from data.files.images import Image
from utils.quality.ghosts import double_edges, edge_sharpness, worst_sharpness
from utils.quality.views import ViewsAtInstant, steepness

HEIGHT, WIDTH = 64, 96


def step(column: int, *, low: int = 40, high: int = 200) -> Image:
    """A vertical edge: bright from `column` on."""
    row = np.where(np.arange(WIDTH) < column, low, high).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)))


def mean_of(*images: Image) -> Image:
    return np.mean(images, axis=0).round().astype(np.uint8)


def blurred(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def noisy(image: Image, sigma: float) -> Image:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def views(first: Image, second: Image, *, noise: float = 0.0) -> ViewsAtInstant:
    inside = np.ones(first.shape[:2], np.bool_)
    return ViewsAtInstant((first, second), (steepness(first), steepness(second)), inside, noise)


# Views that disagree in the ten columns from 40 to 49.
FIRST, SECOND = step(40), step(50)
DISAGREEING = views(FIRST, SECOND)


def test_the_steepness_of_a_ramp_is_its_slope() -> None:
    ramp = np.ascontiguousarray(
        np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (64, 96, 3))
    )
    np.testing.assert_allclose(steepness(ramp)[:, 20:-20], 2, atol=1e-3)


def test_steepness_leaves_out_what_noise_adds() -> None:
    noise = noisy(np.full((200, 200, 3), 128, np.uint8), 6)
    assert steepness(noise).mean() < 0.3 < 1  # without the subtraction 1.1 levels per px


def test_a_mean_of_both_views_has_double_edges() -> None:
    # The outermost of the ten columns are within 1 px of the other colour: they do not count.
    assert double_edges(mean_of(FIRST, SECOND), DISAGREEING) == pytest.approx(0.8, abs=0.01)
    # A mixture of a quarter and three quarters is half as far from the nearer view.
    unequal = mean_of(FIRST, FIRST, FIRST, SECOND)
    assert double_edges(unequal, DISAGREEING) == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(FIRST, id="one view"),
        pytest.param(SECOND, id="other view"),
        pytest.param(step(45), id="an edge between"),
        pytest.param(np.where(np.arange(64)[:, None, None] < 32, FIRST, SECOND), id="chosen"),
        pytest.param(step(40, low=40, high=40), id="no edge"),
    ],
)
def test_a_frame_that_chooses_has_no_double_edges(frame: Image) -> None:
    assert double_edges(frame, DISAGREEING) == 0


def test_neither_blur_nor_noise_nor_a_third_colour_is_a_double_edge() -> None:
    assert double_edges(blurred(FIRST, 1), DISAGREEING) < 0.05
    assert double_edges(noisy(FIRST, 4), DISAGREEING) < 0.05
    red = FIRST.copy()
    red[:, 40:50] = (255, 0, 0)
    assert double_edges(red, DISAGREEING) < 0.15


def test_views_that_differ_by_two_pixels_or_noise_agree() -> None:
    assert math.isnan(double_edges(FIRST, views(FIRST, step(42))))
    assert double_edges(mean_of(FIRST, step(43)), views(FIRST, step(43))) >= 0
    grains = views(noisy(FIRST, 4), noisy(FIRST[:, ::-1], 4)[:, ::-1], noise=4)
    assert math.isnan(double_edges(FIRST, grains))


def test_views_are_not_compared_where_one_does_not_see_the_point() -> None:
    hidden = DISAGREEING._replace(inside=np.zeros((HEIGHT, WIDTH), np.bool_))
    assert math.isnan(double_edges(FIRST, hidden))
    assert math.isnan(edge_sharpness(FIRST, hidden))


def test_a_view_is_as_sharp_as_itself_and_a_ghost_is_not() -> None:
    assert edge_sharpness(FIRST, DISAGREEING) == 1
    assert worst_sharpness(SECOND, DISAGREEING) == 1
    # 40 px apart each edge stands alone, at half its contrast.
    apart = views(step(28), step(68))
    assert worst_sharpness(mean_of(step(28), step(68)), apart) == pytest.approx(0.5, abs=0.01)
    ghost = mean_of(FIRST, SECOND)
    assert 0.5 < edge_sharpness(ghost, DISAGREEING) < 0.75


def test_blur_of_the_width_of_the_derivative_halves_the_energy() -> None:
    # An edge blurred by s has the squared gradient 1 / (2 s sqrt(pi)): s^2 goes from 1 to 1 + 3.
    found = worst_sharpness(blurred(FIRST, math.sqrt(3)), views(FIRST, FIRST))
    assert found == pytest.approx(math.sqrt(1 / 2), abs=0.02)


def test_a_noisy_frame_is_about_as_sharp_as_a_clean_one() -> None:
    scene = views(noisy(FIRST, 4), noisy(SECOND, 4), noise=4)
    assert edge_sharpness(noisy(FIRST, 4), scene) > 0.97
    assert edge_sharpness(FIRST, scene) > 0.9
    assert edge_sharpness(noisy(mean_of(FIRST, SECOND), 3), scene) < 0.75


def test_flat_images_have_no_sharpness() -> None:
    flat = step(40, low=90, high=90)
    assert math.isnan(edge_sharpness(flat, views(flat, flat)))
    assert math.isnan(worst_sharpness(flat, views(flat, flat)))
