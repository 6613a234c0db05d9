"""Videos and GIFs written, and parts joined into one video."""

import os
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from data.files.videos import (
    AudioTrack,
    Soundtrack,
    join_video_parts,
    write_gif,
    write_video,
    write_video_part,
)
from data.video.sources import open_video
from tests.helpers.capture_folders import random_pixels
from tests.helpers.clips import add_sound, ffmpeg, frame_times, grey, sound_begin, write_clip_video
from utils.errors import InputError

PIXELS = random_pixels("image", (7, 5))


@pytest.mark.parametrize("rate", [Fraction(240000, 1001), Fraction(9), Fraction(1199, 5)])
def test_joined_parts_show_every_frame_on_time(tmp_path: Path, rate: Fraction) -> None:
    parts = [tmp_path / f"{number}.h264" for number in range(3)]
    for number, part in enumerate(parts):
        levels = range(100 * number, 100 * number + 50, 10)
        write_video_part(part, [grey(level % 256) for level in levels], float(rate))
    join_video_parts(parts, tmp_path / "video.mp4", float(rate))
    times = frame_times(tmp_path / "video.mp4")
    assert np.diff(times).tolist() == pytest.approx([float(1 / rate)] * 14, abs=1e-9)
    source = open_video(tmp_path / "video.mp4")
    assert source.fps == pytest.approx(float(rate), rel=1e-3) and source.audio is None
    levels = [float(frame.mean()) * 255 for frame in source.frames()]
    expected = [100 * part + level for part in range(3) for level in range(0, 50, 10)]
    assert levels == pytest.approx(expected, abs=2)


def test_parts_look_like_one_video(tmp_path: Path) -> None:
    frames = [grey(level, (17, 25)) for level in (0, 80, 160)]
    write_video(tmp_path / "whole.mp4", iter(frames), 30)
    write_video_part(tmp_path / "part.h264", iter(frames), 30)
    join_video_parts([tmp_path / "part.h264"], tmp_path / "joined.mp4", 30)
    joined, whole = (open_video(tmp_path / f"{name}.mp4") for name in ("joined", "whole"))
    assert joined.size == whole.size == (18, 26)
    for ours, theirs in zip(joined.frames(), whole.frames(), strict=True):
        assert float((ours - theirs).abs().max()) < 0.02


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("mov", "pcm_s16le")])
def test_sound_is_cut_to_its_stretch(tmp_path: Path, suffix: str, codec: str) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 60)
    loud = add_sound(video, tmp_path / f"loud.{suffix}", begin=1.2, codec=codec)
    write_video_part(tmp_path / "part.h264", [grey(90)] * 30, 30)
    sound = Soundtrack(AudioTrack(loud, codec, 1.0), 1.0)
    join_video_parts([tmp_path / "part.h264"], tmp_path / "joined.mp4", 30, sound)
    joined = open_video(tmp_path / "joined.mp4")
    assert joined.count == 30 and joined.audio is not None and joined.audio.codec == "aac"
    assert sound_begin(tmp_path / "joined.mp4") == pytest.approx(0.2, abs=0.03)


def test_sound_of_transport_streams_is_joined(tmp_path: Path) -> None:
    loud = add_sound(write_clip_video(tmp_path / "a.mp4", 30), tmp_path / "a.mov", begin=0)
    ffmpeg("-i", loud, "-c", "copy", tmp_path / "loud.ts")
    write_video_part(tmp_path / "part.h264", [grey(90)] * 30, 30)
    sound = Soundtrack(AudioTrack(tmp_path / "loud.ts", "aac", 0.0), 1.0)
    join_video_parts([tmp_path / "part.h264"], tmp_path / "joined.mp4", 30, sound)
    joined = open_video(tmp_path / "joined.mp4")
    assert joined.count == 30 and joined.audio is not None


def test_joined_parts_keep_the_pixel_aspect(tmp_path: Path) -> None:
    write_video_part(tmp_path / "part.h264", [grey(90)] * 3, 30)
    part, path = [tmp_path / "part.h264"], tmp_path / "joined.mp4"
    join_video_parts(part, path, 30, pixel_aspect=Fraction(4, 3))
    assert open_video(path).pixel_aspect == Fraction(4, 3)


def test_failed_joins_leave_nothing(tmp_path: Path) -> None:
    write_video_part(tmp_path / "part.h264", [grey(90)], 30)
    with pytest.raises(InputError, match="cannot write there: .*No such file or directory"):
        join_video_parts([tmp_path / "part.h264"], tmp_path / "missing" / "video.mp4", 30)


def read_video(path):
    stream = imageio_ffmpeg.read_frames(str(path))
    about = next(stream)
    width, height = about["size"]
    frames = [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in stream]
    return about, frames


@pytest.mark.parametrize("size", [(1, 1), (37, 51), (64, 48)])
def test_videos_play_in_browsers(tmp_path, size):
    frames = [np.full((*size, 3), (200, 30 * number, 60), np.uint8) for number in range(5)]
    write_video(tmp_path / "video.mp4", frames, 10)
    about, decoded = read_video(tmp_path / "video.mp4")
    assert (about["codec"], about["fps"]) == ("h264", 10)
    assert about["pix_fmt"].startswith("yuv420p(tv, bt709")
    even = tuple(side + side % 2 for side in size)
    assert [frame.shape[:2] for frame in decoded] == [even] * 5
    for frame, original in zip(decoded, frames, strict=True):
        assert np.abs(frame.astype(int) - original[0, 0]).max() <= 6


def test_gifs_loop_and_keep_their_timing(tmp_path):
    frames = [np.full((9, 7, 3), (0, 50 * number, 255), np.uint8) for number in range(5)]
    write_gif(tmp_path / "video.gif", frames, 10)
    assert b"NETSCAPE2.0" in (tmp_path / "video.gif").read_bytes()
    about, decoded = read_video(tmp_path / "video.gif")
    assert about["duration"] == pytest.approx(0.5)
    assert [frame[4, 3].tolist() for frame in decoded] == [[0, 50 * n, 255] for n in range(5)]


@pytest.mark.parametrize("write", [write_video, write_gif])
def test_video_frames_are_checked(tmp_path, write):
    for frames in ([], [PIXELS, PIXELS[1:]]):
        with pytest.raises(ValueError, match="expected frames of one shape"):
            write(tmp_path / "video.mp4", frames, 10)


@pytest.mark.parametrize("write", [write_video, write_gif])
def test_video_into_a_missing_folder(tmp_path, write):
    with pytest.raises(InputError, match="cannot write there: .*No such file or directory"):
        write(tmp_path / "missing" / "video.gif", [PIXELS], 10)


def test_video_with_no_space_left(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\necho '[mp4 @ 0x1] No space left on device\n[mp4 @ 0x1] Ended' >&2\nexit 1\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    frames = [random_pixels("frame", (200, 300))] * 5
    (tmp_path / "videos").mkdir()
    with pytest.raises(InputError, match="/videos: cannot write there: No space left on device;"):
        write_video(tmp_path / "videos" / "video.mp4", frames, 10)
    assert os.listdir(tmp_path / "videos") == []


def test_programs_that_lack_something_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    for line in (
        "Unknown encoder 'libx264'",
        "Unrecognized option 'bsf:v'.",
        "Error parsing bitstream filter sequence 'setts': Bitstream filter not found",
    ):
        program.write_text(f'#!/bin/sh\necho "{line}" >&2\nexit 1\n')
        program.chmod(0o700)
        with pytest.raises(InputError) as error:
            write_video(tmp_path / "video.mp4", [PIXELS], 10)
        assert str(error.value).startswith(
            f"{program}: {line}; expected ffmpeg 4.4 or newer with libx264; unset"
        )
    assert os.listdir(tmp_path) == ["ffmpeg"]
