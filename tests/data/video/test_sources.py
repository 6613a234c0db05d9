"""Videos and images as streams of frames."""

from pathlib import Path

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
