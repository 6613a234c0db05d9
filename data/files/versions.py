"""What ran: versions of Python, of packages and of the code."""

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

_PACKAGES = ("torchvision", "numpy", "opencv-python", "pydantic", "safetensors")


def find_versions() -> dict[str, str]:
    """Versions of Python and the main packages, the command, and the git commit if there is one."""
    return {"command": " ".join(sys.argv)} | _find_installed()


@cache
def _find_installed() -> dict[str, str]:
    found = {"python": platform.python_version()}
    found["torch"] = str(torch.__version__)  # with its build, such as +cu130
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    commit = _git_commit()
    return found | ({"commit": commit} if commit else {})


def _git_commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
