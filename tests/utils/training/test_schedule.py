"""The learning rate of every step, against values worked by hand."""

import math

import pytest

from utils.options.training import StepOptions
from utils.training.schedule import learning_rate


def rate(step: int, **options) -> float:
    given = {"G_optimizer_lr": 1.0, "G_scheduler_eta_min": 0.2, "G_scheduler_periods": 8}
    given |= {"objective": "supervised", "G_lossfn_type": "1*Charbonnier", "iterations": 1}
    return learning_rate(step, StepOptions.model_validate(given | options))


def test_cosine_falls_from_highest_to_lowest_and_starts_again() -> None:
    assert rate(0) == 1
    assert rate(4) == pytest.approx(0.6)
    assert rate(2) == pytest.approx(0.2 + 0.4 * (1 + math.sqrt(0.5)))
    assert rate(7) == pytest.approx(0.2 + 0.4 * (1 - math.cos(math.pi / 8)))
    assert rate(8) == 1
    assert rate(12) == rate(4)


def test_warmup_rises_in_proportion_and_then_leaves_the_cosine_alone() -> None:
    assert rate(0, warmup_steps=4) == pytest.approx(0.25 * rate(0))
    assert rate(1, warmup_steps=4) == pytest.approx(0.5 * rate(1))
    assert rate(3, warmup_steps=4) == rate(3)
    assert rate(9, warmup_steps=4) == rate(9)


def test_recipe_of_stage_1() -> None:
    recipe = {"G_optimizer_lr": 1e-4, "G_scheduler_eta_min": 1e-7, "G_scheduler_periods": 300_000}
    assert rate(0, **recipe) == 1e-4
    assert rate(150_000, **recipe) == pytest.approx(5.005e-5)
    assert rate(299_999, **recipe) == pytest.approx(1e-7, rel=1e-3)
