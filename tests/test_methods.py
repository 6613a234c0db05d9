from pathlib import Path

import pytest
import torch

from models.classical import correct_classically
from models.generator import Generator
from utils.checkpoint import save_weights
from utils.methods import load_method
from utils.real_options import RealOptions


def options(weights: Path | None, method: str) -> RealOptions:
    return RealOptions.model_validate(
        {
            "task": "test",
            "method": method,
            "path": {"pretrained_netG": None if weights is None else str(weights)},
            "datasets": {"test": {"data_root": "data/samples"}},
        }
    )


def test_the_classical_correction_needs_no_weights() -> None:
    assert load_method(options(None, "classical"), "cpu")[:2] == ("classical", correct_classically)


@pytest.mark.parametrize(
    ("file", "name"),
    [("mine.safetensors", "mine"), ("classical.safetensors", "classical.safetensors")],
)
def test_networks_are_named_after_their_file_but_never_like_a_baseline(
    tmp_path: Path, file: str, name: str
) -> None:
    save_weights(tmp_path / file, Generator(width=0.04))
    method = load_method(options(tmp_path / file, "network"), "cpu")
    assert method.name == name
    frames = method.correct(torch.rand(2, 3, 8, 9), [0.5], scan_time=torch.linspace(0, 1, 8))
    assert frames.shape == (1, 3, 8, 9)
