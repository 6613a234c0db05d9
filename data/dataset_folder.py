"""Folders of captures in the layout of RS-GOPRO, written whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.capture import CapturePair
from utils.errors import InputError
from utils.image_io import prepare_output_folder, to_uint8, write_image
from utils.versions import find_versions


@contextmanager
def new_dataset(output: Path) -> Iterator[Path]:
    """Offer a hidden folder beside `output`, renamed to it where the block succeeds, else removed.

    Raises:
        InputError: `output` exists already or cannot be written.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; name a new folder, or remove it first")
    making = output.with_name(f".making-{output.name}.{os.getpid()}")
    prepare_output_folder(making)
    try:
        yield making
        try:
            making.rename(output)
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)


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


def write_description(dataset: Path, description: Mapping[str, Any]) -> None:
    """Write `dataset.json`: how the captures were made, and by which versions of what.

    Raises:
        InputError: no space left or no permission.
    """
    content = {**description, "versions": find_versions()}
    try:
        (dataset / "dataset.json").write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise InputError(f"{dataset}: cannot write there: {error.strerror}") from error
