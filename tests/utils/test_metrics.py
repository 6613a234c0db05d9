import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from data.files.images import Image
from utils.errors import InputError
from utils.metrics import METRICS, PROTOCOLS, band_psnr, mean_psnr, psnr, ssim, ssim_map

REFERENCE = Path(__file__).parents[1] / "references" / "metrics.npz"


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("border", [0, 20])
def test_equals_the_reference(border: int) -> None:
    reference = np.load(REFERENCE)
    a, b = reference["a"], reference["b"]
    assert psnr(a, b, border) == pytest.approx(float(reference[f"psnr_border{border}"]), abs=1e-6)
    assert ssim(a, b, border) == pytest.approx(float(reference[f"ssim_border{border}"]), abs=1e-6)


def test_the_map_holds_the_windows_that_are_averaged() -> None:
    a, b = noise(24, 30), noise(24, 30, seed=1)
    similarity = ssim_map(a, b)
    assert similarity.shape == (24 - 10, 30 - 10, 3) and similarity.mean() == ssim(a, b)
    one = ssim(a[2:13, 7:18], b[2:13, 7:18])  # a single window, whose middle is (7, 12)
    assert similarity[2, 7].mean() == pytest.approx(one)


def test_psnr_of_a_constant_error_by_hand() -> None:
    a = np.full((4, 5, 3), 100, np.uint8)
    assert psnr(a, a + 5) == pytest.approx(20 * math.log10(255 / 5))


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert psnr(black, white) == pytest.approx(0)


def test_only_what_lies_inside_the_border_counts() -> None:
    a = noise(40, 50)
    b = a.copy()
    b[:3], b[-3:], b[:, :3], b[:, -3:] = 0, 0, 0, 0
    assert psnr(a, b, border=3) == math.inf
    assert ssim(a, b, border=3) == pytest.approx(1)
    b[3, 3] ^= 255
    assert psnr(a, b, border=3) < math.inf


def test_ssim_of_flat_images_by_hand() -> None:
    # Without variance only the luminance term is left: (2ab + C1) / (a^2 + b^2 + C1).
    a, b, c1 = 100, 110, (0.01 * 255) ** 2
    flat = np.ones((12, 12, 3), np.uint8)
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    assert ssim(flat * a, flat * b) == pytest.approx(expected)


def test_identical_images() -> None:
    a = noise(16, 16)
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)


def test_the_band_is_what_psnr_leaves_out() -> None:
    a, b = noise(40, 50), noise(40, 50, seed=1)
    squares = (a.astype(float) - b) ** 2
    inside = squares[7:-7, 7:-7]
    expected = 10 * math.log10(255**2 / ((squares.sum() - inside.sum()) / (6000 - inside.size)))
    assert band_psnr(a, b, 7) == pytest.approx(expected)
    b[:7], b[-7:], b[:, :7], b[:, -7:] = a[:7], a[-7:], a[:, :7], a[:, -7:]
    assert band_psnr(a, b, 7) == math.inf
    with pytest.raises(InputError, match="expected at least 41x41"):
        band_psnr(a, b, 20)
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        band_psnr(a, b, 0)


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (61, 83)])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int]) -> None:
    a = noise(*size)
    b = (a * 0.8 + noise(*size, seed=1) * 0.2).astype(np.uint8)
    expected = structural_similarity(
        a,
        b,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    assert ssim(a, b, device=torch.device("cpu")) == pytest.approx(expected, abs=1e-9)


def test_similarity_on_a_device_is_that_by_opencv_in_each_window() -> None:
    a, b = noise(20, 31), noise(20, 31, seed=1)
    b[:, :9] = a[:, :9]
    found = ssim_map(a, b, 2, torch.device("cpu"))
    np.testing.assert_allclose(found, ssim_map(a, b, 2), atol=1e-12)
    assert METRICS["ssim"].on(torch.device("cpu")) is METRICS["ssim"]
    assert METRICS["ssim"].on(torch.device("cuda")) is not METRICS["ssim"]


def test_mean_leaves_identical_images_out() -> None:
    assert mean_psnr([30.0, math.inf, 34.0]) == 32.0
    assert mean_psnr([math.inf, math.inf]) == math.inf
    with pytest.raises(ValueError, match="at least one PSNR value"):
        mean_psnr([])


def test_too_small_images_are_refused_with_the_size_needed() -> None:
    small = noise(40, 60)
    with pytest.raises(InputError, match=r"60x40 .* border of 20: expected at least 41x41"):
        psnr(small, small, border=20)
    with pytest.raises(InputError, match="expected at least 11x11"):
        ssim(small[:10], small[:10])
    assert ssim(small[:11, :11], small[:11, :11]) == pytest.approx(1)


def test_what_is_no_pair_of_8_bit_images_is_refused() -> None:
    a = noise(16, 16)
    with pytest.raises(ValueError, match="of one size"):
        psnr(a, a[:8])
    with pytest.raises(ValueError, match="of one size"):
        ssim(a[..., 0], a[..., 0])
    with pytest.raises(ValueError, match="expected uint8"):
        psnr(a, a.astype(np.float32))
    with pytest.raises(ValueError, match="border must not be negative"):
        psnr(a, a, border=-1)


def test_protocols_are_the_published_ones() -> None:
    rules = {
        name: (rule.border, rule.rounding, rule.drops_ends) for name, rule in PROTOCOLS.items()
    }
    assert rules == {
        "released": (20, "rounded", False),
        "full": (0, "rounded", False),
        "ifed": (0, "floored", True),
    }
