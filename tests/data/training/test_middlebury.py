"""Frames and flow in Middlebury's layout."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.files.images import write_image
from data.training.middlebury import FlowFolder, read_flow
from utils.errors import InputError


def write_flow(path: Path, flow: np.ndarray) -> None:
    """Write (H, W, 2) as the format says: mark, columns, rows, then (dx, dy) row by row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = flow.shape
    header = np.float32(202021.25).tobytes() + np.array([width, height], "<i4").tobytes()
    path.write_bytes(header + flow.astype("<f4").tobytes())


def write_scene(root: Path, name: str, flow: np.ndarray, *, frames: str = "") -> None:
    write_flow(root / name / "flow10.flo", flow)
    folder = root / frames / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in (("10", 51), ("11", 102)):
        write_image(folder / f"frame{number}.png", np.full((2, 3, 3), level, np.uint8))


def test_flow_by_hand_with_unknown_pixels(tmp_path: Path) -> None:
    flow = np.zeros((2, 3, 2))
    flow[0, 1] = (1.5, -2.0)
    flow[1, 2] = (1e10, 1e10)
    flow[1, 0] = (np.nan, 0)
    write_flow(tmp_path / "a.flo", flow)
    read = read_flow(tmp_path / "a.flo")
    assert read.shape == (2, 2, 3)
    assert read[:, 0, 1].tolist() == [1.5, -2.0]
    known = read.isfinite().all(dim=0)
    assert known.tolist() == [[True, True, True], [False, True, False]]


@pytest.mark.parametrize("frames", ["", "other-data"])
def test_scenes_are_found_with_frames_beside_or_apart(tmp_path: Path, frames: str) -> None:
    for value, name in ((2.0, "b"), (1.0, "a")):
        write_scene(tmp_path, name, np.full((2, 3, 2), value), frames=frames)
    pairs = FlowFolder(tmp_path)
    assert len(pairs) == 2
    assert [float(pairs[index].flow.mean()) for index in range(2)] == [1, 2]
    assert float(pairs[0].first[0, 0, 0]) == pytest.approx(0.2)
    assert float(pairs[0].second[0, 0, 0]) == pytest.approx(0.4)
    assert not pairs[0].visible.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a .flo file, got something else"),
        (b"PIEX" + bytes(20), "expected a .flo file, got something else"),
        (
            np.float32(202021.25).tobytes() + np.array([3, 2], "<i4").tobytes() + bytes(40),
            "damaged or truncated: expected 60 bytes for 3x2 pixels, got 52",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_flow(tmp_path / "a.flo")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a.flo: cannot be read: No such file"):
        read_flow(tmp_path / "a.flo")


def test_folders_that_lack_something(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of frames and flow, got no folder"):
        FlowFolder(tmp_path / "none")
    with pytest.raises(InputError, match="no flow10.flo found in it or its subfolders"):
        FlowFolder(tmp_path)
    write_scene(tmp_path, "a", np.zeros((2, 3, 2)))
    (tmp_path / "a" / "frame11.png").unlink()
    with pytest.raises(InputError, match="expected frame11.png in a folder 'a', got none"):
        FlowFolder(tmp_path)


def test_frames_and_flow_of_other_sizes(tmp_path: Path) -> None:
    write_scene(tmp_path, "a", np.zeros((3, 3, 2)))
    with pytest.raises(InputError, match="expected flow and frames of one size"):
        FlowFolder(tmp_path)[0]


def test_a_read_flow_is_writable(tmp_path: Path) -> None:
    write_flow(tmp_path / "a.flo", np.zeros((2, 3, 2)))
    assert torch.equal(read_flow(tmp_path / "a.flo").add_(1), torch.ones(2, 2, 3))
