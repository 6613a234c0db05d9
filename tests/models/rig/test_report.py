import cv2
import numpy as np
import pytest
import skimage.data
import torch

from models.flow.dis import to_luma
from models.measurement.scan import Scan
from models.rig.report import check_capture, find_orientation
from tests.helpers.moving_texture import Pan
from utils.errors import InputError

SIZE = (128, 192)


def test_figures_of_a_pan() -> None:
    report = check_capture(Pan((9, -12), SIZE, parallax=(5, -2)).pair())
    assert report.size == SIZE and report.orientation == "upright" and report.order is None
    assert report.matched > 0.8
    np.testing.assert_allclose(report.speed, (15, 15), atol=1.5)
    np.testing.assert_allclose(report.alignment.shift, (5, -2), atol=0.1)
    np.testing.assert_allclose(report.colours.at_grey, (0, 0, 0), atol=0.01)


def test_blur_is_that_of_each_view() -> None:
    photo = skimage.data.astronaut()[:200, :300]
    views = np.stack((photo, cv2.GaussianBlur(photo, (0, 0), 2.0)))
    t2b, b2t = check_capture(torch.from_numpy(views).permute(0, 3, 1, 2) / 255).blur
    assert t2b is not None and t2b < 1
    assert b2t == pytest.approx(2, abs=0.3)


def test_speed_counts_frame_intervals() -> None:
    scan = 0.25 + torch.arange(128) / 127 / 2
    pair = Pan((30, 0), SIZE, scan=Scan(0.25, 0.5 / 127)).pair()
    np.testing.assert_allclose(check_capture(pair, scan).speed, (30, 30), atol=2)
    np.testing.assert_allclose(check_capture(pair).speed, (15, 15), atol=1)


def test_a_scene_at_rest_has_almost_no_displacement() -> None:
    still = Pan((0, 0), SIZE, parallax=(5, -2)).pair()
    noise = 0.02 * torch.randn(still.shape, generator=torch.Generator().manual_seed(0))
    for pair in (still, (still + noise).clamp(0, 1)):
        assert check_capture(pair).displacement < 0.4
    assert check_capture(Pan((2, 0), SIZE).pair()).displacement > 1.2


def test_an_object_in_a_scene_at_rest_moves() -> None:
    pair = Pan((0, 0), SIZE).pair()
    moving = Pan((20, 0), SIZE).pair()
    pair[..., 10:50, 60:100] = moving[..., 10:50, 60:100]
    report = check_capture(pair)
    assert report.displacement > 3 and report.speed[0] < 0.5


@pytest.mark.parametrize(
    ("sides", "orientation"),
    [
        ((), "upright"),
        ((-2,), "upside down"),
        ((-1,), "mirrored"),
        ((-2, -1), "turned by 180 degrees"),
    ],
)
def test_orientation(sides: tuple[int, ...], orientation: str) -> None:
    pair = Pan((8, 5), SIZE).pair()
    if sides:
        pair[1] = pair[1].flip(sides)
    assert check_capture(pair).orientation == orientation


def test_orientation_in_doubt_is_upright() -> None:
    grey = to_luma(np.random.default_rng(0).random((64, 80, 3)).astype(np.float32))
    other = to_luma(np.random.default_rng(1).random((64, 80, 3)).astype(np.float32))
    assert find_orientation(grey, other) == "upright"
    assert find_orientation(grey[:20], grey[19::-1]) == "upright"


def test_the_next_capture_gives_the_order() -> None:
    pair = Pan((9, 0), SIZE).pair()
    order = check_capture(pair, next_pair=pair.roll(9, dims=-1)).order
    assert order is not None and order.verdict == "as stated"
    order = check_capture(pair.flip(0), next_pair=pair.flip(0).roll(9, dims=-1)).order
    assert order is not None and order.verdict == "swapped"


@pytest.mark.parametrize("size", [(2, 1), (3, 5), (40, 33)])
def test_any_size_gives_finite_figures(size: tuple[int, int]) -> None:
    pair = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    report = check_capture(pair, next_pair=pair.flip(0))
    assert np.isfinite([report.matched, report.displacement, *report.speed]).all()
    assert np.isfinite(report.order[:4] if report.order else ()).all()


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="images of 1 row x 9 columns have no rolling shutter"):
        check_capture(torch.zeros(2, 3, 1, 9))
    with pytest.raises(ValueError, match=r"scan_time must be \(4,\), got \(5,\)"):
        check_capture(torch.zeros(2, 3, 4, 9), torch.linspace(0, 1, 5))
    with pytest.raises(ValueError, match=r"next_pair must have the shape of pair, got \(2, 3, 4"):
        check_capture(torch.zeros(2, 3, 4, 9), next_pair=torch.zeros(2, 3, 4, 8))
