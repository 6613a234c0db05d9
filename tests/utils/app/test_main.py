"""Starting the page: where it listens, and what it refuses."""

import importlib.util
import os
import socket
from pathlib import Path

import pytest

from utils.app import __main__ as app
from utils.errors import InputError


def test_it_listens_on_this_computer_only_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["app"])
    assert app.parse_arguments().host == "127.0.0.1"
    monkeypatch.setattr("sys.argv", ["app", "--host", "0.0.0.0", "--port", "80"])
    arguments = app.parse_arguments()
    assert (arguments.host, arguments.port) == ("0.0.0.0", 80)


def test_users_have_their_own_folder_where_they_have_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["app"])
    monkeypatch.setattr(os, "getuid", lambda: 1234, raising=False)
    assert app.parse_arguments().folder.name == "drsc-app-1234"
    monkeypatch.delattr(os, "getuid")
    assert app.parse_arguments().folder.name == "drsc-app"


@pytest.mark.parametrize("words", [("--port", "0"), ("--port", "x"), ("--max-upload", "0")])
def test_numbers_out_of_range(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.argv", ["app", *words])
    with pytest.raises(SystemExit):
        app.parse_arguments()
    assert "expected 1 to " in capsys.readouterr().err


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port {port}: cannot listen there: Address"):
            app.expect_free("127.0.0.1", port)
    app.expect_free("127.0.0.1", port)
    with pytest.raises(InputError, match="--host no.such.host.invalid"):
        app.expect_free("no.such.host.invalid", port)


def test_without_gradio_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["app"])
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install -r requirements-app.txt"):
        app.main()


def test_the_working_folder_is_private_and_removed(tmp_path: Path) -> None:
    with app.working_folder(tmp_path / "app") as folder:
        (folder / "upload.png").touch()
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not any((tmp_path / "app").iterdir())


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs Gradio")
def test_uploads_that_cannot_be_kept_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp123").write_bytes(b"a part")
    (tmp_path / "job-1").mkdir()
    answer = app._refuse_upload(tmp_path)(None, OSError(28, "No space left on device"))
    assert answer.status_code == 507
    assert answer.body == b"the server cannot keep the file: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["job-1"]
