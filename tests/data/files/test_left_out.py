"""Parts of still images that are not read are named."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from data.files.left_out import left_out
from data.video.sources import open_frames_folder
from tests.helpers.capture_folders import random_pixels


def picture() -> Image.Image:
    return Image.fromarray(random_pixels("left out", (12, 16)))


def said(path: Path) -> list[str]:
    return [line.removeprefix(f"{path}: ") for line in left_out(path)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
def test_plain_images_have_no_other_parts(tmp_path: Path, suffix: str) -> None:
    picture().save(tmp_path / f"a.{suffix}")
    assert said(tmp_path / f"a.{suffix}") == []


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_further_pages_and_frames(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    picture().save(file, save_all=True, append_images=[picture().rotate(90), picture()])
    assert said(file) == ["of 3 pages or frames only the first is used"]


def test_further_pages_of_deep_files(tmp_path: Path) -> None:
    deep = random_pixels("deep", (12, 16)).astype(np.uint16) * 257
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), [deep, deep])
    assert said(tmp_path / "a.tif") == ["of 2 pages or frames only the first is used"]


def test_transparency_is_named_unless_all_is_opaque(tmp_path: Path) -> None:
    image = picture().convert("RGBA")
    image.save(tmp_path / "opaque.png")
    image.putalpha(128)
    image.save(tmp_path / "half.png")
    picture().quantize(16).save(tmp_path / "palette.png", transparency=0)
    assert said(tmp_path / "opaque.png") == []
    for name in ("half", "palette"):
        assert said(tmp_path / f"{name}.png") == ["its transparency (alpha) is left out"]


def test_colour_profiles_but_srgb(tmp_path: Path) -> None:
    for kind, name in (("sRGB", "srgb"), ("LAB", "lab")):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()
        picture().save(tmp_path / f"{name}.jpg", icc_profile=profile)
    picture().save(tmp_path / "odd.jpg", icc_profile=b"none")
    assert said(tmp_path / "srgb.jpg") == []
    for name in ("lab", "odd"):
        [line] = said(tmp_path / f"{name}.jpg")
        assert line.startswith("its colour profile (") and "taken as sRGB" in line


def test_orientation_tags_are_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert said(tmp_path / "a.jpg") == [
        "its orientation tag is not applied: rows are taken as the sensor stored them"
    ]


def test_sequences_are_judged_by_their_first_image(tmp_path: Path) -> None:
    for number in range(2):
        picture().convert("LA").point(lambda value: value // 2).save(tmp_path / f"{number}.png")
    [line] = open_frames_folder(tmp_path).notes
    assert line == f"{tmp_path / '0.png'}: its transparency (alpha) is left out"
