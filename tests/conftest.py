"""Settings of the whole test run, and what tests of several scripts start from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

# Read when NumPy and torch are first imported, and handed on to processes that tests start. The
# tests' tensors are small: on a machine shared with others, threads that wait for each other cost
# ten times more than they bring. Nothing here imports torch: pytest-xdist's first process only
# hands out tests.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import pytest

if TYPE_CHECKING:
    from tests.helpers.script_runs import Scripts


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a generator too small to be of use."""
    from tests.helpers.script_runs import save_tiny_weights

    return save_tiny_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def scripts(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> "Scripts":
    """The test scripts, working in a folder of the test's own."""
    from tests.helpers.script_runs import Scripts

    return Scripts(tmp_path, weights, monkeypatch)
