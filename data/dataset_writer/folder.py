"""Folders of captures in the layout of RS-GOPRO, written whole or not at all."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.capture import CapturePair
from data.files.folders import prepare_output_folder, replacing
from data.files.images import to_uint8, write_image
from data.files.versions import find_versions
from utils.errors import InputError

_DESCRIPTION = "dataset.json"


class Run(BaseModel, extra="allow"):
    """What `dataset.json` tells of a run that wrote sequences.

    How all of them were made is in further fields.

    Attributes:
        split: where they are.
        sequences: how each one was made, by name.
        versions: of what made them.
    """

    split: str
    sequences: dict[str, dict[str, Any]]
    versions: dict[str, Any]


class _Description(BaseModel):
    runs: list[Run] = []


@contextmanager
def new_dataset(output: Path) -> Iterator[Path]:
    """Offer a hidden folder beside `output`, renamed to it where the block succeeds, else removed.

    Raises:
        InputError: `output` exists already or cannot be written.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; name a new folder, or remove it first")
    with _hidden_folder(output) as making:
        yield making
        _move(making, output)


@contextmanager
def new_sequences(dataset: Path, split: str, names: Collection[str]) -> Iterator[Path]:
    """Offer a folder for sequences of a split; where the block succeeds they are in `dataset`.

    What the block makes there becomes the data set itself if there is none yet. To one that was
    made here before, the sequences are added once all of them are complete, then their description.

    Args:
        dataset: the data set's folder.
        split: name of the folder inside it.
        names: of the sequences that the block will make in `split`.

    Raises:
        InputError: `dataset` was not made here, has one of the sequences already, or cannot be
            written.
    """
    if not dataset.exists():
        with new_dataset(dataset) as making:
            yield making
        return
    if not read_runs(dataset):
        raise InputError(
            f"{dataset}: exists already, and {_DESCRIPTION} tells of no sequences made there; "
            "name a new folder, or remove it first"
        )
    for name in names:
        if (dataset / split / name).exists():
            raise InputError(
                f"{dataset / split / name}: exists already; choose another --split or folder, "
                "or remove it first"
            )
    with _hidden_folder(dataset) as making:
        yield making
        runs = [*read_runs(dataset), *read_runs(making)]
        prepare_output_folder(dataset / split)
        for name in names:
            _move(making / split / name, dataset / split / name)
        _write_runs(dataset, runs)


def write_capture(sequence: Path, index: int, capture: CapturePair) -> None:
    """Write a capture and its true frames, in order of their times, into a sequence's folder.

    Raises:
        InputError: no space left or no permission.
    """
    for part in ("RS", "GS"):
        prepare_output_folder(sequence / part)
    write_image(sequence / "RS" / f"{index:08d}_rs_t2b.png", to_uint8(capture.t2b))
    write_image(sequence / "RS" / f"{index:08d}_rs_b2t.png", to_uint8(capture.b2t))
    for number, frame in enumerate(() if capture.truth is None else capture.truth):
        write_image(sequence / "GS" / f"{index:08d}_gs_{number:03d}.png", to_uint8(frame))


def write_description(
    dataset: Path, split: str, sequences: Mapping[str, Mapping[str, Any]], **common: object
) -> None:
    """Write `dataset.json`: how the captures were made, and by which versions of what.

    Args:
        dataset: folder that holds the split.
        split: where the sequences are.
        sequences: how each one was made, by name.
        common: how all of them were.

    Raises:
        InputError: no space left or no permission.
    """
    run = {"split": split, **common, "versions": find_versions(), "sequences": sequences}
    _write_runs(dataset, [Run.model_validate(run)])


def read_runs(dataset: Path) -> list[Run]:
    """The runs that wrote what a data set has, as its `dataset.json` tells.

    Returns:
        Nothing where there is no such file, or another program's.

    Raises:
        InputError: the file cannot be read.
    """
    file = dataset / _DESCRIPTION
    if not file.exists():
        return []
    try:
        runs = _Description.model_validate_json(file.read_bytes()).runs
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: not a description of a data set; remove or restore it"
        ) from error
    for run in runs:
        folder = dataset / run.split
        run.sequences = {
            name: made for name, made in run.sequences.items() if (folder / name).exists()
        }
    return [run for run in runs if run.sequences]


def _write_runs(dataset: Path, runs: Sequence[Run]) -> None:
    text = _Description(runs=list(runs)).model_dump_json(indent=2)
    with replacing(dataset / _DESCRIPTION) as temporary:
        temporary.write_text(text + "\n", "utf-8")


@contextmanager
def _hidden_folder(output: Path) -> Iterator[Path]:
    """A hidden folder beside `output`, removed after the block."""
    place = output.resolve()
    making = place.with_name(f".making-{place.name}.{os.getpid()}")
    prepare_output_folder(making)
    try:
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _move(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error


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
