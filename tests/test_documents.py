"""The pages: their links lead somewhere, and the commands of README and Quick start run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.files.images import read_image, to_uint8
from data.files.videos import write_video

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))),
    *(ROOT / name / "README.md" for name in ("pretrained", "experiments", "data/samples")),
]
NOT_COPIED = (".venv", ".git", "results", "experiments", "__pycache__", ".*_cache")
LEFT_TO_OTHERS = ("make test", "make check")  # the tests cannot run all tests


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and the site name them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8")))
    for link in (link for link in links if not link.startswith(("http:", "https:"))):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_readme_is_for_somebody_in_a_hurry() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_site_has_every_page() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([A-Z_]+\.md)$", site, re.MULTILINE))
    assert listed == {page.name for page in ROOT.glob("docs/*.md")}


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line.partition("  #")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a stranger is before the first command, with a capture of their own."""
    folder = tmp_path_factory.mktemp("stranger")
    source = folder / "ADDRESS"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_COPIED))
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "The tree under test")):
        subprocess.run(["git", *identity, *words], cwd=source, check=True, capture_output=True)
    yield folder
    shutil.rmtree(folder)


def prepare(folder: Path) -> None:
    """Give a fresh clone the tests' environment, the user's captures, and a small test set."""
    environment = folder / ".venv"
    if not environment.exists():
        environment.symlink_to(sys.prefix)
    for view, name in (("t2b", "left"), ("b2t", "right")):
        image = to_uint8(read_image(ROOT / f"data/samples/coffee/0_{view}.png"))
        shutil.copy(ROOT / f"data/samples/coffee/0_{view}.png", folder / f"{name}.png")
        write_video(folder / f"{name}.mp4", iter([image[:96, :128]] * 4), fps=9)
    scenes = ["-m", "data.create_rs_dataset", "results/yardstick", "--count", "1", "--size"]
    subprocess.run([sys.executable, *scenes, "96x128"], cwd=folder, check=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not (shutil.which("make") and shutil.which("git")), reason="needs make and git")
@pytest.mark.parametrize("name", ["README.md", "docs/QUICKSTART.md"])
def test_the_commands_run(name: str, clone: Path) -> None:
    """In the order of the page, by a shell; `make` finds the environment made."""
    found = commands(ROOT / name)
    assert "make demo" in found and len(found) >= 5
    shutil.rmtree(clone / "drsc", ignore_errors=True)
    made = " ".join(f"-o .venv/{stamp}" for stamp in (".ready", ".ready-dev", "bin/python"))
    place = clone
    for line in found:
        command = re.sub(r"^make\b", f"make {made}", line)
        if line in LEFT_TO_OTHERS:
            command += " --dry-run"
        done = subprocess.run(
            ["sh", "-c", f"set -e; [ ! -d .venv ] || . .venv/bin/activate; {command}"],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        if line.startswith("git clone"):
            place = clone / "drsc"
            prepare(place)
    assert (place / "results/test_real/coffee/0/index.html").is_file()
    assert (place / "results/test_real/left/video.mp4").is_file()
