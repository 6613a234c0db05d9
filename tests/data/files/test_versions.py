"""What ran: changes of the code that no commit has."""

import subprocess
from pathlib import Path

import pytest

from data.files import versions
from data.files.versions import find_versions, uncommitted_changes


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A repository of one committed file, taken for ours."""
    monkeypatch.setattr(versions, "_ROOT", tmp_path)
    for cached in (uncommitted_changes, versions._find_installed):
        cached.cache_clear()
    (tmp_path / "code.py").write_text("one = 1\n")
    (tmp_path / ".gitignore").write_text("experiments/\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    yield tmp_path
    for cached in (uncommitted_changes, versions._find_installed):
        cached.cache_clear()


def test_a_clean_repository_has_a_commit_and_no_changes(repository: Path) -> None:
    assert uncommitted_changes() == ""
    found = find_versions()
    assert len(found["commit"]) == 40
    assert "uncommitted" not in found


def test_edited_and_new_code_is_in_the_diff_and_the_index_stays(repository: Path) -> None:
    (repository / "code.py").write_text("one = 2\n")
    (repository / "new.py").write_text("new = 3\n")
    (repository / "video.bin").write_bytes(b"large")
    (repository / "experiments").mkdir()
    (repository / "experiments" / "ignored.py").write_text("ignored = 4\n")
    before = (repository / ".git" / "index").read_bytes()
    changes = uncommitted_changes()
    assert "-one = 1\n+one = 2" in changes
    assert "+new = 3" in changes
    assert "video" not in changes and "ignored" not in changes
    assert len(find_versions()["uncommitted"]) == 12
    assert (repository / ".git" / "index").read_bytes() == before


def test_without_a_repository_there_is_nothing_to_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    uncommitted_changes.cache_clear()
    assert uncommitted_changes() == ""
    uncommitted_changes.cache_clear()
