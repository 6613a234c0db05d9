"""Layouts of captures on disk that options can name; needs no PyTorch.

To add one, write a class in a file of its own and add a line to `LAYOUTS` (docs/EXTENDING.md).
"""

from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from data.capture import CapturePair

SIMULATED = "simulated"
"""Option value in place of a layout: scenes are simulated, no captures are read."""


_INSTANT_TOLERANCE = 1e-4  # frame intervals


class Layout(NamedTuple):
    """A layout of captures on disk.

    Attributes:
        opens: "module:name" of its class, a `CaptureFolder`; called with (root), or with
            (root, split, with_truth=...) if it has splits.
        has_splits: whether the root has folders train, valid and test.
        has_truth: whether there may be true frames.
    """

    opens: str
    has_splits: bool
    has_truth: bool


LAYOUTS: dict[str, Layout] = {
    "rs_gopro": Layout("data.rs_gopro:RSGOPRO", has_splits=True, has_truth=True),
    "captures": Layout("data.real_pairs:RealPairs", has_splits=False, has_truth=False),
}
"""Every layout by its name in `dataset_type`."""


class CaptureFolder(Protocol):
    """Captures in a folder."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the captures in order, "SEQUENCE/INDEX"."""

    def __len__(self) -> int:
        """Number of captures, at least 1."""

    def __getitem__(self, index: int) -> "CapturePair":
        """Read a capture with all its true frames."""

    def frame_count(self, index: int) -> int:
        """Number of true frames of a capture, equally spaced from t = 0 to 1; 0 without truth."""

    def load(self, index: int, frames: Sequence[int] = ()) -> "CapturePair":
        """Read a capture with the true frames of these indices."""


def open_captures(
    layout: str, root: str | Path, split: str, *, with_truth: bool = True
) -> CaptureFolder:
    """List the captures of a folder; images are read on access.

    Args:
        layout: a key of `LAYOUTS`.
        root: the folder.
        split: "train", "valid" or "test"; ignored by layouts without splits.
        with_truth: whether to look for true frames.

    Raises:
        InputError: the folder is missing, empty, or of another layout.
    """
    known = LAYOUTS[layout]
    reader = resolve_name(known.opens)
    captures: CaptureFolder = (
        reader(root, split, with_truth=with_truth) if known.has_splits else reader(root)
    )
    return captures


def frame_at(t: float, count: int) -> int | None:
    """Index of the true frame at an instant, of `count` from t = 0 to 1; None if there is none."""
    index = round(t * (count - 1))
    return index if count > 1 and abs(index - t * (count - 1)) < _INSTANT_TOLERANCE else None


def ends_of_sequences(captures: CaptureFolder) -> set[str]:
    """Names of the first and last pair of each sequence."""
    names: dict[str, list[str]] = {}
    for name in captures.names:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    return {end for sequence in names.values() for end in (sequence[0], sequence[-1])}
