import numpy as np
import pytest

from models.measurement.statistics import geman_mcclure_weight, robust_deviation


def test_weights_fall_from_one_by_the_fourth_power() -> None:
    assert geman_mcclure_weight(np.array([0.0, 1.0, 3.0])).tolist() == [1, 0.25, 0.0625]


def test_a_few_large_errors_hardly_move_the_deviation() -> None:
    errors = 2 * np.random.default_rng(0).standard_normal(10_000)
    errors[:100] = 1e6
    assert robust_deviation(errors) == pytest.approx(2, rel=0.05)
