"""Settings of the whole test run, and what tests of several scripts start from."""

import os
from pathlib import Path

# Read when NumPy and torch are first imported, and handed on to processes that tests start.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import pytest
import torch

from tests.helpers.script_runs import Scripts, save_tiny_weights

# The tests' tensors are small: on a machine shared with others, threads that wait for each other
# cost ten times more than they bring.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a generator too small to be of use."""
    return save_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def scripts(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    """The test scripts, working in a folder of the test's own."""
    return Scripts(tmp_path, weights, monkeypatch)
