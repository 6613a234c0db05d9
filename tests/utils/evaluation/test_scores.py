import math

import numpy as np
import pytest

from tests.helpers.capture_folders import random_pixels
from utils.evaluation.scores import (
    BandScore,
    FrameScore,
    average_bands,
    score_frame,
    summarise,
    summarise_bands,
)
from utils.metrics import band_psnr, psnr, ssim


def score(pair: str, psnr: float, ssim: float = 0.5, band: float = 10.0) -> FrameScore:
    values = {"psnr": psnr, "ssim": ssim, "band_psnr": band, "inner_psnr": psnr + 1}
    return FrameScore("full", "method", pair, 0, 0.0, values)


def test_the_sequence_is_part_of_the_pair() -> None:
    assert score("street/00000003", 30).sequence == "street"


def test_means_go_over_frames_then_pairs() -> None:
    scores = [score("a/0", 20, 0.2, 12), score("a/0", 30, 0.4, 14), score("a/1", 40, 0.9, 5)]
    summary = summarise(scores)
    assert summary.values["psnr"] == pytest.approx((25 + 40) / 2)
    assert summary.values["ssim"] == pytest.approx((0.3 + 0.9) / 2)
    assert summary.values["band_psnr"] == pytest.approx((13 + 5) / 2)
    assert summary.values["inner_psnr"] == pytest.approx((26 + 41) / 2)
    assert (summary.pairs, summary.identical) == (2, 0)


def test_identical_frames_are_counted_instead_of_averaged() -> None:
    infinite = [score("a/0", math.inf), score("a/0", 30), score("a/1", math.inf)]
    values = {"psnr": 30.0, "ssim": 0.5, "band_psnr": 10.0, "inner_psnr": 31.0}
    assert summarise(infinite) == (values, 2, 2)
    assert summarise(infinite[:1]).values["psnr"] == math.inf


def test_bands_are_averaged_over_frames_then_pairs() -> None:
    scores = [
        score(pair, 30)._replace(bands=(BandScore(0, {"psnr": psnr, "ssim": psnr / 100}),))
        for pair, psnr in (("a/0", 20.0), ("a/0", 30.0), ("a/1", 40.0))
    ]
    (band,) = summarise_bands(scores)
    assert band == (0, pytest.approx({"psnr": 32.5, "ssim": 0.325}))


TRUTH = random_pixels("truth", (150, 170))


def bands_of(image: np.ndarray, border: int = 0) -> dict[str, BandScore]:
    return {band.label: band for band in score_frame(image, TRUTH, border)[1]}


def test_an_error_counts_in_its_band_alone() -> None:
    image = TRUTH.copy()
    image[20, 100] ^= 128  # 20 px from the top, further from all else
    bands = bands_of(image)
    assert list(bands) == ["0-8", "8-16", "16-32", "32-64", "64+"]
    assert [math.isfinite(band.values["psnr"]) for band in bands.values()] == [
        False,
        False,
        True,
        False,
        False,
    ]
    pixels = (150 - 32) * (170 - 32) - (150 - 64) * (170 - 64)
    assert bands["16-32"].values["psnr"] == pytest.approx(10 * math.log10(255**2 * pixels / 128**2))
    # Windows reach 5 px further than their middle.
    assert [band.values["ssim"] == 1 for band in bands.values()] == [True, False, False, True, True]


def test_bands_are_those_of_the_band_along_the_border() -> None:
    image = random_pixels("image", TRUTH.shape[:2])
    bands = bands_of(image)
    assert bands["0-8"].values["psnr"] == pytest.approx(band_psnr(image, TRUTH, 8))
    assert bands["64+"].values["psnr"] == pytest.approx(psnr(image, TRUTH, 64))
    # SSIM of what lies further in than 64 px: windows whose middle does.
    assert bands["64+"].values["ssim"] == pytest.approx(ssim(image, TRUTH, 64 - 5))


def test_a_cropped_border_leaves_bands_out_but_does_not_move_them() -> None:
    image = random_pixels("image", TRUTH.shape[:2])
    whole, cropped = bands_of(image), bands_of(image, border=20)
    assert list(cropped) == ["16-32", "32-64", "64+"]
    assert cropped["32-64"].values == pytest.approx(whole["32-64"].values)
    inner = np.s_[20:-20, 20:-20]
    assert cropped["16-32"].values["psnr"] == pytest.approx(
        band_psnr(image[inner], TRUTH[inner], 12)
    )


def test_small_images_have_only_the_outer_bands() -> None:
    image, truth = random_pixels("a", (17, 11)), random_pixels("b", (17, 11))
    _, (band,) = score_frame(image, truth)
    assert band.start == 0 and band.values["psnr"] == pytest.approx(psnr(image, truth))
    assert band.values["ssim"] == pytest.approx(ssim(image, truth))


def test_averages_go_over_the_frames_that_have_a_band() -> None:
    outer, inner = {"psnr": 20.0, "ssim": 0.5}, {"psnr": 30.0, "ssim": 0.75}
    frames = [
        [BandScore(0, outer), BandScore(8, inner)],
        [BandScore(0, {"psnr": math.inf, "ssim": 1.0})],
    ]
    expected = [BandScore(0, {"psnr": 20.0, "ssim": 0.75}), BandScore(8, inner)]
    assert average_bands(frames) == expected
    assert average_bands([]) == []
