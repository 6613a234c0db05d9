import math

import pytest

from utils.evaluation.band_scores import BandScore
from utils.evaluation.scores import FrameScore, summarise, summarise_bands


def score(pair: str, psnr: float, ssim: float = 0.5, band: float = 10.0) -> FrameScore:
    return FrameScore("full", "method", pair, 0, 0.0, psnr, ssim, band, psnr + 1)


def test_the_sequence_is_part_of_the_pair() -> None:
    assert score("street/00000003", 30).sequence == "street"


def test_means_go_over_frames_then_pairs() -> None:
    scores = [score("a/0", 20, 0.2, 12), score("a/0", 30, 0.4, 14), score("a/1", 40, 0.9, 5)]
    summary = summarise(scores)
    assert summary.psnr == pytest.approx((25 + 40) / 2)
    assert summary.ssim == pytest.approx((0.3 + 0.9) / 2)
    assert summary.band_psnr == pytest.approx((13 + 5) / 2)
    assert summary.inner_psnr == pytest.approx((26 + 41) / 2)
    assert (summary.pairs, summary.identical) == (2, 0)


def test_identical_frames_are_counted_instead_of_averaged() -> None:
    infinite = [score("a/0", math.inf), score("a/0", 30), score("a/1", math.inf)]
    assert summarise(infinite) == (30.0, 0.5, 10.0, 31.0, 2, 2)
    assert summarise(infinite[:1]).psnr == math.inf


def test_bands_are_averaged_over_frames_then_pairs() -> None:
    scores = [
        score(pair, 30)._replace(bands=(BandScore(0, psnr, psnr / 100),))
        for pair, psnr in (("a/0", 20.0), ("a/0", 30.0), ("a/1", 40.0))
    ]
    (band,) = summarise_bands(scores)
    assert band == (0, pytest.approx(32.5), pytest.approx(0.325))
