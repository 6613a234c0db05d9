"""Output folders: names, locks, and files that are replaced whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY_NAME = re.compile(r"\..+\.\d+\.[^.]+")


def plain_name(name: str) -> str:
    """Return a folder's name after checking that it is not a path.

    Raises:
        ValueError: it is empty, "." or "..", or has a separator.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"expected a folder name without separators, got {name!r}")
    return name


def prepare_output_folder(path: str | Path) -> Path:
    """Create a folder with its parents unless it exists, and test that files can be written.

    Raises:
        InputError: it is a file, has no write permission, or has no space left.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            f"{folder}: cannot create the output folder: a file is in its way; choose another name"
        ) from None
    except OSError as error:
        raise _write_error(folder, error) from error
    return folder


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other runs until the block or the process ends.

    File systems without locks are not locked.

    Raises:
        InputError: another run holds the lock.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # no locks on this file system
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder}: in use by another run; wait for it, or choose another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Raises:
        InputError: an OSError occurred: no space left, no permission, no such folder.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # _TEMPORARY_NAME
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _write_error(path.parent, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of `replacing` that killed processes left behind."""
    for path in [*folder.iterdir()]:
        if _TEMPORARY_NAME.fullmatch(path.name):
            path.unlink()


def _write_error(folder: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).strip().splitlines()[-1]
    return InputError(
        f"{folder}: cannot write there: {reason}; free space or choose another folder"
    )
