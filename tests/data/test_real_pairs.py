import cv2
import numpy as np
import pytest
import torch

from data.real_pairs import RealPairs, natural_key, read_pair
from data.time_maps import scan_time
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels
from utils.errors import InputError

SIZE = (6, 8)


def write_captures(root, *names, suffix=".png", size=SIZE):
    for name in names:
        for direction in ("t2b", "b2t"):
            write_pixels(root / f"{name}_{direction}{suffix}", size)


def test_released_layout(tmp_path):
    write_captures(tmp_path, "r0/0", "s0/0")
    captures = RealPairs(tmp_path)
    assert len(captures) == 2
    assert captures.names == ["r0/0", "s0/0"]
    capture = captures[1]
    assert capture.name == "s0/0"
    assert torch.equal(capture.t2b, as_image(random_pixels("0_t2b.png", SIZE)))
    assert torch.equal(capture.b2t, as_image(random_pixels("0_b2t.png", SIZE)))
    assert torch.equal(capture.scan_time, scan_time(6))
    assert capture.truth is None


def test_any_names_in_one_folder(tmp_path):
    write_captures(tmp_path, "street_2", "street_10", "night")
    write_captures(tmp_path, "park", suffix=".JPG")
    (tmp_path / "notes_t2b.txt").write_text("no image")
    write_pixels(tmp_path / "other.png", SIZE)
    assert RealPairs(tmp_path).names == ["night", "park", "street_2", "street_10"]


def test_captures_may_differ_in_size(tmp_path):
    write_captures(tmp_path, "small", size=(2, 1))
    write_captures(tmp_path, "wide", size=(5, 31))
    sizes = [(capture.height, capture.width) for capture in RealPairs(tmp_path)]
    assert sizes == [(2, 1), (5, 31)]


def test_formats_may_differ_within_a_pair(tmp_path):
    deep = np.full(SIZE, 32768, np.uint16)
    assert cv2.imwrite(str(tmp_path / "0_t2b.png"), deep)
    assert cv2.imwrite(str(tmp_path / "0_b2t.tif"), np.full((*SIZE, 3), 51, np.uint8))
    capture = RealPairs(tmp_path)[0]
    assert capture.t2b.unique().tolist() == pytest.approx([32768 / 65535])
    assert capture.b2t.unique().tolist() == pytest.approx([0.2])


def test_loading_as_training_does(tmp_path):
    write_captures(tmp_path, "0")
    captures = RealPairs(tmp_path)
    assert captures.frame_count(0) == 0
    assert torch.equal(captures.load(0, ()).pair, captures[0].pair)
    with pytest.raises(ValueError, match="0: real captures have no true frames"):
        captures.load(0, (0, 1))


def test_iteration_ends(tmp_path):
    write_captures(tmp_path, "0", "1")
    assert [capture.name for capture in RealPairs(tmp_path)] == ["0", "1"]


def test_linked_folders_count_and_hidden_ones_do_not(tmp_path):
    write_captures(tmp_path / "disk", "0")
    write_captures(tmp_path / "root" / ".making-caps.7", "000000")
    (tmp_path / "root" / "scene").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "up").symlink_to(tmp_path / "root")
    assert RealPairs(tmp_path / "root").names == ["scene/0"]


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder of captures"):
        RealPairs(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="no captures; expected pairs of NAME_t2b.png"):
        RealPairs(tmp_path)


@pytest.mark.parametrize(("lost", "kept"), [("b2t", "t2b"), ("t2b", "b2t")])
def test_missing_partner(tmp_path, lost, kept):
    write_captures(tmp_path, "r0/0", "r0/1")
    (tmp_path / "r0" / f"1_{lost}.png").unlink()
    expected = f"r0/1_{kept}.png: expected its partner 1_{lost}.png beside it"
    with pytest.raises(InputError, match=expected):
        RealPairs(tmp_path)


def test_same_image_twice(tmp_path):
    write_captures(tmp_path, "0")
    write_pixels(tmp_path / "0_t2b.jpg", SIZE)
    with pytest.raises(InputError, match="0_t2b.png: same image as 0_t2b.jpg; remove one"):
        RealPairs(tmp_path)


def test_different_sizes(tmp_path):
    write_captures(tmp_path, "0")
    write_pixels(tmp_path / "0_b2t.png", (6, 9))
    with pytest.raises(InputError, match="0_b2t.png: expected 8x6 pixels like .*, got 9x6"):
        RealPairs(tmp_path)[0]


def test_single_row(tmp_path):
    write_captures(tmp_path, "0", size=(1, 8))
    with pytest.raises(InputError, match="0_t2b.png: a rolling shutter needs at least 2 rows"):
        RealPairs(tmp_path)[0]


def test_damaged_image(tmp_path):
    write_captures(tmp_path, "0")
    path = tmp_path / "0_b2t.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="0_b2t.png: damaged"):
        RealPairs(tmp_path)[0]


def test_pair_from_two_paths(tmp_path):
    write_pixels(tmp_path / "left_t2b.png", SIZE)
    write_pixels(tmp_path / "right.png", SIZE)
    capture = read_pair(tmp_path / "left_t2b.png", tmp_path / "right.png")
    assert capture.name == "left"
    assert torch.equal(capture.b2t, as_image(random_pixels("right.png", SIZE)))
    with pytest.raises(InputError, match="gone.png: no such image"):
        read_pair(tmp_path / "left_t2b.png", tmp_path / "gone.png")


def test_numbers_sort_by_value():
    names = ["a10", "a9", "b", "10", "9/10", "9/2", "a"]
    assert sorted(names, key=natural_key) == ["9/2", "9/10", "10", "a", "a9", "a10", "b"]


def test_captures_of_a_format_that_is_not_read_are_not_left_out(tmp_path):
    write_captures(tmp_path, "0")
    for name in ("0_t2b.dng", "._1_t2b.heic", "notes.heic"):  # beside its image, hidden, no view
        (tmp_path / name).write_bytes(b"any")
    assert RealPairs(tmp_path).names == ["0"]
    (tmp_path / "1_b2t.HEIC").write_bytes(b"any")
    with pytest.raises(InputError, match=r"1_b2t\.HEIC: stills of this format are not read; conv"):
        RealPairs(tmp_path)
