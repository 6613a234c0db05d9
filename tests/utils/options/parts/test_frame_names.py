import pytest

from utils.options.parts.frame_names import check_pattern, frame_path, frames_of_capture


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ours", "seq/00000012/frame_003_t0.375.png"),
        ("released", "seq/00000012_gs_003.png"),
        ("{sequence}-{pair:04d}/{frame1:02d}.tif", "seq-0012/04.tif"),
        ("{set}/{sequence}/{pair}_{time:.2f}.png", "gopro/seq/00000012_0.38.png"),
    ],
)
def test_patterns_name_the_frame_of_a_capture(pattern: str, expected: str) -> None:
    place = {"capture": "seq/00000012", "set_name": "gopro"}
    assert frame_path(check_pattern(pattern), frame=3, time=0.375, **place) == expected


def test_a_capture_of_no_sequence_stays_below_the_folder() -> None:
    assert frame_path("ours", capture="a_0", frame=0, time=0.0) == "a_0/frame_000_t0.000.png"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{sequnce}/{frame}.png", "expected placeholders among .*, got {sequnce}"),
        ("{}.png", r"got {}"),
        ("{frame:q}.png", "expected a pattern of {sequence}, .*Unknown format code 'q'"),
        ("{frame.png", "expected a pattern of"),
    ],
)
def test_patterns_that_cannot_be_read_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pattern(pattern)


def test_the_frames_of_a_capture_are_told_from_other_files() -> None:
    released = frames_of_capture("released", "a.b/00000001")
    assert released.fullmatch("a.b/00000001_gs_012.png")
    for other in ("a.b/00000002_gs_000.png", "aXb/00000001_gs_000.png", "a.b/00000001_gs_x.png"):
        assert not released.fullmatch(other)
    ours = frames_of_capture("ours", "a/00000001")
    assert ours.fullmatch("a/00000001/frame_000_t1.000.png")
    assert not ours.fullmatch("a/00000001/mine.png")
