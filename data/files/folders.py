"""Output folders: names, locks, and files that are replaced whole or not at all.

What is under way lies in a hidden folder beside its target, `.drsc-making-` and eight random
characters, locked by the process that makes it. One whose process has died is removed by the next
run that writes into the same folder.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".drsc-making-"
_MAKING = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")  # by `tempfile.mkdtemp`
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EARLIER = re.compile(r"\..+\.\d+\.[^.]+")
_LONGEST_NAME = 255  # bytes, of common file systems

_swept: set[Path] = set()
"""Folders that this process has looked through for what dead processes left."""


def plain_name(name: str) -> str:
    """Return a folder's name after checking that it is one plain component of a path.

    Raises:
        ValueError: it is empty, has a separator, a leading dot or control characters, or is longer
            than file systems allow.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"expected a folder name without separators, got {name!r}")
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        length = 0
    if name.startswith(".") or _CONTROL.search(name) or not 0 < length <= _LONGEST_NAME:
        raise ValueError(
            "expected a folder name of printable characters, without a leading dot, of at most "
            f"{_LONGEST_NAME} bytes, got {name!r}"
        )
    return name


def name_after(text: str, path: str | Path) -> str:
    """A folder name after the name `text` of the input `path`.

    Leading dots are dropped; control characters and backslashes become "_".

    Raises:
        InputError: nothing is left, or it is too long.
    """
    try:
        return plain_name(_CONTROL.sub("_", text.lstrip(".").replace("\\", "_")))
    except ValueError as error:
        raise InputError(f"{path}: nothing can be named after it: {error}; rename it") from None


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
def making_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in an existing one, and remove it with what is left in it.

    Raises:
        InputError: it cannot be made.
    """
    if parent.resolve() not in _swept:
        _sweep(parent)
    try:
        folder, descriptor = _make_locked(parent)
    except OSError as error:
        raise _write_error(parent, error) from error
    try:
        yield folder
    finally:
        remove(folder)
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file; rename it to `path` if the block succeeds.

    Raises:
        InputError: an OSError occurred: no space left, no permission, no such folder.
    """
    with making_folder(path.parent) as folder:
        temporary = folder / path.name
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            raise _write_error(path.parent, error) from error


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left in a folder that holds nothing but files of ours.

    Also removes temporary files of earlier versions, such as `.step_00000001.800.pt`.
    """
    _sweep(folder)
    for path in [*folder.iterdir()]:
        if _EARLIER.fullmatch(path.name):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, as far as the system allows.

    Of a link the link itself is removed; nothing is removed through links.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def expect_no_links(folder: Path, root: Path) -> None:
    """Check that no folder below `root` down to `folder` is a link, through which would be written.

    Raises:
        InputError: one is.
    """
    for part in (folder, *folder.parents):
        if part == root or part == part.parent:
            return
        if part.is_symlink():
            raise InputError(
                f"{part}: a link to {part.resolve()}, where nothing is written; remove the link, "
                "or choose another output folder"
            )


def _sweep(folder: Path) -> None:
    """Remove the hidden folders of `making_folder` that killed processes left behind."""
    _swept.add(folder.resolve())
    if fcntl is None:
        return
    with suppress(OSError):  # not to be listed
        for path in [*folder.iterdir()]:
            if not _MAKING.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
                continue
            with suppress(OSError):  # another's, or in use
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove(path)
                finally:
                    os.close(descriptor)


def _make_locked(parent: Path) -> tuple[Path, int | None]:
    """A new hidden folder, and the open descriptor that holds its lock, where there are locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if fcntl is None:
            return folder, None
        with suppress(FileNotFoundError):  # removed by another run before it was locked
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _write_error(folder: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).strip().splitlines()[-1]
    return InputError(
        f"{folder}: cannot write there: {reason}; free space or choose another folder"
    )
