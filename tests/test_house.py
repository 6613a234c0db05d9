"""Imports run one way, rooms stay small: what docs/ARCHITECTURE.md promises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "utils.errors": (),
    "data": ("data", "utils.errors"),
    "models": ("models", "data", "utils.errors"),
    "utils": ("utils", "models", "data"),
    "main": ("utils", "models", "data"),
}
EXCEPTIONS = {
    "data.check": "a command: the command line",
    "data.create_rs_dataset": "a command: flow between frames, and the command line",
    "data.extract_captures": "a command: the command line",
}

MODEL_ROOMS = (
    {"warping", "splatting", "parts", "weight_files", "networks", "progress"},
    {"losses", "flow", "flow_pwc", "distortion", "generator", "plusplus"},
    {"measurement"},
    {"camera", "rig", "classical", "device_motion"},
    {"refiner", "ifed", "objectives", "architecture"},
    {"inference"},
    {"reference", "clip"},
    {"arrays"},
)
UTILS_ROOMS = (
    {"errors"},
    {"quality", "metrics", "checkpoint", "options", "system", "pictures"},
    {"correction"},
    {"training", "evaluation", "real"},
    {"tools", "benchmarks", "app"},
)


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("data", "models", "utils"):
        for path in (ROOT / folder).rglob("*.py"):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path
    for path in ROOT.glob("main_*.py"):
        yield f"main.{path.stem}", path


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (
            name for name in names if name.split(".")[0] in ("data", "models", "utils", "tests")
        )


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize(("name", "path"), [pytest.param(*item, id=item[0]) for item in modules()])
def test_imports_run_one_way(name: str, path: Path) -> None:
    if name in EXCEPTIONS:
        return
    allowed = MAY_IMPORT["utils.errors" if name == "utils.errors" else name.split(".")[0]]
    upward = [imported for imported in imports(path) if not within(imported, allowed)]
    assert not upward, f"{name} imports {upward}, may import {allowed}"


@pytest.mark.parametrize(("folder", "floors"), [("models", MODEL_ROOMS), ("utils", UTILS_ROOMS)])
def test_rooms_import_rooms_below_them(folder: str, floors: tuple[set[str], ...]) -> None:
    level = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    for name, path in modules():
        if name.split(".")[0] != folder or name == f"{folder}.__init__":
            continue
        here = level[name.split(".")[1]]
        for imported in imports(path):
            parts = imported.split(".")
            if parts[0] == folder and level[parts[1]] > here:
                pytest.fail(f"{name} imports {imported}, a floor above it")


def test_rooms_and_files_are_small() -> None:
    for folder in ("data", "models", "utils"):
        for room in [ROOT / folder, *(ROOT / folder).rglob("*/")]:
            files = [path for path in room.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= 12, f"{room}: {len(files)} files"
            for path in files:
                lines = len(path.read_text(encoding="utf-8").splitlines())
                assert lines <= 300, f"{path}: {lines} lines"
    assert sorted(path.name for path in ROOT.glob("*.py")) == [
        "hubconf.py",
        *("main_test.py", "main_test_real.py", "main_train_stage1.py", "main_train_stage2.py"),
    ]


def test_every_module_is_on_the_page_and_every_named_file_exists() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    _, *sections = re.split(r"### `(.+/)`\n", page)
    listed = {
        room + name
        for room, text in zip(sections[::2], sections[1::2], strict=True)
        for name in re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE)
    }
    there = {
        str(path.relative_to(ROOT))
        for name, path in modules()
        if path.parent != ROOT and path.name != "__init__.py"
    }
    assert listed == there
    named = re.findall(r"`((?:data|models|utils|docs|options)/[\w/]+\.(?:py|md|json))", page)
    assert named and all((ROOT / name).exists() for name in named)
