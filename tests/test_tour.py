"""The notebook docs/tour.ipynb runs from first cell to last, and is kept without outputs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tour.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_outputs_are_stripped() -> None:
    found = cells("code")
    assert len(found) >= 7
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in found)


def test_links_lead_somewhere() -> None:
    text = "".join("".join(cell["source"]) for cell in cells("markdown"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links and all((NOTEBOOK.parent / link).is_file() for link in links)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_cell_runs(tmp_path: Path) -> None:
    """As a kernel runs them: one after the other, in one namespace, from the notebook's folder."""
    tree = tmp_path / "tree"
    left_out = (".venv", ".git", "results", "experiments", "__pycache__", ".*_cache", "tests")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*left_out))
    program = "\n\n".join("".join(cell["source"]) for cell in cells("code"))
    (tree / "docs" / "tour.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "exec(compile(open('tour.py').read(), 'tour.py', 'exec'))"],
        cwd=tree / "docs",
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "aligned" in done.stdout
    assert re.search(r"^default network( +\d\d\.\d\d){5} dB$", done.stdout, re.MULTILINE)
    assert "# " in done.stdout and "mean of both" in done.stdout
    assert (tree / "experiments" / "tour" / "generator.safetensors").is_file()
