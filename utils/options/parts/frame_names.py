"""File names of frames on disk: layouts, and patterns with placeholders; needs no PyTorch."""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Literal

FrameLayoutName = Literal["ours", "released"]

FRAME_LAYOUTS: Mapping[FrameLayoutName, str] = {
    "ours": "{sequence}/{pair}/frame_{frame:03d}_t{time:.3f}.png",
    "released": "{sequence}/{pair}_gs_{frame:03d}.png",
}
"""Patterns of the layouts that options can name: ours, and that of the authors' test scripts."""

_NUMBERS = {"frame": r"\d{3,}", "time": r"[01]\.\d{3}"}  # as the layouts write them
_PLACEHOLDERS = ("sequence", "pair", "frame", "frame1", "time", "set")


class _PairName(str):
    """The name of a pair; `{pair:06d}` formats it as a number."""

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec.endswith("d") else format(str(self), spec)


def check_pattern(pattern: str) -> str:
    """Return a pattern of file names, or the name of a layout, after checking its placeholders.

    Raises:
        ValueError: a placeholder is unknown or cannot be formatted.
    """
    known = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
    try:
        names = [field for _, field, _, _ in Formatter().parse(_spelt_out(pattern))]
        unknown = [name for name in names if name is not None and name not in _PLACEHOLDERS]
        if not unknown:
            frame_path(pattern, capture="sequence/00000000", frame=0, time=0.5)
    except ValueError as error:
        raise ValueError(f"expected a pattern of {known}, got {pattern!r}: {error}") from error
    if unknown:
        raise ValueError(f"expected placeholders among {known}, got {{{unknown[0]}}}")
    return pattern


def frame_path(pattern: str, *, capture: str, frame: int, time: float, set_name: str = "") -> str:
    """Path of a frame below its folder.

    Args:
        pattern: a key of `FRAME_LAYOUTS`, or placeholders as `str.format` reads them: `{sequence}`,
            `{pair}` (also as a number: `{pair:06d}`), `{frame}` from 0, `{frame1}` from 1,
            `{time}` in [0, 1], `{set}`.
        capture: its name, "SEQUENCE/PAIR".
        frame: its number from 0.
        time: its instant.
        set_name: name of the test set, if it has one.

    Raises:
        ValueError: the pair's name is no number, but the pattern asks for one.
    """
    sequence, _, pair = capture.rpartition("/")
    path = _spelt_out(pattern).format(
        sequence=sequence,
        pair=_PairName(pair),
        frame=frame,
        frame1=frame + 1,
        time=time,
        set=set_name,
    )
    return path.lstrip("/")  # a capture may belong to no sequence


def frames_of_capture(layout: FrameLayoutName, capture: str) -> re.Pattern[str]:
    """What the paths of all frames of a capture look like in a layout."""
    sequence, _, pair = capture.rpartition("/")
    given = {"sequence": re.escape(sequence), "pair": re.escape(pair), **_NUMBERS}
    parts = Formatter().parse(FRAME_LAYOUTS[layout])
    found = "".join(re.escape(text) + given.get(name or "", "") for text, name, _, _ in parts)
    return re.compile(found.lstrip("/"))


def _spelt_out(pattern: str) -> str:
    return {**FRAME_LAYOUTS}.get(pattern, pattern)  # type: ignore[call-overload]
