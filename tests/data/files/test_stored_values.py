"""Values of cameras in image files: fewer bits than the file's, and Bayer mosaics."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from data.files.images import read_image
from data.files.stored_values import Bayer, Bits, StoredValues, parse_stored_values
from data.real_pairs import read_pair
from data.video.sources import open_frames_folder
from utils.errors import InputError

PHOTO = cv2.resize(skimage.data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)
NOISE = np.random.default_rng(0)

PATTERNS: dict[Bayer, tuple[int, int, int, int]] = {
    "rggb": (0, 1, 1, 2),
    "bggr": (2, 1, 1, 0),
    "grbg": (1, 0, 2, 1),
    "gbrg": (1, 2, 0, 1),
}
"""Channels of the pixels (0, 0), (0, 1), (1, 0), (1, 1)."""


def mosaic(photo: NDArray[np.uint8], pattern: Bayer) -> NDArray[np.uint8]:
    grey = np.empty(photo.shape[:2], np.uint8)
    for place, channel in enumerate(PATTERNS[pattern]):
        y, x = divmod(place, 2)
        grey[y::2, x::2] = photo[y::2, x::2, channel]
    return grey


def write(path: Path, values: NDArray[np.uint8] | NDArray[np.uint16]) -> Path:
    assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize(("bits", "suffix"), [(10, "tif"), (12, "png"), (14, "png")])
def test_few_bits_in_16_bit_files_are_asked_for_and_scaled(
    tmp_path: Path, bits: Bits, suffix: str
) -> None:
    white = (1 << bits) - 1
    values = np.full((4, 6, 3), white // 3, np.uint16)
    values[0, 0] = white
    path = write(tmp_path / f"few.{suffix}", values)
    with pytest.raises(InputError, match=f"no value above {white} in a 16-bit file: {bits}-bit"):
        read_image(path, StoredValues())
    image = read_image(path, StoredValues(bits=bits))
    assert float(image[0, 0, 0]) == 1 and float(image[0, 1, 1]) == pytest.approx(1 / 3, abs=1e-3)
    assert read_image(path, StoredValues(bits=16)).equal(read_image(path))


def test_values_above_the_stated_bits_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.full((4, 6, 3), 4096, np.uint16))
    with pytest.raises(InputError, match="expected 12-bit values up to 4095, got 4096"):
        read_image(path, StoredValues(bits=12))


@pytest.mark.parametrize("factor", [16, 64, 257])
def test_dark_pictures_of_scaled_values_and_black_ones_are_not_refused(
    tmp_path: Path, factor: int
) -> None:
    dark = (NOISE.integers(0, 10, (8, 8, 3)) * factor).astype(np.uint16)
    for values in (dark, np.zeros_like(dark), np.full_like(dark, 60000)):
        path = write(tmp_path / "a.png", values)
        assert read_image(path, StoredValues()).equal(read_image(path))


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_mosaics_are_asked_for_and_demosaicked(tmp_path: Path, pattern: Bayer) -> None:
    photo = cv2.GaussianBlur(PHOTO, (0, 0), 1.5).astype(np.uint8)
    path = write(tmp_path / "raw.png", mosaic(photo, pattern))
    names = "rggb or bggr" if pattern in ("rggb", "bggr") else "grbg or gbrg"
    with pytest.raises(InputError, match=f"looks like a Bayer mosaic; give --bayer {names}"):
        read_image(path, StoredValues())
    image = read_image(path, StoredValues(bayer=pattern)).permute(1, 2, 0).numpy()
    inner = np.s_[4:-4, 4:-4]
    error = np.abs(image - photo.astype(np.float32) / 255)[inner]
    assert error.mean() < 0.01
    assert read_image(path, StoredValues(bayer="none")).equal(read_image(path))


@pytest.mark.parametrize("name", ["coffee", "astronaut", "brick", "grass", "text", "page"])
def test_grey_photos_are_no_mosaics(tmp_path: Path, name: str) -> None:
    photo = getattr(skimage.data, name)()
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if photo.ndim == 3 else photo
    noisy = grey + NOISE.normal(0, 5, grey.shape)
    path = write(tmp_path / "grey.png", noisy.clip(0, 255).astype(np.uint8))
    assert read_image(path, StoredValues()).equal(read_image(path))


def test_pairs_and_clips_are_read_as_stored(tmp_path: Path) -> None:
    values = np.full((4, 6, 3), 1001, np.uint16)
    paths = [write(tmp_path / f"{name}.png", values) for name in "ab"]
    write(tmp_path / "b.png", values // 9 * 8 + 1)
    with pytest.raises(InputError, match=r"a.png: no value above 1001"):
        read_pair(*paths, stored=StoredValues())
    with pytest.raises(InputError, match=r"a.png: no value above 1001"):
        open_frames_folder(tmp_path, StoredValues())
    pair = read_pair(*paths, stored=StoredValues(bits=10))
    frames = list(open_frames_folder(tmp_path, StoredValues(bits=10)).frames())
    assert pair.t2b.equal(frames[0]) and pair.b2t.equal(frames[1])
    assert float(frames[0].max()) == pytest.approx(1001 / 1023)


def test_arguments_are_parsed() -> None:
    assert parse_stored_values("12", "rggb") == StoredValues(12, "rggb")
    assert parse_stored_values(None, None) == StoredValues()
    with pytest.raises(InputError, match="--bits 11: expected 10, 12, 14, 16"):
        parse_stored_values("11", None)
    with pytest.raises(InputError, match="--bayer rgb: expected rggb, bggr, grbg, gbrg, none"):
        parse_stored_values(None, "rgb")
