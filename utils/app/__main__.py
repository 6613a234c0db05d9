"""Serve the page that corrects captures in a browser."""

import argparse
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.files.folders import making_folder, prepare_output_folder, remove
from utils.errors import InputError
from utils.options.command_line import run

_LOOPBACK = "127.0.0.1"
_WAYS_OUT = {  # nothing is fetched or sent, whatever the network allows
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def main() -> None:
    """Read the arguments, and serve until Ctrl-C or SIGTERM."""
    arguments = parse_arguments()
    if find_spec("gradio") is None:
        raise InputError("the page needs Gradio; pip install -r requirements-app.txt")
    expect_free(arguments.host, arguments.port)
    with working_folder(arguments.folder) as folder:
        serve(arguments, folder)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.app", description=__doc__, allow_abbrev=False
    )
    for name, kind, default, text in (
        (
            "host",
            str,
            _LOOPBACK,
            "address to listen on; by default this computer only. 0.0.0.0: "
            "everybody who can reach it",
        ),
        ("port", _port, 7860, "port to listen on (7860)"),
        ("max-upload", _megabytes, 512, "largest file that can be uploaded, in MB (512)"),
        (
            "folder",
            Path,
            Path(tempfile.gettempdir()) / _folder_name(),
            "where uploads and results are while the page is open; removed at the end",
        ),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="X", help=text)
    return parser.parse_args()


def _folder_name() -> str:
    """Each user's own; on Windows, where users have no number, temporary folders already are."""
    return f"drsc-app-{os.getuid()}" if hasattr(os, "getuid") else "drsc-app"


def expect_free(host: str, port: int) -> None:
    """Check that the page can listen there.

    Raises:
        InputError: another program does, or the address is none of this computer.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            f"--host {host} --port {port}: cannot listen there: {error.strerror or error}; choose "
            "another"
        ) from error


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A new folder below `parent`, removed at the end; those of killed runs are removed, too.

    Raises:
        InputError: it cannot be made.
    """
    prepare_output_folder(parent)
    parent.chmod(0o700)
    with making_folder(parent) as folder:
        yield folder


def serve(arguments: argparse.Namespace, folder: Path) -> None:
    """Show the page until the process is interrupted; then end its jobs."""
    os.environ |= {**_WAYS_OUT, "GRADIO_TEMP_DIR": str(folder)}
    import gradio as gr

    from utils.app.jobs import Jobs
    from utils.app.page import CSS, build_page

    jobs = Jobs(folder)
    page = build_page(jobs)
    fonts = ["system-ui", "sans-serif"]
    try:
        _, address, _ = page.launch(
            server_name=arguments.host,
            server_port=arguments.port,
            max_file_size=arguments.max_upload * 1_000_000,
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css_paths=[CSS],
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"exception_handlers": {OSError: _refuse_upload(folder)}},
        )
        sys.stdout.write(f"the page is at {address} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        threading.Event().wait()
    finally:
        jobs.close()
        page.close(verbose=False)


def _refuse_upload(folder: Path) -> Callable[[Any, Exception], Any]:
    """What answers where an upload cannot be kept; nothing of it stays.

    Others that are under way are removed with it: the disk is full for them, too.
    """
    from starlette.responses import PlainTextResponse

    def answer(_: object, error: Exception) -> PlainTextResponse:
        for path in folder.iterdir():
            if path.is_file():
                remove(path)
        reason = getattr(error, "strerror", None) or error
        return PlainTextResponse(f"the server cannot keep the file: {reason}", status_code=507)

    return answer


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535, got {text}")
    return int(text)


def _megabytes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"expected 1 to 100000, got {text}")
    return int(text)


if __name__ == "__main__":
    run(main)
