"""How much simulated captures move, by sequence, as their data set describes it."""

import json
from pathlib import Path

from utils.errors import InputError


def read_strengths(root: str | Path) -> dict[str, str]:
    """Strength of the motion in each sequence of a data set, in words for tables.

    Args:
        root: folder with the `dataset.json` that `data.create_rs_dataset` writes.

    Returns:
        Strengths such as "0.5", or "0.5-1" where scenes were drawn from a range; nothing where
        there is no such file, or where it tells none.

    Raises:
        InputError: the file cannot be read.
    """
    file = Path(root) / "dataset.json"
    if not file.exists():
        return {}
    try:
        sequences = json.loads(file.read_text(encoding="utf-8")).get("sequences", {})
        strengths = {name: settings.get("strength") for name, settings in sequences.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file}: not a description of a data set; remove or restore it"
        ) from error
    return {name: _in_words(value) for name, value in strengths.items() if value is not None}


def _in_words(strength: float | list[float]) -> str:
    ends = strength if isinstance(strength, list) else [strength]
    return "-".join(f"{end:g}" for end in ends)
