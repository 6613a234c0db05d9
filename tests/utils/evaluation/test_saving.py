from pathlib import Path

import numpy as np
import pytest

from tests.helpers.capture_folders import random_pixels
from utils.errors import InputError
from utils.evaluation.saving import read_saved_frames, save_frames
from utils.options.parts.frame_names import FrameLayoutName

IMAGES = [random_pixels(name, (6, 8)) for name in "abc"]
TIMES = (0.0, 0.5, 1.0)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


@pytest.mark.parametrize(
    ("layout", "first"),
    [("ours", "seq/00000002/frame_000_t0.000.png"), ("released", "seq/00000002_gs_000.png")],
)
def test_frames_are_read_as_they_were_saved(
    tmp_path: Path, layout: FrameLayoutName, first: str
) -> None:
    save_frames(tmp_path, "seq/00000002", IMAGES, TIMES, layout=layout)
    assert len(files(tmp_path)) == 3 and files(tmp_path)[0] == first
    read = read_saved_frames(tmp_path, "seq/00000002", TIMES, layout=layout)
    np.testing.assert_array_equal(read, IMAGES)
    (tmp_path / first).unlink()
    with pytest.raises(InputError, match="no such image"):
        read_saved_frames(tmp_path, "seq/00000002", TIMES, layout=layout)


def test_frames_replace_those_of_the_same_capture_in_any_layout(tmp_path: Path) -> None:
    save_frames(tmp_path, "seq/00000001", IMAGES[:1], [0.0], layout="released")
    save_frames(tmp_path, "seq/00000002", IMAGES, TIMES, layout="released")
    (tmp_path / "seq/00000002_gs_note.txt").touch()
    save_frames(tmp_path, "seq/00000002", IMAGES[:2], TIMES[::2])
    others = ["seq/00000001_gs_000.png", "seq/00000002_gs_note.txt"]
    ours = [f"seq/00000002/frame_{name}.png" for name in ("000_t0.000", "001_t1.000")]
    assert files(tmp_path) == sorted([*others, *ours])
    save_frames(tmp_path, "seq/00000002", IMAGES[:1], [0.0], layout="released")
    assert files(tmp_path) == sorted([*others, "seq/00000002_gs_000.png"])
    assert not (tmp_path / "seq/00000002").exists()
