import numpy as np
import pytest

from models.measurement.statistics import (
    fit_levels,
    fit_line,
    geman_mcclure_weight,
    robust_std,
)


def test_geman_mcclure_weights_by_hand() -> None:
    assert geman_mcclure_weight(np.array([0.0, 1.0, 3.0])).tolist() == [1, 0.25, 0.0625]


def test_outliers_hardly_change_the_standard_deviation() -> None:
    errors = 2 * np.random.default_rng(0).standard_normal(10_000)
    errors[:100] = 1e6
    assert robust_std(errors) == pytest.approx(2, rel=0.05)


RNG = np.random.default_rng(0)
VALUES = RNG.uniform(0.1, 0.9, 2000).astype(np.float32)


def test_a_line_fit_ignores_outliers() -> None:
    other = (0.9 * VALUES + 0.05).astype(np.float32)
    other[::5] = RNG.uniform(0, 1, 400)
    assert fit_line(VALUES, other) == pytest.approx((0.9, 0.05), abs=0.003)


def test_noise_in_both_views_does_not_bias_the_gain() -> None:
    noisy = [(VALUES + RNG.normal(scale=0.05, size=2000)).astype(np.float32) for _ in range(2)]
    gain, offset = fit_line(*noisy)
    assert gain == pytest.approx(1, abs=0.02) and offset == pytest.approx(0, abs=0.01)


def test_exchanged_views_give_the_inverse_line() -> None:
    other = (0.8 * VALUES + 0.1).astype(np.float32)
    gain, offset = fit_line(other, VALUES)
    assert (gain, offset) == pytest.approx((1 / 0.8, -0.1 / 0.8), abs=1e-4)


def test_without_contrast_the_gain_is_the_ratio_of_means() -> None:
    flat = np.full(500, 0.4, np.float32)
    assert fit_line(flat, flat / 2) == pytest.approx((0.5, 0), abs=1e-6)


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (0.002, 0.2), (0.2, 0.002)])
def test_the_gain_of_a_black_view_is_one(first: float, second: float) -> None:
    gain, offset = fit_line(*(np.full(500, value, np.float32) for value in (first, second)))
    assert gain == 1 and offset == pytest.approx(second - first, abs=1e-6)


def test_too_few_points_give_the_identity() -> None:
    assert fit_line(VALUES[:99], VALUES[:99] / 2) == (1, 0)


def test_the_offset_of_grey_levels_is_in_grey_levels() -> None:
    levels = 255 * VALUES
    assert fit_levels(levels, 0.8 * levels + np.float32(12)) == pytest.approx((0.8, 12), abs=0.03)
