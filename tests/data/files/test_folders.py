import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.files import folders
from data.files.folders import (
    expect_no_links,
    lock_folder,
    making_folder,
    name_after,
    plain_name,
    prepare_output_folder,
    remove,
    replacing,
)
from utils.errors import InputError

HOLD = """
import sys
from pathlib import Path
from data.files.folders import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_locked_until_its_process_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        expected = f"^{tmp_path}: in use by another run; wait for it"
        with pytest.raises(InputError, match=expected), lock_folder(tmp_path):
            pass
        other.kill()
    with lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_replacing_leaves_nothing_behind_when_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


MAKE = """
import os, signal, sys
from pathlib import Path
from data.files.folders import making_folder, replacing
with making_folder(Path(sys.argv[1])) as folder:
    (folder / "half").mkdir()
    with replacing(folder / "half" / "file.json") as temporary:
        temporary.write_text("half")
        if sys.argv[2] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        print(folder, flush=True)
        sys.stdin.read()
"""


def test_what_killed_runs_leave_is_removed_and_nothing_else(tmp_path: Path) -> None:
    users = (".drsc-making-mine", ".making-12345678", ".drsc-making-1234567890", ".file.123.json")
    for name in users:
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / ".drsc-making-a_link00").symlink_to(tmp_path / "elsewhere")
    kept = {*users, "elsewhere", ".drsc-making-a_link00"}
    command = [sys.executable, "-c", MAKE, str(tmp_path)]
    subprocess.run([*command, "die"], check=False)
    assert len(os.listdir(tmp_path)) == len(kept) + 1
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "wait"], stdin=pipe, stdout=pipe, text=True) as alive:
        assert alive.stdout is not None
        making = Path(alive.stdout.readline().strip())
        folders._swept.clear()
        with replacing(tmp_path / "file") as temporary:
            temporary.touch()
        assert set(os.listdir(tmp_path)) == {*kept, "file", making.name}
        assert (making / "half").is_dir()
    assert set(os.listdir(tmp_path)) == {*kept, "file"}
    assert os.listdir(tmp_path / "elsewhere") == ["kept"]


def test_folders_under_way_have_names_of_their_own(tmp_path: Path) -> None:
    with making_folder(tmp_path) as one, making_folder(tmp_path) as other:
        assert one != other and one.parent == other.parent == tmp_path
    assert os.listdir(tmp_path) == []


def test_files_have_the_permissions_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "made") as temporary:
        temporary.touch()
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_replaced_link_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "target").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"


def test_nothing_is_removed_through_links(tmp_path: Path) -> None:
    home, made = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    (home / ".bashrc").write_text("mine")
    (made / "inner").mkdir(parents=True)
    (made / "inner" / "link").symlink_to(home)
    (tmp_path / "link").symlink_to(home)
    for path in (made, tmp_path / "link", tmp_path / "none"):
        remove(path)
    assert os.listdir(tmp_path) == ["home"]
    assert (home / ".bashrc").read_text() == "mine"


def test_links_below_an_output_folder_are_refused(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    for folder in (home, root / "in"):
        folder.mkdir(parents=True)
    (root / "in" / "link").symlink_to(home)
    (tmp_path / "results").symlink_to(root)
    expect_no_links(tmp_path / "results" / "in" / "new", tmp_path / "results")
    with pytest.raises(InputError, match=f"in/link: a link to {home}, where nothing is written"):
        expect_no_links(root / "in" / "link" / "new", root)


@pytest.mark.parametrize("name", ["a", "a b", "caf\udce9", "x" * 255, "a..b", "日本"])
def test_plain_names(name: str) -> None:
    assert plain_name(name) == name_after(name, "path") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/", "..\\x", ".a", "a\nb", "a\0", "x" * 256, "é" * 128, "\ud800"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a folder name"):
        plain_name(name)


@pytest.mark.parametrize(("text", "name"), [("..a", "a"), ("a\nb", "a_b"), ("a\\b", "a_b")])
def test_names_after_files_become_plain(text: str, name: str) -> None:
    assert name_after(text, "path") == name


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a/b", "x" * 256])
def test_names_that_cannot_become_plain_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^path: nothing can be named after it: .*; rename it$"):
        name_after(text, "path")


def test_output_folder_is_created_with_its_parents(tmp_path):
    folder = prepare_output_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    assert prepare_output_folder(str(folder)) == folder


def test_file_in_place_of_the_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="a file is in its way"):
            prepare_output_folder(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_output_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    for folder in (tmp_path, tmp_path / "below"):
        with pytest.raises(InputError, match="cannot write there: Permission denied"):
            prepare_output_folder(folder)


def test_output_folder_where_the_system_refuses(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=f"{tmp_path}: cannot write there: Permission denied"):
        prepare_output_folder(tmp_path)
