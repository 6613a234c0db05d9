"""Clips to folders of captures."""

from pathlib import Path

import pytest
import torch

from data.extract_captures import extract_captures, main, named_clip, parse_arguments
from data.real_pairs import RealPairs
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels
from tests.helpers.clips import write_clip_video
from utils.errors import InputError


@pytest.fixture
def views(tmp_path: Path) -> list[str]:
    """Arguments that name two folders of five images each."""
    for number in range(5):
        write_pixels(tmp_path / "left" / f"{number}.png", (6, 8))
        write_pixels(tmp_path / "right" / f"{number}.png", (6, 8))
    return ["--t2b", str(tmp_path / "left"), "--b2t", str(tmp_path / "right")]


def test_every_second_pair_becomes_a_capture(tmp_path: Path, views: list[str]) -> None:
    arguments = parse_arguments([str(tmp_path / "captures"), *views, "--step", "2"])
    assert extract_captures(named_clip(arguments), arguments.output, step=arguments.step) == 3
    captures = RealPairs(tmp_path / "captures")
    assert captures.names == ["000000", "000002", "000004"]
    expected = as_image(random_pixels("2.png", (6, 8)))
    assert torch.equal(captures[1].t2b, expected)
    assert torch.equal(captures[1].b2t, expected)


def test_notes_and_count_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = (write_clip_video(tmp_path / f"{n}.mp4", n) for n in (4, 3))
    words = [str(tmp_path / "captures"), "--t2b", str(left), "--b2t", str(right)]
    monkeypatch.setattr("sys.argv", ["extract_captures", *words])
    main()
    said = capsys.readouterr()
    assert said.out == f"1 captures written to {tmp_path / 'captures'}\n"
    assert f"{left} has 4 frames, {right} has 3; using the 3 pairs that they share\n" in said.err


def test_both_views_in_one_picture(tmp_path: Path) -> None:
    write_pixels(tmp_path / "both" / "0.png", (6, 16))
    words = [str(tmp_path / "captures"), "--input", str(tmp_path / "both"), "--layout", "lr"]
    arguments = parse_arguments(words)
    assert extract_captures(named_clip(arguments), arguments.output) == 1
    picture = as_image(random_pixels("0.png", (6, 16)))
    assert torch.equal(RealPairs(tmp_path / "captures")[0].pair, torch.stack(picture.chunk(2, 2)))


def test_column_readout_is_transposed(tmp_path: Path, views: list[str]) -> None:
    arguments = parse_arguments([str(tmp_path / "captures"), *views, "--directions", "l2r,r2l"])
    assert extract_captures(named_clip(arguments), arguments.output) == 5
    expected = as_image(random_pixels("0.png", (6, 8)))
    assert torch.equal(RealPairs(tmp_path / "captures")[0].t2b, expected.transpose(1, 2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a clip, --t2b CLIP --b2t CLIP or .* got nothing"),
        (["--t2b", "x.png", "--b2t", "y.png"], "expected a clip, .* got the image x.png"),
        (["--t2b", "x"], "--t2b without --b2t"),
        (["--input", "x", "--layout", "lr", "--offset", "1"], "--offset: only for --t2b"),
        (["--t2b", "x", "--b2t", "y", "--step", "0"], "--step 0: expected at least 1"),
    ],
)
def test_invalid_arguments_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        named_clip(parse_arguments(["out", *words]))


def test_an_unreadable_image_leaves_nothing(tmp_path: Path, views: list[str]) -> None:
    (tmp_path / "right" / "3.png").write_bytes(b"no image")
    arguments = parse_arguments([str(tmp_path / "captures"), *views])
    with pytest.raises(InputError, match=r"3\.png"):
        extract_captures(named_clip(arguments), arguments.output)
    assert not [path for path in tmp_path.iterdir() if "captures" in path.name]
