"""Videos and folders of frames as streams."""

from pathlib import Path

import numpy as np
import pytest

from data.frame_source import open_frames_folder, open_video
from tests.capture_folders import write_pixels
from utils.errors import InputError
from utils.image_io import read_image, write_image, write_video


def grey_frames(count: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(count)]


def test_a_video_streams_its_frames_in_order_and_in_colour(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    write_video(tmp_path / "clip.mp4", [*grey_frames(20), red], fps=240)
    source = open_video(tmp_path / "clip.mp4")
    assert (source.path, source.fps, source.count) == (tmp_path / "clip.mp4", 240, 21)
    frames = list(source.frames())
    assert len(frames) == 21
    assert all(frame.shape == (3, 48, 64) for frame in frames)
    for number, frame in enumerate(frames[:20]):
        assert float(frame.mean()) == pytest.approx(10 * number / 255, abs=0.02)
    # OpenCV decodes by BT.601 whatever the file says; ours is written by BT.709.
    assert frames[20].mean((1, 2)).tolist() == pytest.approx([200 / 255, 0, 0], abs=0.1)
    assert len(list(source.frames())) == 21


@pytest.mark.parametrize("content", [b"", b"no video\n" * 100])
def test_what_is_no_video_is_refused_in_one_line(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"clip.mp4: no frame can be decoded; expected a video"):
        open_video(tmp_path / "clip.mp4")
    assert capfd.readouterr().err == ""
    with pytest.raises(InputError, match=r"other.mp4: no such video"):
        open_video(tmp_path / "other.mp4")


def test_a_video_cut_short_announces_more_than_it_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 80, 3), dtype=np.uint8) for _ in range(12)]
    write_video(tmp_path / "whole.mp4", noise, fps=30)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    source = open_video(tmp_path / "cut.mp4")
    assert source.count == 12
    assert 0 < len(list(source.frames())) < 12


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        write_image(tmp_path / f"f{number}.png", np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no frame")
    source = open_frames_folder(tmp_path)
    assert (source.fps, source.count) == (None, 3)
    values = [float(frame.mean()) * 255 for frame in source.frames()]
    assert values == pytest.approx([9, 10, 100])
    first = next(source.frames())
    assert first.equal(read_image(tmp_path / "f9.png"))


def test_folders_without_usable_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: no such folder of frames"):
        open_frames_folder(tmp_path / "missing")
    with pytest.raises(InputError, match="no frames; expected images"):
        open_frames_folder(tmp_path)
    write_pixels(tmp_path / "0.png", (4, 6))
    write_pixels(tmp_path / "1.png", (4, 7))
    with pytest.raises(InputError, match=r"1.png: expected 4x6 pixels like 0.png, got 4x7"):
        list(open_frames_folder(tmp_path).frames())
