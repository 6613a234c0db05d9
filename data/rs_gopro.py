"""The RS-GOPRO benchmark and other datasets of its layout."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from data.capture import CapturePair
from data.real_pairs import check_partners, natural_key, read_image_like, read_pair
from utils.errors import InputError

# Groups: index of the capture; direction of the image, or number of the true frame.
RS_FILE = re.compile(r"(\d+)_rs_(t2b|b2t)\.png")
GS_FILE = re.compile(r"(\d+)_gs_(\d{3,})\.png")


@dataclass(frozen=True)
class PairFiles:
    """Files of one capture.

    Attributes:
        sequence: name of the folder below the split.
        index: number of the capture within its sequence.
        t2b: image read top to bottom.
        b2t: image read bottom to top.
        frames: true frames, equally spaced from t = 0 to 1; empty without truth.
    """

    sequence: str
    index: int
    t2b: Path
    b2t: Path
    frames: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Sequence and index, "SEQ/00000012"."""
        return f"{self.sequence}/{self.index:08d}"


class RSGOPRO(Dataset[CapturePair]):
    """Captures in `ROOT/SPLIT/SEQ/RS/%08d_rs_{t2b,b2t}.png`, truth in `SEQ/GS/%08d_gs_%03d.png`.

    Images may have any size, and captures any number of true frames from 2 on, the same for all. A
    split without `GS` folders has no truth.

    Attributes:
        pairs: files of each capture, by sequence (natural order) and index.
        names: names of the captures in that order.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        sequences: Sequence[str] | None = None,
        with_truth: bool = True,
    ) -> None:
        """List the captures; images are read on access.

        Args:
            root: folder that holds the splits.
            split: "train", "valid" or "test".
            sequences: only these; all by default.
            with_truth: whether to look for true frames.

        Raises:
            InputError: a folder is missing or empty, an image lacks its partner, true frames are
                missing, or captures have different numbers of them.
        """
        folder = Path(root) / split
        self.pairs = [
            pair
            for sequence in _sequence_folders(folder, sequences)
            for pair in _list_pairs(sequence, with_truth=with_truth)
        ]
        _check_frame_counts(self.pairs)
        self.names = [pair.name for pair in self.pairs]

    def __len__(self) -> int:
        """Number of captures."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> CapturePair:
        """Read a capture with all its true frames; see `load`."""
        return self.load(index, range(self.frame_count(index)))

    def frame_count(self, index: int) -> int:
        """Number of true frames of a capture; 0 without truth."""
        return len(self.pairs[index].frames)

    def load(self, index: int, frames: Sequence[int] = ()) -> CapturePair:
        """Read a capture with some of its true frames, by default none.

        Args:
            index: index of the capture in `pairs`.
            frames: indices of its true frames, below `frame_count(index)`.

        Raises:
            InputError: an image is unreadable or has another size than the t2b image.
        """
        files = self.pairs[index]
        capture = read_pair(files.t2b, files.b2t, name=files.name)
        if not frames:
            return capture
        truth = [read_image_like(capture.t2b, files.t2b, files.frames[frame]) for frame in frames]
        times = torch.tensor(frames, dtype=torch.float64) / (len(files.frames) - 1)
        return replace(capture, truth=torch.stack(truth), truth_times=times.float())


def _sequence_folders(folder: Path, wanted: Sequence[str] | None) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected ROOT/train, ROOT/valid or ROOT/test")
    found = {
        entry.name: entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    }
    names = set(found) if wanted is None else set(wanted)
    if not names:
        raise InputError(f"{folder}: no sequences; expected folders with RS/00000000_rs_t2b.png")
    unknown = sorted(names - set(found))
    if unknown:
        raise InputError(f"{folder}: no sequence {', '.join(unknown)}")
    return [found[name] for name in sorted(names, key=natural_key)]


def _list_pairs(folder: Path, *, with_truth: bool) -> list[PairFiles]:
    """Captures of one sequence by index."""
    images = group_files(folder / "RS", RS_FILE)
    if not images:
        raise InputError(f"{folder / 'RS'}: no captures; expected 00000000_rs_t2b.png and so on")
    check_partners(images.values())
    frames = _list_frames(folder / "GS") if with_truth else {}
    return [
        PairFiles(folder.name, index, files["t2b"], files["b2t"], frames.get(index, ()))
        for index, files in sorted(images.items())
    ]


def _list_frames(folder: Path) -> dict[int, tuple[Path, ...]]:
    """True frames of each capture index in order of time."""
    frames = {}
    for index, files in group_files(folder, GS_FILE).items():
        numbered = {int(number): path for number, path in files.items()}
        missing = sorted(set(range(max(numbered) + 1)) - set(numbered))
        if missing:
            raise InputError(f"{folder}: true frame {index:08d}_gs_{missing[0]:03d}.png is missing")
        frames[index] = tuple(path for _, path in sorted(numbered.items()))
    return frames


def group_files(folder: Path, pattern: re.Pattern[str]) -> dict[int, dict[str, Path]]:
    """Files that match a pattern, by its two groups; none if there is no such folder."""
    groups: dict[int, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            groups.setdefault(int(match[1]), {})[match[2]] = path
    return groups


def _check_frame_counts(pairs: Sequence[PairFiles]) -> None:
    first = pairs[0]
    expected = len(first.frames)
    if expected == 1:
        raise InputError(f"{first.name}: expected at least 2 true frames (t = 0 and 1), got 1")
    for pair in pairs:
        if len(pair.frames) != expected:
            raise InputError(
                f"{pair.name}: expected {expected} true frames like {first.name}, "
                f"got {len(pair.frames)}"
            )
