"""Random generators go on where they were."""

import random

import numpy as np
import torch

from utils.system.random_state import random_state, restore_random_state, seed_everything

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()] + [
        float(torch.rand(()))
    ]


def test_seed_fixes_every_generator() -> None:
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first


def test_restored_generators_repeat_what_followed(tmp_path) -> None:
    seed_everything(1)
    draw()  # leaves half a pair of normal numbers behind
    torch.save(random_state(CPU), tmp_path / "state.pt")
    following = draw()
    seed_everything(2)
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert draw() == following
