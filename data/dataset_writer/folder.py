"""Data sets in the layout of RS-GOPRO on disk, written whole or not at all."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, with_config
from typing_extensions import TypedDict

from data.capture import CapturePair
from data.files.folders import (
    expect_no_links,
    lock_folder,
    making_folder,
    plain_name,
    prepare_output_folder,
    remove,
    replacing,
)
from data.files.images import to_uint8, write_image
from data.files.reading import read_regular
from data.files.versions import find_versions
from utils.errors import InputError

_DESCRIPTION = "dataset.json"


FolderName = Annotated[str, AfterValidator(plain_name)]
Number = Annotated[float, Strict()]


@with_config(ConfigDict(extra="allow"))
class Parameters(TypedDict, total=False):
    """Parameters of a sequence; these are read again."""

    seed: Annotated[int, Strict()]
    strength: Number | Annotated[list[Number], Field(min_length=1)] | None


class Run(BaseModel, extra="allow"):
    """A run that wrote sequences, in `dataset.json`; extra fields apply to all of them."""

    split: FolderName
    sequences: dict[FolderName, Parameters]  # parameters by name
    versions: dict[str, Any]


class _Description(BaseModel):
    runs: list[Run] = []


@contextmanager
def new_dataset(output: Path) -> Iterator[Path]:
    """Yield a hidden folder; rename it to `output` if the block succeeds, else remove it.

    Raises:
        InputError: `output` exists already or cannot be written.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; choose a new folder, or remove it first")
    with _told_of_stops(output), _making_beside(output) as unfinished:
        yield unfinished
        _move(unfinished, output)


@contextmanager
def new_sequences(dataset: Path, split: str, names: Collection[str]) -> Iterator[Path]:
    """Yield a hidden folder; if the block succeeds, move its sequences into a data set.

    A missing data set is created. To an existing one the description is added first, then the
    sequences: the description of one that is not there yet says nothing.

    Args:
        dataset: the data set's folder.
        split: name of the folder inside it.
        names: of the sequences that the block will write into `split`.

    Raises:
        InputError: `dataset` is another kind of folder, already has one of the sequences, or
            cannot be written.
    """
    if not dataset.exists():
        with new_dataset(dataset) as unfinished:
            yield unfinished
        return
    if not read_runs(dataset):
        raise InputError(
            f"{dataset}: exists already, and its {_DESCRIPTION} lists no sequences; choose a new "
            "folder, or remove it first"
        )
    expect_no_links(dataset / split, dataset)
    with _told_of_stops(dataset), lock_folder(dataset), _making_beside(dataset) as unfinished:
        for name in names:
            if (dataset / split / name).exists():
                raise InputError(
                    f"{dataset / split / name}: exists already; choose another --split or folder, "
                    "or remove it first"
                )
        yield unfinished
        earlier = read_runs(dataset)
        prepare_output_folder(dataset / split)
        _write_runs(dataset, [*earlier, *read_runs(unfinished)])
        moved = []
        try:
            for name in names:
                _move(unfinished / split / name, dataset / split / name)
                moved.append(dataset / split / name)
        except InputError:
            for folder in moved:
                remove(folder)
            _write_runs(dataset, earlier)
            raise


@contextmanager
def _told_of_stops(output: Path) -> Iterator[None]:
    """Add to Ctrl-C in this block what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"{output}: nothing of this run is kept; the same command begins again"
        ) from stop


def write_capture(sequence: Path, index: int, capture: CapturePair) -> None:
    """Write a capture and its true frames, in order of time, into a sequence's folder.

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
    """Write `dataset.json` of a new data set, with the versions of the code.

    Args:
        dataset: folder that holds the split.
        split: folder of the sequences.
        sequences: parameters of each sequence, by name.
        common: parameters of all of them.

    Raises:
        InputError: no space left or no permission.
    """
    run = {"split": split, **common, "versions": find_versions(), "sequences": sequences}
    _write_runs(dataset, [Run.model_validate(run)])


def read_runs(dataset: Path) -> list[Run]:
    """Read from `dataset.json` the runs whose sequences still exist.

    Returns:
        Empty if there is no such file, or it lists no runs.

    Raises:
        InputError: the file cannot be read.
    """
    file = dataset / _DESCRIPTION
    if not file.exists():
        return []
    try:
        runs = _Description.model_validate_json(read_regular(file)).runs
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: not a description of a data set; remove or restore it"
        ) from error
    for run in runs:
        folder = dataset / run.split
        run.sequences = {
            name: settings for name, settings in run.sequences.items() if (folder / name).exists()
        }
    return [run for run in runs if run.sequences]


def read_strengths(root: str | Path, split: str) -> dict[str, str]:
    """Read the strength of the motion in each sequence of a split, as text for tables.

    Args:
        root: folder of the data set.
        split: name of the folder inside it.

    Returns:
        Strengths such as "0.5", or "0.5-1" for a range, by sequence; sequences without are left
        out.

    Raises:
        InputError: `dataset.json` cannot be read.
    """
    strengths = {
        name: settings.get("strength")
        for run in read_runs(Path(root))
        if run.split == split
        for name, settings in run.sequences.items()
    }
    return {
        name: "-".join(f"{end:g}" for end in (value if isinstance(value, list) else [value]))
        for name, value in strengths.items()
        if value is not None
    }


def read_unconnected(root: str | Path, split: str) -> frozenset[str]:
    """Read which sequences of a split have captures that do not follow each other without a gap.

    Captures of consecutive indices follow each other in RS-GOPRO, and unless `dataset.json` says
    otherwise.

    Args:
        root: folder of the data set.
        split: name of the folder inside it.

    Raises:
        InputError: `dataset.json` cannot be read.
    """
    return frozenset(
        name
        for run in read_runs(Path(root))
        if run.split == split and not _is_consecutive(run.model_extra or {})
        for name in run.sequences
    )


def _is_consecutive(fields: Mapping[str, Any]) -> bool:
    """Whether captures follow each other; earlier versions recorded only `span` and `step`."""
    if "consecutive" in fields:
        return bool(fields["consecutive"])
    return "step" not in fields or fields["step"] == fields.get("span", 0) - 1


def _write_runs(dataset: Path, runs: Sequence[Run]) -> None:
    text = _Description(runs=list(runs)).model_dump_json(indent=2)
    with replacing(dataset / _DESCRIPTION) as temporary:
        temporary.write_text(text + "\n", "utf-8")


@contextmanager
def _making_beside(output: Path) -> Iterator[Path]:
    """Yield a new folder in a hidden one beside `output`, which is removed after the block."""
    place = output.resolve()
    prepare_output_folder(place.parent)
    with making_folder(place.parent) as hidden:
        unfinished = hidden / (place.name or "dataset")
        unfinished.mkdir()
        yield unfinished


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
