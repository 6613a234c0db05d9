"""The build backend of `pyproject.toml`: it refuses to install, because this is no package.

The folders `data`, `models` and `utils` would be packages of these names for all programs of an
environment, and collide with those of others.
"""

import sys
from typing import NoReturn

_WHY = (
    "error: this project is run from its folder and is no package: its folders data, models and "
    "utils would collide with those of other programs. Install what it needs by "
    "`pip install -r requirements.txt`; to use it from another folder, set PYTHONPATH to this one"
)


def refuse(*_: object, **__: object) -> NoReturn:
    """Say why, in one line, and end.

    Raises:
        SystemExit: always.
    """
    sys.exit(_WHY)


# The hooks of PEP 517 and PEP 660 that pip calls first.
get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist = (
    refuse
)
build_wheel = build_editable = build_sdist = refuse
