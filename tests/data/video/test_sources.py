"""Videos and images as streams of frames."""

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.files.images import read_image, write_image
from data.files.videos import write_video
from data.video.sources import (
    is_image,
    open_frames_folder,
    open_pattern,
    open_source,
    open_video,
)
from tests.helpers.capture_folders import write_pixels
from tests.helpers.clips import add_sound, grey, write_clip_video
from utils.errors import InputError


def test_a_video_streams_its_frames_again_and_again(tmp_path: Path) -> None:
    frames = [grey(10 * number, (48, 64)) for number in range(21)]
    write_video(tmp_path / "clip.mp4", frames, fps=240)
    source = open_video(tmp_path / "clip.mp4")
    assert (source.path, source.name) == (tmp_path / "clip.mp4", "clip")
    assert (source.fps, source.count, source.size) == (240, 21, (48, 64))
    assert source.files == (tmp_path / "clip.mp4",) and source.audio is None
    for start in (0, 15):
        levels = [float(frame.mean()) * 255 for frame in source.frames(start)]
        assert levels == pytest.approx(list(range(10 * start, 210, 10)), abs=2)


def test_audio_of_a_video_is_found(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 3)
    audio = open_video(add_sound(video, tmp_path / "loud.mp4", begin=0)).audio
    assert audio == (tmp_path / "loud.mp4", "aac", 0)


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        write_image(tmp_path / f"f{number}.png", np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no frame")
    source = open_frames_folder(tmp_path)
    assert (source.fps, source.count, source.size) == (None, 3, (4, 6))
    assert source.keys == ("f9", "f10", "f100") and source.name == tmp_path.name
    values = [float(frame.mean()) * 255 for frame in source.frames()]
    assert values == pytest.approx([9, 10, 100])
    assert next(source.frames(1)).equal(read_image(tmp_path / "f10.png"))


def test_keys_of_a_pattern_are_the_text_that_its_wildcards_match(tmp_path: Path) -> None:
    for name in ("a/cam0_10_L.png", "a/cam0_9_L.png", "a/cam0_9_R.png", "b/cam1_3_L.png", "a/x_L"):
        write_pixels(tmp_path / f"{name.removesuffix('.png')}.png", (4, 6))
    left = open_pattern(f"{tmp_path}/a/cam?_*_L.png")
    assert left.keys == ("0/9", "0/10")
    assert [file.name for file in left.files] == ["cam0_9_L.png", "cam0_10_L.png"]
    assert (left.name, left.path) == ("a", tmp_path / "a/cam?_*_L.png")
    assert open_pattern(f"{tmp_path}//*/cam[!0]_*.png").keys == ("b/1/3_L",)
    with pytest.raises(InputError, match=r"\*.jpg: matches no image; expected a pattern such as"):
        open_pattern(f"{tmp_path}/*.jpg")


def test_paths_are_opened_by_their_kind(tmp_path: Path) -> None:
    write_pixels(tmp_path / "take[1]" / "0.png", (4, 6))
    assert open_source(f"{tmp_path}/take[1]").count == 1
    assert open_source(f"{tmp_path}/*/0.png").keys == ("take[1]",)
    with pytest.raises(InputError, match=r"left.mp4: no such video"):
        open_source(f"{tmp_path}/left.mp4")
    assert is_image("a/0.PNG") and is_image(f"{tmp_path}/take[1]/0.png")
    for name in ("a/*.png", "left.mp4", f"{tmp_path}/take[1]"):
        assert not is_image(name)


def test_images_without_usable_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: no such folder of frames"):
        open_frames_folder(tmp_path / "missing")
    with pytest.raises(InputError, match="no frames; expected images"):
        open_frames_folder(tmp_path)
    write_pixels(tmp_path / "0.png", (4, 6))
    write_pixels(tmp_path / "1.png", (4, 7))
    with pytest.raises(InputError, match=r"1.png: expected 6x4 pixels like 0.png, got 7x4"):
        list(open_frames_folder(tmp_path).frames())
    write_pixels(tmp_path / "1.jpg", (4, 6))
    with pytest.raises(InputError, match=r"1\.\w+ and 1\.\w+ are both frame 1"):
        open_frames_folder(tmp_path)


def test_stills_of_other_formats_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(b"any")
    with pytest.raises(InputError, match=r"a\.avif: stills of this format are not read; convert"):
        open_video(tmp_path / "a.avif")


def test_small_pictures_end_before_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    for number in range(4):
        write_pixels(tmp_path / f"{number}.png", (12, 16))
    (tmp_path / "2.png").write_bytes(b"damaged")
    assert open_frames_folder(tmp_path).thumbnails().shape == (2, 48, 64)


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "0.dng", "0.xmp", "preview.gif", "n.txt"],
)
def test_what_systems_and_programs_leave_beside_frames_is_no_frame(
    tmp_path: Path, name: str
) -> None:
    for number in range(2):
        write_pixels(tmp_path / f"{number}.png", (4, 6))
    (tmp_path / name).write_bytes(b"any")
    (tmp_path / "3.png").mkdir()
    assert [file.name for file in open_frames_folder(tmp_path).files] == ["0.png", "1.png"]


@pytest.mark.parametrize("name", ["2.heic", "002.DNG", "2.avif", "2.gif", "2.raw", "2.tga"])
def test_frames_of_a_format_that_is_not_read_are_not_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"any")
    said = rf"1 of its files, such as {name}, are of a format that is not read as a frame; convert"
    with pytest.raises(InputError, match=said):
        open_frames_folder(tmp_path)
    write_pixels(tmp_path / "1.png", (4, 6))
    with pytest.raises(InputError, match=said):
        open_frames_folder(tmp_path)


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    for number in range(2):
        write_pixels(tmp_path / f"{number}.png", (4, 6))
    (tmp_path / "2.png").symlink_to("nowhere.png")
    with pytest.raises(InputError, match=r"2\.png: a link to a file that does not exist; remove"):
        open_frames_folder(tmp_path)
    (tmp_path / "2.png").unlink()
    (tmp_path / "2.png").symlink_to("0.png")
    assert open_frames_folder(tmp_path).count == 3


def test_names_are_the_same_in_both_unicode_forms(tmp_path: Path) -> None:
    for folder, form in (("l", "NFC"), ("r", "NFD")):
        write_pixels(tmp_path / folder / f"{unicodedata.normalize(form, 'é1')}.png", (4, 6))
    left, right = (open_frames_folder(tmp_path / folder) for folder in ("l", "r"))
    assert left.keys == right.keys == ("\u00e91",) and left.files[0].name != right.files[0].name
    assert open_pattern(f"{tmp_path}/r/*.png").keys == left.keys


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG", "Tif"])
def test_other_suffixes_of_the_same_formats_are_read(tmp_path: Path, suffix: str) -> None:
    kind = ".jpg" if suffix[0] in "jJ" else ".tif"
    encoded = cv2.imencode(kind, np.full((8, 8, 3), 200, np.uint8))[1]
    (tmp_path / f"0.{suffix}").write_bytes(encoded.tobytes())
    [frame] = open_frames_folder(tmp_path).frames()
    assert abs(frame * 255 - 200).max() < 2 and is_image(f"{tmp_path}/0.{suffix}")
