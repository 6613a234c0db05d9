"""Install the build of PyTorch that suits this machine; needs nothing but Python's own library.

`python utils/tools/install_torch.py [auto|pypi|cpu|cu130|...]`, which `make` runs first.
PyPI's wheel for Linux brings CUDA, 3 GB that a machine without an NVIDIA driver never uses.
"""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

INDEX = "https://download.pytorch.org/whl"
"""PyTorch's own index of builds; each is a folder of it."""

_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
_PATIENCE = 10  # seconds


def choose_build(asked: str, index: str = INDEX) -> str:
    """The build to install: "pypi", or the name of a folder of the index, such as "cpu".

    Args:
        asked: a build, or "auto": "cpu" where PyPI's wheel brings CUDA, no NVIDIA driver is found
            and the index can be reached, and "pypi" elsewhere.
        index: address of the index.

    Raises:
        ValueError: `asked` is no build's name, or the index does not have it.
    """
    if not re.fullmatch(r"auto|pypi|cpu|xpu|cu\d+|rocm\d+(\.\d+)*", asked):
        raise ValueError(f"TORCH={asked}: expected auto, pypi, cpu, or a build such as cu130")
    if asked == "pypi" or (asked == "auto" and not _carries_unused_cuda()):
        return "pypi"
    build = "cpu" if asked == "auto" else asked
    reason = _why_unreachable(f"{index}/{build}/torch/")
    if not reason:
        return build
    if asked != "auto":
        raise ValueError(f"TORCH={asked}: {index}/{build}: {reason}; TORCH=pypi needs PyPI only")
    sys.stdout.write(f"PyTorch: PyPI's wheel with CUDA; {index}/{build}: {reason}\n")
    return "pypi"


def install(build: str, index: str = INDEX) -> None:
    """Install torch and torchvision, as `requirements.txt` pins them, with pip.

    Raises:
        subprocess.CalledProcessError: pip failed, which has said why.
    """
    lines = _REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if re.match(r"torch(vision)?==", line)]
    source = [] if build == "pypi" else ["--index-url", f"{index}/{build}"]
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # else pip shows the time left
    subprocess.run([*command, *quiet, *pinned, *source], check=True)


def main(asked: str = "auto") -> int:
    """Choose and install, unless there is a PyTorch; returns the exit status."""
    if importlib.util.find_spec("torch") is not None:
        sys.stdout.write("PyTorch: the one that is installed\n")
        return 0
    try:
        build = choose_build(asked)
        sys.stdout.write(f"PyTorch: build {build}\n")
        sys.stdout.flush()
        install(build)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _carries_unused_cuda() -> bool:
    linux = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    driver = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists()
    return linux and not driver


def _why_unreachable(page: str) -> str:
    """Why a page cannot be had, in a few words; empty if it can."""
    try:
        with urllib.request.urlopen(page, timeout=_PATIENCE):
            return ""
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except OSError as error:
        return f"cannot be reached ({getattr(error, 'reason', error)})"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
