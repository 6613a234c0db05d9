"""Read input files: regular files only, so that no pipe or device is waited for."""

import os
import stat
from pathlib import Path

from utils.errors import InputError


def expect_regular(path: str | Path) -> Path:
    """Return the path after checking that no special file is there.

    Raises:
        InputError: it is a pipe, a socket or a device, or no path at all.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return Path(path)  # missing or not to be looked at: opening it tells why
    except ValueError as error:  # NUL characters, lone surrogates
        raise InputError(f"{path}: not a path: {error}") from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket or a device"
        raise InputError(f"{path}: expected a regular file, got {kind}; save its data in a file")
    return Path(path)


def read_regular(path: str | Path) -> bytes:
    """Read a regular file.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it is missing or cannot be read.
    """
    return expect_regular(path).read_bytes()
