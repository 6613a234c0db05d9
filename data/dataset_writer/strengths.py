"""How much simulated captures move, by sequence, as their data set describes it."""

from pathlib import Path

from data.dataset_writer.folder import read_runs


def read_strengths(root: str | Path, split: str) -> dict[str, str]:
    """Strength of the motion in each sequence of a split of a data set, in words for tables.

    Args:
        root: folder with the `dataset.json` that `data.create_rs_dataset` writes.
        split: name of the folder inside it.

    Returns:
        Strengths such as "0.5", or "0.5-1" where scenes were drawn from a range; nothing where
        there is no such file, or where it tells none.

    Raises:
        InputError: the file cannot be read.
    """
    runs = [run for run in read_runs(Path(root)) if run.split == split]
    strengths = {
        name: settings.get("strength") for run in runs for name, settings in run.sequences.items()
    }
    return {name: _in_words(value) for name, value in strengths.items() if value is not None}


def _in_words(strength: float | list[float]) -> str:
    ends = strength if isinstance(strength, list) else [strength]
    return "-".join(f"{end:g}" for end in ends)
