"""Parts of a video joined into one."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data.files.images import write_video, write_video_part
from data.files.videos import Soundtrack, join_video_parts
from data.video.sources import AudioTrack, open_video
from tests.helpers.clips import add_sound, frame_times, grey, sound_begin, write_clip_video
from utils.errors import InputError


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


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    write_video_part(tmp_path / "part.h264", [grey(90)], 30)
    with pytest.raises(InputError, match="cannot write there: .*No such file or directory"):
        join_video_parts([tmp_path / "part.h264"], tmp_path / "missing" / "video.mp4", 30)
