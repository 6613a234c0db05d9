"""The folder of an input's results: named after the input, and never that of another input."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from data.files.folders import expect_no_links, name_after, plain_name, prepare_output_folder
from data.files.images import IMAGE_SUFFIXES
from data.files.reading import read_regular
from data.video.inputs import ChosenInput
from data.video.sources import FrameSource
from utils.errors import InputError, one_line
from utils.pictures.frame_files import holds_frames
from utils.real.capture_results import RESULTS
from utils.real.clip_parts import HIDDEN
from utils.system.console import note

RECORD = ".inputs.json"
"""In a folder of results, the inputs that they were made from."""


def capture_name(chosen: ChosenInput, stem: str) -> str:
    """Name of the results of a single capture: a mere number follows the name of its folder."""
    image = Path(chosen.first).absolute()
    name = name_after(stem, image)
    return f"{name_after(image.parent.name, image)}-{name}" if name.isdecimal() else name


def identify_source(source: FrameSource) -> Path:
    """The video, the folder whose images the source has, or else the pattern of images."""
    folder = source.files[0].resolve().parent
    if source.keys and len(source.files) == sum(map(_is_image, folder.iterdir())):
        return folder
    return source.path.resolve()


def choose_place(root: Path, name: str, inputs: Sequence[Path]) -> Path:
    """The folder below `root` for the results of inputs.

    It is named after the first input: `name`, or if another input's results are there, the name of
    its folder and file, or `name` with a digest. The choice is said unless it is `name`.

    Args:
        root: folder of all results.
        name: components of a path, separated by "/".
        inputs: resolved paths; runs on the same inputs get the same folder.

    Raises:
        InputError: `name` cannot name a folder, or other inputs have all these folders.
    """
    *parents, last = (name_after(part, inputs[0]) for part in name.split("/"))
    digest = hashlib.sha256(b"\0".join(map(os.fsencode, inputs))).hexdigest()[:8]
    choices = (last, f"{inputs[0].parent.name}-{inputs[0].name}", f"{last[:60]}-{digest}")
    for choice in choices:
        try:
            place = root.joinpath(*parents, plain_name(choice))
        except ValueError:
            continue
        if _is_free(place) or _read_record(place) == _record(inputs):
            if choice != last:
                taken = root.joinpath(*parents, last)
                said = f"{taken} holds results of another input; those of {inputs[0]} go to {place}"
                note(one_line(said))
            return place
    raise InputError(
        f"{root.joinpath(*parents, last)}: holds results of another input; choose another --output"
    )


@contextmanager
def claimed(place: Path, root: Path, inputs: Sequence[Path]) -> Iterator[None]:
    """Create the folder chosen for the results of inputs, and remove it again if it stays empty.

    Raises:
        InputError: it is a link or below one, cannot be written, or another run has claimed it for
            other inputs meanwhile.
    """
    expect_no_links(place, root)
    prepare_output_folder(place)
    record = place / RECORD
    if _read_record(place) is None:
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(record, flags, 0o666), "w", encoding="ascii") as file:
                json.dump(_record(inputs), file)
    if _read_record(place) != _record(inputs):
        raise InputError(f"{place}: taken for other inputs meanwhile; repeat the command")
    try:
        yield
    finally:
        if [path.name for path in place.iterdir()] == [RECORD]:
            record.unlink()
            with suppress(OSError):  # not empty
                for folder in (place, *place.parents):
                    if folder == root:
                        break
                    folder.rmdir()


def _record(inputs: Sequence[Path]) -> list[str]:
    return [str(path) for path in inputs]


def _read_record(place: Path) -> object:
    """What a folder says of its inputs; None if it says nothing that can be read."""
    try:
        return json.loads(read_regular(place / RECORD))
    except (OSError, ValueError, InputError):
        return None


def _is_free(place: Path) -> bool:
    """Whether nothing in a folder is a result or says whose it is."""
    if not place.is_dir():
        return True
    results = any((place / name).exists() for name in (*RESULTS, HIDDEN, RECORD))
    return not (results or holds_frames(place))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
