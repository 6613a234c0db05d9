import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from utils.tools import install_torch

ROOT = Path(__file__).parents[3]


class Index(BaseHTTPRequestHandler):
    """Has a CPU build, and no other."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/cpu/torch/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands for nvidia-smi: nothing, until a test puts something in."""
    found: list[str] = []
    monkeypatch.setattr(install_torch.shutil, "which", lambda _: next(iter(found), None))
    monkeypatch.setattr(install_torch.Path, "exists", lambda _: False)
    monkeypatch.setattr(install_torch.platform, "system", lambda: "Linux")
    monkeypatch.setattr(install_torch.platform, "machine", lambda: "x86_64")
    return found


def test_a_cpu_build_where_there_is_no_driver(index: str, driver: list[str]) -> None:
    assert install_torch.choose_build("auto", index) == "cpu"
    driver.append("/usr/bin/nvidia-smi")
    assert install_torch.choose_build("auto", index) == "pypi"
    assert install_torch.choose_build("cpu", index) == "cpu"


def test_the_ordinary_wheel_elsewhere(
    index: str, driver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_torch.platform, "system", lambda: "Darwin")
    assert install_torch.choose_build("auto", index) == "pypi"


def test_no_index_is_said_and_the_ordinary_wheel_taken(
    driver: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert install_torch.choose_build("auto", "http://127.0.0.1:9") == "pypi"
    assert re.fullmatch(
        r"PyTorch: PyPI's wheel with CUDA; http://127.0.0.1:9/cpu: cannot be reached \(.*\)\n",
        capsys.readouterr().out,
    )


def test_builds_that_cannot_be_had_are_refused(index: str) -> None:
    with pytest.raises(ValueError, match=r"^TORCH=gpu: expected auto, pypi, cpu, or a build"):
        install_torch.choose_build("gpu", index)
    with pytest.raises(ValueError, match=r"^TORCH=cu999: .*/cu999: status 404; TORCH=pypi"):
        install_torch.choose_build("cu999", index)
    with pytest.raises(ValueError, match=r"^TORCH=cpu: .*: cannot be reached \("):
        install_torch.choose_build("cpu", "http://127.0.0.1:9")


def test_pip_gets_the_pinned_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(
        install_torch.subprocess, "run", lambda command, check: commands.append(command)
    )
    install_torch.install("cpu", "https://index")
    install_torch.install("pypi")
    pinned = re.findall(r"^torch.*==.*$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert len(pinned) == 2
    assert commands[0][-4:] == [*pinned, "--index-url", "https://index/cpu"]
    assert commands[1][-2:] == pinned


def test_an_installed_pytorch_stays() -> None:
    command = [sys.executable, "-S", "utils/tools/install_torch.py", "nonsense"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: TORCH=nonsense: expected auto")
    command.remove("-S")  # which hides the installed packages
    kept = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert kept.stdout == "PyTorch: the one that is installed\n"


def test_the_demo_needs_no_tools_of_developers() -> None:
    """Neither by make's rules nor by the file of requirements."""
    if not Path("/usr/bin/make").exists():
        pytest.skip("needs make")
    done = subprocess.run(
        ["make", "--dry-run", "demo", "VENV=not-made"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install_torch.py auto" in done.stdout
    assert re.findall(r"requirements\S*\.txt", done.stdout) == ["requirements.txt"]
    runtime = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert not re.search(r"pytest|ruff|mypy|onnx|mkdocs", runtime)
