"""The container: built and run where there is a builder, and read everywhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def has_builder() -> bool:
    """Whether a Docker daemon answers."""
    docker = shutil.which("docker")
    return (
        docker is not None and subprocess.run([docker, "info"], capture_output=True).returncode == 0
    )


def test_the_environment_is_made_of_files_that_are_copied_before() -> None:
    """So that it is built anew only when these change."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    before = text[: text.index("RUN make")]
    copied = [
        word for line in re.findall(r"^COPY (.*)$", before, re.MULTILINE) for word in line.split()
    ]
    needed = ("Makefile", "requirements.txt", "utils/tools/install_torch.py")
    assert set(needed) <= set(copied)
    assert all((ROOT / name).is_file() for name in needed)


@pytest.mark.parametrize("name", ["models", "data", "utils", "options", "pretrained", "Makefile"])
def test_what_the_demo_needs_is_not_left_out(name: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert name not in ignored


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not has_builder(), reason="needs a Docker daemon")
def test_the_container_passes_the_demo(tmp_path: Path) -> None:
    subprocess.run(["docker", "build", "--quiet", "--tag", "drsc-tests", "."], cwd=ROOT, check=True)
    run = ["docker", "run", "--rm", "--network", "none", "--volume", f"{tmp_path}:/drsc/results"]
    done = subprocess.run([*run, "drsc-tests"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "test_real/coffee/0/video.mp4").is_file()
