"""Whoever watches a correction is told its share that is done."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.inference.correction import BASELINES, Correction, self_ensemble
from models.progress import part_of, tell_share, watched_by
from utils.correction import load_method
from utils.options.evaluation import MethodOptions

TIMES = [0.0, 0.5, 1.0, 0.5]


def method(weights: str, **options: object) -> Correction:
    about = {"path": {"pretrained_netG": f"pretrained/{weights}"}, **options}
    return load_method(MethodOptions.model_validate({"task": "x", **about}), "cpu").correct


def shares(method: Correction) -> list[float]:
    told: list[float] = []
    with watched_by(told.append):
        method(torch.rand(2, 3, 48, 64), TIMES)
    return told


@pytest.mark.parametrize("weights", ["drsc_light.safetensors", "drsc_light_generator.safetensors"])
@pytest.mark.parametrize("tile", [None, 32])
def test_networks_tell_each_batch(weights: str, tile: int | None) -> None:
    told = shares(method(weights, tile=tile))
    assert told == sorted(told) and told[-1] == 1
    if tile:
        assert len(told) >= 4 and told[0] < 0.5


def test_the_classical_correction_tells_each_frame() -> None:
    assert shares(BASELINES["classical"]) == [0.25, 0.5, 0.75, 1]
    halves = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]
    assert shares(self_ensemble(BASELINES["classical"])) == halves


def test_nobody_else_is_told() -> None:
    told: list[float] = []
    with watched_by(told.append), ThreadPoolExecutor(1) as pool:
        pool.submit(tell_share, 0.5).result()
        with part_of(1, 4):
            tell_share(0.5)
    tell_share(1.0)
    assert told == [0.375]
