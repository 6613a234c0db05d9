"""The archive of frames and the GIF of a clip."""

import zipfile
from pathlib import Path

import cv2
import imageio.v3 as iio
import pytest

from tests.helpers.clips import grey
from utils.app import downloads
from utils.app.downloads import pack_downloads


def write(path: Path, level: int, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), grey(level, size))


def test_frames_of_a_capture_become_an_archive(tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path / f"frame_{number:03d}_t{number}.000.png", 10 * number, (6, 8))
    write(tmp_path / "contact_sheet.png", 0, (6, 8))
    (tmp_path / "video.mp4").touch()
    made = pack_downloads(tmp_path, None)
    assert [path.name for path in made] == ["video.mp4", "frames.zip"]
    with zipfile.ZipFile(made[1]) as archive:
        assert archive.namelist() == ["frame_000_t0.000.png", "frame_001_t1.000.png"]
        first = tmp_path / "frame_000_t0.000.png"
        assert archive.read(first.name) == first.read_bytes()


def test_a_clip_gets_a_small_gif_of_its_first_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_GIF_FRAMES", 3)
    for number in range(5):
        write(tmp_path / f"frames/{number:06d}_000_t0.500.png", 40 * number, (300, 960))
    made = pack_downloads(tmp_path, 200.0)
    assert [path.name for path in made] == ["frames.zip", "video.gif"]
    pictures = iio.imread(made[1])
    assert pictures.shape[:3] == (3, 150, 480)
    assert pictures[:, 75, 240, 0] == pytest.approx([0, 40, 80], abs=3)
    with zipfile.ZipFile(made[0]) as archive:
        assert len(archive.namelist()) == 5
