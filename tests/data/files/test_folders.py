import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.files import folders
from data.files.folders import lock_folder, prepare_output_folder, replacing
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
