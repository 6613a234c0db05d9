"""The test scripts as users call them, run in the process of the tests."""

import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

import main_test
import main_test_real
from models.generator import Generator
from tests.helpers.capture_folders import write_pixels
from utils.checkpoint import save_weights
from utils.real.places import RECORD

ROOT = Path(__file__).parents[2]


def save_tiny_weights(path: Path, *, seed: int = 0) -> Path:
    """Write weights of a generator too small to be of use."""
    torch.manual_seed(seed)
    save_weights(path, Generator(n_feats=8, width=0.05))
    return path


class Scripts:
    """Runs the scripts in this process, with inputs and outputs below a folder."""

    def __init__(self, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.weights = weights
        self.captures = folder / "captures"
        self.benchmark = folder / "benchmark"
        self.monkeypatch = monkeypatch

    def real(self, *arguments: str, changes: tuple[str, ...] = ()) -> Path:
        """Run `main_test_real.py`; returns its folder."""
        plain = ("check=false", "viewer=false")
        settings = [f"datasets.test.data_root={self.captures}", *self._settings(), *plain, *changes]
        self._call("main_test_real.py", *arguments, "--set", *settings)
        main_test_real.main()
        return self.folder / "results" / "test_real"

    def test(self, *changes: str, arguments: tuple[str, ...] = (), plotted: bool = False) -> Path:
        """Run `main_test.py`, by default without its slow plots; return its folder."""
        settings = [f"datasets.test.data_root={self.benchmark}", *self._settings(), *changes]
        opt = ("--opt", str(ROOT / "options/test.json"))
        self._call("main_test.py", *opt, *arguments, "--set", *settings)
        undrawn = patch("utils.evaluation.run.plot_scores", lambda *_: {})
        with nullcontext() if plotted else undrawn:
            main_test.main()
        return self.folder / "results" / "test_rs_gopro"

    def pair(self, name: str, size: tuple[int, int] = (20, 24)) -> tuple[str, str]:
        """Write a capture; returns the paths of its images."""
        paths = [self.captures / f"{name}_{direction}.png" for direction in ("t2b", "b2t")]
        for path in paths:
            write_pixels(path, size)
        return str(paths[0]), str(paths[1])

    def _settings(self) -> list[str]:
        root = self.folder / "results"
        return [f"path.pretrained_netG={self.weights}", f"path.root={root}", "device=cpu"]

    def _call(self, *command: str) -> None:
        self.monkeypatch.setattr(sys, "argv", list(command))


def names(folder: Path) -> list[str]:
    """All files but the record of the inputs."""
    files = (path for path in folder.rglob("*.*") if path.name != RECORD)
    return sorted(path.relative_to(folder).as_posix() for path in files)
