"""What ran: versions of Python, of packages and of the code."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("torchvision", "numpy", "opencv-python", "pydantic", "safetensors")
_ROOT = Path(__file__).parents[2]
_NEW_FILES = ("*.py", "options/*")  # untracked files that count as changes of the code


def find_versions() -> dict[str, str]:
    """Versions of Python and the main packages, the command, and the git commit if there is one.

    "uncommitted" is a hash of `uncommitted_changes`, if there are any.
    """
    return {"command": " ".join(sys.argv)} | _find_installed()


@cache
def uncommitted_changes() -> str:
    """How the code differs from its commit, as `git diff` writes it; "" without changes or git.

    New files of Python and options are part of it, other new files are not. Found once per process.
    """
    index = _git("rev-parse", "--git-path", "index")
    if index is None or not (_ROOT / index).is_file():
        return ""
    with tempfile.TemporaryDirectory() as folder:
        # In a copy of the index, new files can be named without a change of the user's.
        copied = Path(folder) / "index"
        shutil.copyfile(_ROOT / index, copied)
        new = _git("ls-files", "--others", "--exclude-standard", "--", *_NEW_FILES, index=copied)
        if new:
            _git("add", "--intent-to-add", "--", *new.splitlines(), index=copied)
        return _git("diff", "--no-ext-diff", "--no-color", "HEAD", "--", ".", index=copied) or ""


@cache
def _find_installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    found["torch"] = str(torch.__version__)  # with its build, such as +cu130
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    commit = _git("rev-parse", "HEAD")
    if commit:
        found["commit"] = commit
    if changes := uncommitted_changes():
        found["uncommitted"] = hashlib.sha256(changes.encode("utf-8")).hexdigest()[:12]
    return found


def _git(*words: str, index: Path | None = None) -> str | None:
    """What git answers about the code; None without git or a repository."""
    environment = os.environ | ({} if index is None else {"GIT_INDEX_FILE": str(index)})
    command = ["git", "-c", "core.quotePath=false", *words]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, check=False, timeout=60
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
