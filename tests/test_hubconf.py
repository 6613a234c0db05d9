"""`torch.hub.load` from a clone, in a program that has modules called as ours."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.files.images import read_image, to_uint8
from models import load_correction

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys

import numpy as np
import torch
import utils

MODULES = {*("data", "models", "utils", "utils.errors", "utils.options")}

paths, pair = list(sys.path), np.load("pair.npy")
frames = []
for name in ("classical", "drsc_generator", "drsc"):
    correct = torch.hub.load(REPO, name, source="local", device="cpu")
    frames.append(correct(*pair, times=[0, 0.5]))
try:
    correct(pair[0], pair[1][:5], times=[0.5])
except Exception as error:
    print(type(error).__name__, error)

import models
import data

assert utils.OWNER == models.OWNER == data.OWNER == "the program"
assert {name for name in sys.modules if name.split(".")[0] in ("data", "models", "utils")} == {
    "data", "models", "utils"
}
assert sys.path == paths
np.save("frames.npy", np.stack(frames))
"""


def test_works_beside_a_programs_own_modules(tmp_path: Path) -> None:
    """And gives, for each name, the frames of the same correction loaded from the repository."""
    for name in ("utils", "models", "data"):
        (tmp_path / f"{name}.py").write_text('OWNER = "the program"\n', encoding="utf-8")
    (tmp_path / "program.py").write_text(f"REPO = {str(ROOT)!r}\n{PROGRAM}", encoding="utf-8")
    views = (read_image(f"data/samples/coffee/0_{view}.png") for view in ("t2b", "b2t"))
    pair = np.stack([to_uint8(view)[60:124, 80:176] for view in views])
    np.save(tmp_path / "pair.npy", pair)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("InputError ")
    weights = ("classical", "pretrained/drsc_light_generator.safetensors", None)
    expected = [
        (load_correction(name, device="cpu") if name else load_correction(device="cpu"))(
            *pair, times=[0, 0.5]
        )
        for name in weights
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "frames.npy"), expected)


def test_what_the_hub_lists() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        import hubconf
    public = (name for name in vars(hubconf) if not name.startswith("_"))
    listed = [name for name in public if callable(getattr(hubconf, name))]
    assert listed == ["drsc", "drsc_generator", "classical"]


def test_our_modules_are_imported_by_from_only() -> None:
    """What hubconf.py moves below a name of its own."""
    for path in (
        path for name in ("models", "data", "utils") for path in ROOT.glob(f"{name}/**/*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                packages = {alias.name.split(".")[0] for alias in node.names}
                assert not packages & {"models", "data", "utils"}, path
