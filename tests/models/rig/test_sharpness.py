import cv2
import numpy as np
import pytest

from models.rig.sharpness import edge_blur


def discs() -> np.ndarray:
    """Discs of several greys with hard, antialiased edges."""
    image = np.full((1200, 1600), 90, np.uint8)
    for index, (x, y) in enumerate(np.random.default_rng(0).uniform(100, 1100, size=(14, 2))):
        cv2.circle(image, (int(x), int(y)), 120, 20 + 15 * index, -1)
    return np.asarray(cv2.resize(image, (400, 300), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("deviation", [1.0, 2.0, 3.5])
def test_blur_is_measured_in_pixels(deviation: float) -> None:
    blurred = cv2.GaussianBlur(discs(), (0, 0), deviation)
    assert edge_blur(np.asarray(blurred)) == pytest.approx(deviation, rel=0.1)


def test_hard_edges_have_the_blur_of_a_pixel() -> None:
    blur = edge_blur(discs())
    assert blur is not None and blur < 0.4


def test_images_without_edges_have_no_blur() -> None:
    assert edge_blur(np.full((20, 30), 128, np.uint8)) is None
    assert edge_blur(np.zeros((2, 1), np.uint8)) is None
