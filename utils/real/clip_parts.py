"""The hidden folder in which a clip is made, and whether a later run may continue there."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files.folders import expect_no_links, prepare_output_folder, remove, replacing
from data.files.reading import read_regular
from data.video.sources import FrameSource
from utils.errors import InputError
from utils.options.files import changed_options
from utils.pictures.frame_files import FRAMES

HIDDEN = ".unfinished"
_DESCRIPTION = "run.json"
_PREPARATIONS = {"flicker": "deflicker", "alignment": "align", "colours": "match_colour"}
"""The options that ask for what `Preparation` describes."""


@dataclass(frozen=True)
class UnfinishedClip:
    """The parts of a clip's video, some of them finished.

    Attributes:
        folder: the hidden folder, inside that of the results.
        count: number of all parts.
    """

    folder: Path
    count: int

    @property
    def parts(self) -> list[Path]:
        """The files of all parts, finished or not."""
        return [self.folder / f"part_{number:06d}.h264" for number in range(self.count)]

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts that are not finished."""
        return [number for number, part in enumerate(self.parts) if not part.exists()]


def open_unfinished(
    clip: UnfinishedClip, description: Mapping[str, Any], *, restart: bool = False
) -> None:
    """Prepare the hidden folder; finished parts of an interrupted run with equal settings stay.

    Args:
        clip: its folder may or may not exist.
        description: everything that the parts depend on, JSON-serialisable.
        restart: discard an interrupted run.

    Raises:
        InputError: a run with another description was interrupted, or the folder is a link or
            cannot be written.
    """
    expect_no_links(clip.folder, clip.folder.parent)
    expect_no_links(clip.folder / FRAMES, clip.folder)
    record = clip.folder / _DESCRIPTION
    wanted = json.loads(json.dumps(description))
    has_parts = not restart and any(clip.folder.glob("part_*.h264"))
    found = _read_description(record) if has_parts else None
    if found is None:
        remove(clip.folder)
    elif changes := list(_differences(found, wanted)):
        raise InputError(
            f"{clip.folder.parent}: an interrupted run there differs: {'; '.join(changes)}; repeat "
            "its command to finish it, choose another --output, or discard it with --restart"
        )
    prepare_output_folder(clip.folder)
    for temporary in clip.folder.glob(".*"):
        remove(temporary)
    if found is None:
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two descriptions, by the options that the user gives."""
    before, now = (dict(each.get("preparation") or {}) for each in (found, wanted))
    for name, option in _PREPARATIONS.items():
        was, is_now = (each.get(name) is not None for each in (before, now))
        if was != is_now:
            yield f"{option}: {'on' if was else 'off'} -> {'on' if is_now else 'off'}"
            for each in (before, now):
                each.pop(name, None)
    yield from changed_options({**found, "preparation": before}, {**wanted, "preparation": now})


def describe_sources(sources: Sequence[FrameSource]) -> dict[str, Any]:
    """The files of recordings: path, number, size, and a digest of names, sizes and times."""
    return {
        f"input{number}": _describe_files(source) for number, source in enumerate(sources, start=1)
    }


def _describe_files(source: FrameSource) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for file in source.files:
        state = file.stat()
        size += state.st_size
        digest.update(os.fsencode(f"{file.name} {state.st_size} {state.st_mtime_ns}\n"))
    return {
        "path": str(source.path.resolve()),
        "files": len(source.files),
        "bytes": size,
        "state": digest.hexdigest()[:16],
    }


def _read_description(record: Path) -> dict[str, Any] | None:
    """The description that an interrupted run wrote; None if it is missing or damaged."""
    try:
        found = json.loads(read_regular(record))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
