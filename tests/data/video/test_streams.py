"""Recordings of two sensors as streams of pairs."""

import pickle
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from data.camera_timing import CameraTiming
from data.files.images import write_image
from data.files.videos import write_video
from data.real_pairs import read_pair
from data.video.pairing import Change, UnsurePairs, describe_unsure
from data.video.sources import FrameSource, open_frames_folder, open_video
from data.video.streams import apply_timing, pair_views, read_split, split_views
from tests.helpers.capture_folders import as_image, random_pixels, write_pixels
from tests.helpers.clips import Pixels, add_sound, moving_clip, write_clip_video
from utils.errors import InputError

PLAIN = CameraTiming()


def folder(path: Path, count: int, size: tuple[int, int] = (6, 8)) -> FrameSource:
    """Images N.png, each the noise of "FOLDER/N"."""
    path.mkdir()
    for number in range(count):
        write_image(path / f"{number}.png", random_pixels(f"{path.name}/{number}", size))
    return open_frames_folder(path)


def image(name: str, size: tuple[int, int] = (6, 8)) -> torch.Tensor:
    return as_image(random_pixels(name, size))


def test_images_are_paired_by_their_names(tmp_path: Path) -> None:
    stream = pair_views(folder(tmp_path / "l", 3), folder(tmp_path / "r", 3), PLAIN)
    assert (stream.name, stream.count, stream.fps, stream.notes) == ("l", 3, None, ())
    pairs = list(stream.pairs())
    assert [pair.name for pair in pairs] == ["l/000000", "l/000001", "l/000002"]
    for number, pair in enumerate(pairs):
        assert pair.t2b.equal(image(f"l/{number}")) and pair.b2t.equal(image(f"r/{number}"))
        assert pair.scan_time.equal(PLAIN.scan_time(6))
    [last] = stream.pairs(2)
    assert last.name == "l/000002" and last.t2b.equal(image("l/2"))


@pytest.mark.parametrize(("offset", "first", "second"), [(2, 0, 2), (-1, 1, 0)])
def test_an_offset_shifts_one_recording(
    tmp_path: Path, offset: int, first: int, second: int
) -> None:
    views = folder(tmp_path / "l", 4), folder(tmp_path / "r", 4)
    stream = pair_views(*views, PLAIN, offset=offset)
    pairs = list(stream.pairs())
    assert len(pairs) == stream.count == 4 - abs(offset)
    assert pairs[0].t2b.equal(image(f"l/{first}")) and pairs[0].b2t.equal(image(f"r/{second}"))
    assert stream.arrangement == f"offset {offset}"


def test_videos_of_different_length_share_their_common_pairs(tmp_path: Path) -> None:
    left, right = (
        open_video(write_clip_video(tmp_path / f"{name}.mp4", count))
        for name, count in (("left_t2b", 5), ("right", 3))
    )
    stream = pair_views(left, right, PLAIN)
    assert (stream.name, stream.count, stream.fps) == ("left", 3, 30)
    assert stream.notes == (
        f"{left.path} has 5 frames, {right.path} has 3; using the 3 pairs that they share",
    )
    assert len(list(stream.pairs())) == 3
    assert pair_views(left, right, PLAIN, offset=-2).notes == ()
    with pytest.raises(
        InputError, match="--offset 3: beyond the end of .* 5 frames, .*right.mp4 has 3"
    ):
        pair_views(left, right, PLAIN, offset=3)
    with pytest.raises(InputError, match="--offset -5: beyond the end"):
        pair_views(left, right, PLAIN, offset=-5)


def test_sound_begins_with_the_first_pair(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "left.mp4", 6, fps=30)
    left = open_video(add_sound(video, tmp_path / "loud.mp4", begin=0))
    audio = pair_views(left, open_video(video), PLAIN, offset=-3).audio
    assert audio is not None and audio.begin == pytest.approx(0.1)
    assert pair_views(open_video(video), left, PLAIN).audio is None


def test_recordings_that_do_not_match_are_refused(tmp_path: Path) -> None:
    left, other = folder(tmp_path / "l", 7), folder(tmp_path / "other", 7, (6, 9))
    with pytest.raises(InputError, match="other: expected 8x6 pixels like .*l, got 9x6"):
        pair_views(left, other, PLAIN)
    few = folder(tmp_path / "few", 2)
    with pytest.raises(InputError) as error:
        pair_views(left, few, PLAIN)
    assert str(error.value) == (
        f"{left.path}: 5 of 7 images have no partner of the same name in {few.path}: 2, 3, 4, ..."
    )
    with pytest.raises(InputError, match="5 of 7 images have no partner"):
        pair_views(few, left, PLAIN)
    videos = [open_video(write_clip_video(tmp_path / f"{n}.mp4", 3, fps=n)) for n in (30, 25)]
    with pytest.raises(InputError, match="expected 30 frames per second like .*, got 25; views"):
        pair_views(*videos, PLAIN)
    images = folder(tmp_path / "big", 3, (16, 24))
    with pytest.raises(InputError, match="expected two videos or two image sequences, got"):
        pair_views(videos[0], images, PLAIN)


def test_one_picture_holds_both_views(tmp_path: Path) -> None:
    source = folder(tmp_path / "both", 2)
    whole = image("both/1")
    [_, pair] = split_views(source, "lr", PLAIN).pairs()
    assert pair.t2b.equal(whole[..., :4]) and pair.b2t.equal(whole[..., 4:])
    [_, pair] = split_views(source, "tb", PLAIN).pairs()
    assert pair.t2b.equal(whole[:, :3]) and pair.b2t.equal(whole[:, 3:])
    capture = read_split(tmp_path / "both" / "1.png", "lr")
    assert capture.name == "1" and capture.t2b.equal(whole[..., :4])
    odd = folder(tmp_path / "odd", 1, (5, 7))
    with pytest.raises(InputError, match="odd: expected an even number of columns for --layout lr"):
        split_views(odd, "lr", PLAIN)
    with pytest.raises(InputError, match="an even number of rows for --layout tb, got 5"):
        split_views(odd, "tb", PLAIN)


def test_pairs_are_oriented_and_timed(tmp_path: Path) -> None:
    timing = CameraTiming(0.5, 0.2, directions=("r2l", "l2r"))
    stream = pair_views(folder(tmp_path / "l", 1), folder(tmp_path / "r", 1), timing)
    [pair] = stream.pairs()
    assert pair.t2b.equal(image("r/0").mT) and pair.b2t.equal(image("l/0").mT)
    assert pair.scan_time.equal(timing.scan_time(8))
    for name in "lr":
        write_pixels(tmp_path / f"{name}.png", (6, 8))
    capture = apply_timing(read_pair(tmp_path / "l.png", tmp_path / "r.png"), timing)
    assert capture.t2b.equal(image("r.png").mT) and capture.name == "l"
    assert capture.scan_time.equal(timing.scan_time(8))


def test_rotated_videos_give_a_warning(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "left.mp4", 1)
    turned = replace(open_video(video), is_rotated=True)
    [note] = split_views(turned, "lr", PLAIN).notes
    assert note.startswith(f"warning: {video}: stored rotated by 90 degrees")
    assert not split_views(turned, "lr", CameraTiming(directions=("l2r", "r2l"))).notes


def lose(clip: list[tuple[Pixels, Pixels]], view: int, gap: int) -> list[Pixels]:
    """One view of a clip without a frame."""
    return [pair[view] for number, pair in enumerate(clip) if number != gap]


def test_a_missing_frame_is_named_and_undone_on_request(tmp_path: Path) -> None:
    clip = moving_clip(20)
    write_video(tmp_path / "l.mp4", lose(clip, 0, -1), 30)
    write_video(tmp_path / "r.mp4", lose(clip, 1, 11), 30)
    left, right = open_video(tmp_path / "l.mp4"), open_video(tmp_path / "r.mp4")
    stream = pair_views(left, right, PLAIN)
    assert stream.notes[1] == (
        f"warning: {right.path}: a frame is missing before frame 11 (0.37 s); all later pairs are "
        "wrong; give --offset 0,12:-1"
    )
    for changes in (None, (Change(12, -1),)):
        stream = pair_views(left, right, PLAIN, changes=changes)
        assert stream.count == 19 and stream.arrangement == "offset 0,12:-1"
        pairs = list(stream.pairs(10))
        shown = [number for number in range(20) if number != 11][10:]
        for pair, number in zip(pairs, shown, strict=True):
            t2b, b2t = map(as_image, clip[number])
            assert float((pair.t2b - t2b).abs().mean()) < 0.02
            assert float((pair.b2t - b2t).abs().mean()) < 0.02


def test_a_missing_image_is_named_and_undone_on_request(tmp_path: Path) -> None:
    clip = moving_clip(20)
    for side in "lr":
        (tmp_path / side).mkdir()
    for view, gap in enumerate((-1, 11)):
        for number, pixels in enumerate(lose(clip, view, gap)[:19]):
            write_image(tmp_path / "lr"[view] / f"{number}.png", pixels)
    left, right = (open_frames_folder(tmp_path / side) for side in "lr")
    assert pair_views(left, right, PLAIN).notes == (
        f"warning: {right.path}: a frame is missing before frame 11 (11.png); all later pairs are "
        "wrong; give --offset 0,12:-1",
    )
    assert pair_views(left, right, PLAIN, changes=None).arrangement == "offset 0,12:-1"


def test_the_small_pictures_of_images_and_of_their_video_agree(tmp_path: Path) -> None:
    shown = lose(moving_clip(3), 0, -1)
    write_video(tmp_path / "l.mp4", shown, 30)
    (tmp_path / "l").mkdir()
    for number, pixels in enumerate(shown):
        write_image(tmp_path / "l" / f"{number}.png", pixels)
    images, video = open_frames_folder(tmp_path / "l"), open_video(tmp_path / "l.mp4")
    assert images.thumbnails().shape == (3, 48, 64)
    agreement = np.corrcoef(images.thumbnails().ravel(), video.thumbnails().ravel())
    assert agreement[0, 1] > 0.98


def test_a_late_recording_is_named_and_paired_on_request(tmp_path: Path) -> None:
    t2b, b2t = zip(*moving_clip(24), strict=True)
    write_video(tmp_path / "l.mp4", t2b[4:], 30)
    write_video(tmp_path / "r.mp4", b2t, 30)
    left, right = open_video(tmp_path / "l.mp4"), open_video(tmp_path / "r.mp4")
    said = f"warning: {right.path} starts 4 frames before {left.path}"
    plain = pair_views(left, right, PLAIN)
    assert f"{said}; all pairs are wrong; give --offset 4" in plain.notes
    assert plain.arrangement == "offset 0"
    stream = pair_views(left, right, PLAIN, changes=None)
    assert f"{said}; applied: --offset 4" in stream.notes and stream.arrangement == "offset 4"
    assert not pair_views(left, right, PLAIN, offset=4).notes[1:]
    [swapped, *_] = pair_views(right, left, PLAIN, changes=None).notes
    assert swapped.endswith("applied: --offset -4")
    [same, *_] = pair_views(left, left, PLAIN, changes=None).notes
    assert same == "--offset auto: frames of equal number belong together"


def test_a_late_folder_of_images_is_named_and_paired_on_request(tmp_path: Path) -> None:
    pairs = moving_clip(30)
    for number in range(26):
        for side, view in (("l", pairs[number + 4][0]), ("r", pairs[number][1])):
            (tmp_path / side).mkdir(exist_ok=True)
            write_image(tmp_path / side / f"{number:02d}.png", view)
    left, right = open_frames_folder(tmp_path / "l"), open_frames_folder(tmp_path / "r")
    said = f"warning: {right.path} starts 4 frames before {left.path}"
    plain = pair_views(left, right, PLAIN)
    assert f"{said}; all pairs are wrong; give --offset 4" in plain.notes and plain.count == 26
    stream = pair_views(left, right, PLAIN, changes=None)
    assert f"{said}; applied: --offset 4" in stream.notes
    assert (stream.arrangement, stream.count) == ("offset 4", 22)


def stamped(path: Path, times: list[float]) -> FrameSource:
    """A video whose frame n is shown at a given time, in seconds, rounded to milliseconds."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.time_base = 24, 16, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(random_pixels(str(number), (16, 24)))
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return open_video(path, variable=True)


def test_frames_of_different_times_get_their_own_timing(tmp_path: Path) -> None:
    left = stamped(tmp_path / "l.mkv", [n * 0.040 for n in range(12)])
    right = stamped(tmp_path / "r.mkv", [n * 0.040 + 0.010 * (n == 6) for n in range(12)])
    stream = pair_views(left, right, CameraTiming(readout_ratio=0.5, start_offset=0.1))
    assert stream.count == 12 and stream.fps == 25
    delays = [0.0] * 12
    delays[6] = 0.010 / 0.020  # in readouts of half a frame interval
    assert stream.delays == pytest.approx(delays)
    assert stream.notes[0].startswith(f"warning: {right.path}: its time stamps come apart from")
    assert "paired by time stamps, up to 10.0 ms apart" in stream.notes[0]
    timing = CameraTiming(readout_ratio=0.5, start_offset=0.6)
    assert list(stream.pairs())[6].scan_time.equal(timing.scan_time(16))
    with pytest.raises(InputError, match=r"\+1.50 readouts later; expected less than 1"):
        pair_views(left, right, CameraTiming(readout_ratio=0.125, start_offset=-0.5))
    with pytest.raises(InputError, match="--offset 0,3:1: the time stamps of .* give one offset"):
        pair_views(left, right, PLAIN, changes=(Change(3, 1),))


def test_rates_that_vary_together_do_not_come_apart(tmp_path: Path) -> None:
    times = [n * 0.040 + 0.010 * (n % 3 == 1) for n in range(12)]
    left, right = (stamped(tmp_path / f"{side}.mkv", times) for side in ("l", "r"))
    stream = pair_views(left, right, PLAIN)
    assert stream.notes[0].startswith(f"warning: {right.path}: its frame rate varies, with that of")
    assert stream.delays == (0.0,) * 12 and stream.unsure == ()


def test_drifting_clocks_are_noticed(tmp_path: Path) -> None:
    left = stamped(tmp_path / "l.mkv", [n / 30 for n in range(60)])
    right = stamped(tmp_path / "r.mkv", [n / 29.865 for n in range(60)])
    stream = pair_views(left, right, PLAIN)
    assert re.search(r"\+[89]\.0 ms between frames of equal number in the end", stream.notes[0])
    assert len(stream.delays) == stream.count == 60
    assert stream.delays[-1] == pytest.approx(55 * (1 / 29.865 - 1 / 30) * 30, abs=0.06)


def test_streams_travel_to_worker_processes(tmp_path: Path) -> None:
    videos = [open_video(write_clip_video(tmp_path / f"{side}.mp4", 4)) for side in ("l", "r")]
    streams = [pair_views(*videos, PLAIN, offset=-1), split_views(videos[0], "lr", PLAIN)]
    for stream in streams:
        packed = pickle.dumps(replace(stream, sources=()))
        assert len(packed) < 10_000  # without small pictures of all frames
        for made, expected in zip(pickle.loads(packed).pairs(1), stream.pairs(1), strict=True):
            assert made.pair.equal(expected.pair) and made.name == expected.name


def test_a_view_of_a_single_line_is_refused_by_name(tmp_path: Path) -> None:
    rows = folder(tmp_path / "l", 2, (1, 8)), folder(tmp_path / "r", 2, (1, 8))
    with pytest.raises(InputError, match=f"{tmp_path}/l: a rolling shutter needs at least 2 rows"):
        pair_views(*rows, PLAIN)
    sideways = CameraTiming(directions=("l2r", "r2l"))
    assert pair_views(*rows, sideways).count == 2
    with pytest.raises(InputError, match="both: a rolling shutter needs at least 2 rows, got 1"):
        split_views(folder(tmp_path / "both", 1, (2, 8)), "tb", PLAIN)
    with pytest.raises(InputError, match="wide: a rolling shutter needs at least 2 columns, got 1"):
        split_views(folder(tmp_path / "wide", 1, (8, 2)), "lr", sideways)


def test_pairs_that_may_not_belong_together_are_named(tmp_path: Path) -> None:
    t2b, b2t = zip(*moving_clip(26), strict=True)
    write_video(tmp_path / "l.mp4", t2b[:25], 30)
    write_video(tmp_path / "r.mp4", [*b2t[:11], *b2t[12:]], 30)
    left, right = open_video(tmp_path / "l.mp4"), open_video(tmp_path / "r.mp4")
    near = "too near an end to tell whether a frame is missing"
    unsure = pair_views(left, right, PLAIN).unsure
    assert unsure == (
        UnsurePairs(0, 2, near),
        UnsurePairs(12, 24, "a frame is missing before them"),
    )
    assert describe_unsure(unsure) == (
        f"pairs 0-2 ({near}), 12-24 (a frame is missing before them)"
    )
    cured = pair_views(left, right, PLAIN, changes=None)
    assert cured.unsure == (UnsurePairs(0, 2, near), UnsurePairs(21, 23, near))
    assert describe_unsure(cured.unsure) == f"pairs 0-2, 21-23 ({near})"
    few = pair_views(folder(tmp_path / "f", 5), folder(tmp_path / "g", 5), PLAIN).unsure
    assert few == (UnsurePairs(0, 4, "too few to tell whether a frame is missing"),)
    assert split_views(left, "lr", PLAIN).unsure == () and describe_unsure(()) == ""
