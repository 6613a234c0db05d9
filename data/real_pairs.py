"""Captures of real cameras: two image files of any size per capture, without truth."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from data.capture import CapturePair
from data.files.images import IMAGE_SUFFIXES, OTHER_STILLS, read_image
from data.files.stored_values import StoredValues
from data.time_maps import scan_time
from utils.errors import InputError

_STEM = re.compile(r"(?P<name>.+)_(?P<direction>t2b|b2t)")


class RealPairs(Dataset[CapturePair]):
    """Every `NAME_t2b.EXT` with its `NAME_b2t.EXT` under a folder, at any depth, in natural order.

    `ROOT/SCENE/0_t2b.png` and `ROOT/SCENE/0_b2t.png` make the capture named "SCENE/0".
    """

    def __init__(self, root: str | Path, stored: StoredValues | None = None) -> None:
        """List the captures; images are read on access.

        Args:
            root: the folder.
            stored: what the values of the images are; see `data.files.images.read_image`.

        Raises:
            InputError: the folder is missing or holds no capture, an image lacks its partner or is
                of a format that is not read, or two files are the same image of a capture.
        """
        self.root = Path(root)
        self.stored = stored
        self._files = _paired_files(self.root)
        self.names = sorted(self._files, key=natural_key)

    def __len__(self) -> int:
        """Number of captures."""
        return len(self.names)

    def __getitem__(self, index: int) -> CapturePair:
        """Read a capture.

        Raises:
            InputError: as for `read_pair`.
        """
        name = self.names[index]
        files = self._files[name]
        return read_pair(files["t2b"], files["b2t"], name=name, stored=self.stored)

    @property
    def paths(self) -> set[Path]:
        """Every image file, resolved."""
        return {path.resolve() for files in self._files.values() for path in files.values()}

    def files(self, index: int) -> tuple[Path, Path]:
        """The image files of a capture, t2b and b2t, resolved."""
        named = self._files[self.names[index]]
        return named["t2b"].resolve(), named["b2t"].resolve()

    def frame_count(self, index: int) -> int:
        """Number of true frames of a capture: 0."""
        return 0

    def load(self, index: int, frames: Sequence[int] = ()) -> CapturePair:
        """Read a capture; see `data.layouts.CaptureFolder.load`.

        Raises:
            ValueError: `frames` asks for true frames.
            InputError: as for `read_pair`.
        """
        if frames:
            raise ValueError(f"{self.names[index]}: real captures have no true frames")
        return self[index]


def read_pair(
    t2b_path: str | Path,
    b2t_path: str | Path,
    *,
    name: str | None = None,
    stored: StoredValues | None = None,
) -> CapturePair:
    """Read one capture from two image files.

    Args:
        t2b_path: image read out top to bottom.
        b2t_path: image read out bottom to top.
        name: of the capture; by default the first file's name without "_t2b" and suffix.
        stored: what the values of the images are; see `data.files.images.read_image`.

    Raises:
        InputError: an image cannot be read (see `data.files.images.read_image`), the sizes differ,
            or there are fewer than 2 rows.
    """
    t2b = read_image(t2b_path, stored)
    b2t = read_image_like(t2b, t2b_path, b2t_path, stored)
    height = t2b.shape[-2]
    if height < 2:
        raise InputError(f"{t2b_path}: a rolling shutter needs at least 2 rows, got {height}")
    given = name or Path(t2b_path).stem.removesuffix("_t2b")
    return CapturePair(t2b=t2b, b2t=b2t, scan_time=scan_time(height), name=given)


def read_image_like(
    image: Tensor, image_path: str | Path, path: str | Path, stored: StoredValues | None = None
) -> Tensor:
    """Read an image that must have the size of another one, `image` from `image_path`.

    Raises:
        InputError: it cannot be read or has another size.
    """
    found = read_image(path, stored)
    if found.shape != image.shape:
        expected, got = (f"{size[-1]}x{size[-2]}" for size in (image.shape, found.shape))
        raise InputError(f"{path}: expected {expected} pixels like {image_path}, got {got}")
    return found


def check_partners(captures: Iterable[Mapping[str, Path]]) -> None:
    """Check that captures, image files by direction, have both images.

    Raises:
        InputError: one lacks an image.
    """
    for files in captures:
        for present, absent in (("t2b", "b2t"), ("b2t", "t2b")):
            if absent not in files:
                partner = files[present].name.replace(f"_{present}.", f"_{absent}.")
                raise InputError(f"{files[present]}: expected its partner {partner} beside it")


def natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key that puts "2" before "10"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


def _paired_files(root: Path) -> dict[str, dict[str, Path]]:
    """Image files by capture name and direction."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder of captures")
    found: dict[str, dict[str, Path]] = {}
    for path, name, direction in _captured_images(root):
        files = found.setdefault(name, {})
        if direction in files:
            raise InputError(f"{path}: same image as {files[direction].name}; remove one")
        files[direction] = path
    _expect_all_read(root, found)
    if not found:
        raise InputError(f"{root}: no captures; expected pairs of NAME_t2b.png and NAME_b2t.png")
    check_partners(found.values())
    return found


def _expect_all_read(root: Path, found: Mapping[str, Mapping[str, Path]]) -> None:
    """Refuse captures of a format that is not read, unless they are also there in another one."""
    for path, name, direction in _captured_images(root, OTHER_STILLS):
        if direction not in found.get(name, {}):
            raise InputError(
                f"{path}: stills of this format are not read; convert them to PNG or TIFF, upright "
                "as the sensor stored them"
            )


def _captured_images(
    root: Path, suffixes: Collection[str] = IMAGE_SUFFIXES
) -> Iterable[tuple[Path, str, str]]:
    """Path, capture name and direction of every image of a capture."""
    for path in sorted(_visible_files(root)):
        match = _STEM.fullmatch(unicodedata.normalize("NFC", path.stem))
        if match and path.suffix.lower() in suffixes:
            relative = path.parent.relative_to(root) / match["name"]
            yield path, relative.as_posix(), match["direction"]


def _visible_files(root: Path) -> Iterator[Path]:
    """Files at any depth, following links; neither hidden files nor those in hidden folders.

    Raises:
        InputError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in seen:  # a link to a parent folder
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in files if not name.startswith("."))
