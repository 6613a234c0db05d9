import shutil

import pytest
import torch

from data import rs_gopro
from data.rs_gopro import RSGOPRO
from data.time_maps import scan_time
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels, write_rs_gopro
from utils.errors import InputError

SIZE = (6, 8)


def gs_image(name):
    return as_image(random_pixels(name, SIZE))


def test_a_capture_with_truth(tmp_path):
    write_rs_gopro(tmp_path, sequences=("GOPR01",), pairs=2, frames=5)
    captures = RSGOPRO(tmp_path, "train")
    assert len(captures) == 2
    capture = captures[1]
    assert capture.name == "GOPR01/00000001"
    assert torch.equal(capture.t2b, gs_image("00000001_rs_t2b.png"))
    assert torch.equal(capture.b2t, gs_image("00000001_rs_b2t.png"))
    assert torch.equal(capture.scan_time, scan_time(6))
    assert capture.truth_times.tolist() == [0, 0.25, 0.5, 0.75, 1]
    for number, frame in enumerate(capture.truth):
        assert torch.equal(frame, gs_image(f"00000001_gs_{number:03d}.png"))


def test_order_by_sequence_and_index(tmp_path):
    write_rs_gopro(tmp_path, sequences=("seq10", "seq2"), pairs=2, frames=0)
    pairs = RSGOPRO(tmp_path, "train").pairs
    found = [(pair.sequence, pair.index, pair.name) for pair in pairs]
    assert found == [
        ("seq2", 0, "seq2/00000000"),
        ("seq2", 1, "seq2/00000001"),
        ("seq10", 0, "seq10/00000000"),
        ("seq10", 1, "seq10/00000001"),
    ]


def test_only_some_sequences(tmp_path):
    write_rs_gopro(tmp_path, sequences=("a", "b", "c"))
    captures = RSGOPRO(tmp_path, "train", sequences=["c", "a"])
    assert [pair.sequence for pair in captures.pairs] == ["a", "c"]
    with pytest.raises(InputError, match="train: no sequence d, e"):
        RSGOPRO(tmp_path, "train", sequences=["a", "e", "d"])
    with pytest.raises(InputError, match="train: no sequences"):
        RSGOPRO(tmp_path, "train", sequences=[])


@pytest.mark.parametrize("frames", [2, 3, 9])
def test_any_number_of_true_frames(tmp_path, frames):
    write_rs_gopro(tmp_path, split="valid", frames=frames)
    captures = RSGOPRO(tmp_path, "valid")
    assert captures.frame_count(0) == frames
    torch.testing.assert_close(captures[0].truth_times, torch.linspace(0, 1, frames))


def test_a_split_without_truth(tmp_path):
    write_rs_gopro(tmp_path, split="test", frames=0)
    captures = RSGOPRO(tmp_path, "test")
    assert captures.frame_count(0) == 0
    assert captures[0].truth is None
    assert captures[0].truth_times is None


def test_truth_that_is_not_wanted_is_not_looked_at(tmp_path):
    split = write_rs_gopro(tmp_path, frames=1)
    (split / "seq" / "GS" / "00000000_gs_000.png").write_bytes(b"damaged")
    captures = RSGOPRO(tmp_path, "train", with_truth=False)
    assert captures.frame_count(0) == 0
    assert captures[0].truth is None


def test_only_the_frames_asked_for_are_read(tmp_path, monkeypatch):
    write_rs_gopro(tmp_path, frames=9)
    captures = RSGOPRO(tmp_path, "train")
    read = []
    original = rs_gopro.read_image_like
    monkeypatch.setattr(
        rs_gopro,
        "read_image_like",
        lambda image, of, path: read.append(path.name) or original(image, of, path),
    )
    assert captures.load(0).truth is None
    assert read == []
    capture = captures.load(0, (0, 3, 8))
    assert read == [f"00000000_gs_00{frame}.png" for frame in (0, 3, 8)]
    assert capture.truth_times.tolist() == [0, 0.375, 1]
    assert torch.equal(capture.truth[1], gs_image("00000000_gs_003.png"))


def test_any_frame_size(tmp_path):
    write_rs_gopro(tmp_path, size=(3, 17))
    assert RSGOPRO(tmp_path, "train")[0].truth.shape == (3, 3, 3, 17)


def test_other_files_are_ignored(tmp_path):
    split = write_rs_gopro(tmp_path)
    (split / ".cache").mkdir()
    (split / "list.txt").write_text("seq")
    (split / "seq" / "RS" / "00000000_rs_flow.npy").write_bytes(b"")
    assert len(RSGOPRO(tmp_path, "train")) == 1


def test_missing_folders(tmp_path):
    with pytest.raises(InputError, match="nowhere/train: no such folder; expected ROOT/train"):
        RSGOPRO(tmp_path / "nowhere", "train")
    write_rs_gopro(tmp_path, split="train")
    with pytest.raises(InputError, match="test: no such folder"):
        RSGOPRO(tmp_path, "test")


def test_empty_folders(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="train: no sequences; expected folders with RS/"):
        RSGOPRO(tmp_path, "train")
    (tmp_path / "train" / "seq" / "RS").mkdir(parents=True)
    with pytest.raises(InputError, match="seq/RS: no captures; expected 00000000_rs_t2b.png"):
        RSGOPRO(tmp_path, "train")
    shutil.rmtree(tmp_path / "train" / "seq" / "RS")
    with pytest.raises(InputError, match="seq/RS: no captures"):
        RSGOPRO(tmp_path, "train")


@pytest.mark.parametrize(("lost", "kept"), [("b2t", "t2b"), ("t2b", "b2t")])
def test_missing_partner(tmp_path, lost, kept):
    split = write_rs_gopro(tmp_path, pairs=2)
    (split / "seq" / "RS" / f"00000001_rs_{lost}.png").unlink()
    expected = f"00000001_rs_{kept}.png: expected its partner 00000001_rs_{lost}.png"
    with pytest.raises(InputError, match=expected):
        RSGOPRO(tmp_path, "train")


def test_different_sizes_in_a_pair(tmp_path):
    split = write_rs_gopro(tmp_path)
    write_pixels(split / "seq" / "RS" / "00000000_rs_b2t.png", (6, 7))
    with pytest.raises(InputError, match="rs_b2t.png: expected 8x6 pixels like .*, got 7x6"):
        RSGOPRO(tmp_path, "train")[0]


def test_true_frame_of_another_size(tmp_path):
    split = write_rs_gopro(tmp_path)
    write_pixels(split / "seq" / "GS" / "00000000_gs_001.png", (12, 16))
    with pytest.raises(InputError, match="gs_001.png: expected 8x6 pixels .*, got 16x12"):
        RSGOPRO(tmp_path, "train")[0]


@pytest.mark.parametrize("name", ["RS/00000000_rs_t2b.png", "GS/00000000_gs_002.png"])
def test_damaged_images(tmp_path, name):
    path = write_rs_gopro(tmp_path) / "seq" / name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=f"{path.name}: damaged"):
        RSGOPRO(tmp_path, "train")[0]


def test_a_single_true_frame(tmp_path):
    write_rs_gopro(tmp_path, frames=1)
    with pytest.raises(InputError, match="seq/00000000: expected at least 2 true frames"):
        RSGOPRO(tmp_path, "train")


def test_different_numbers_of_true_frames(tmp_path):
    split = write_rs_gopro(tmp_path, pairs=2, frames=5)
    (split / "seq" / "GS" / "00000001_gs_004.png").unlink()
    expected = "seq/00000001: expected 5 true frames like seq/00000000, got 4"
    with pytest.raises(InputError, match=expected):
        RSGOPRO(tmp_path, "train")


def test_a_gap_between_true_frames(tmp_path):
    split = write_rs_gopro(tmp_path, frames=5)
    (split / "seq" / "GS" / "00000000_gs_002.png").unlink()
    with pytest.raises(InputError, match="true frame 00000000_gs_002.png is missing"):
        RSGOPRO(tmp_path, "train")
