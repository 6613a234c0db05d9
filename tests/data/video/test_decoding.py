"""Videos: their properties and frames."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from data.files.images import to_uint8
from data.files.videos import write_video
from data.video.decoding import decode_video, probe_video
from tests.helpers.capture_folders import random_pixels
from tests.helpers.clips import add_sound, ffmpeg, grey, moving_clip, smooth, write_clip_video
from utils.errors import InputError


def test_frames_come_back_in_order_and_in_colour(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 5, fps=30000 / 1001)
    info = probe_video(video)
    assert (info.count, info.size, info.begin) == (5, (16, 24), 0)
    assert info.fps == pytest.approx(30000 / 1001, rel=1e-9)
    assert not info.is_deep and not info.is_rotated and info.audio is None
    for number, frame in enumerate(decode_video(video, info)):
        # The file says BT.709; by BT.601 saturated colours would be off by 20 and more.
        assert np.abs(to_uint8(frame).astype(int) - smooth(str(number))).mean() < 5
    later = list(decode_video(video, info, 3))
    assert len(later) == 2
    assert later[0].equal(list(decode_video(video, info))[3])


def test_saturated_colours_follow_the_matrix_of_the_file(tmp_path: Path) -> None:
    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 200
    for matrix in ("bt709", "smpte170m"):
        video = tmp_path / f"{matrix}.mp4"
        write_video(tmp_path / "ours.mp4", [red], 30)
        conversion = f"scale=out_color_matrix={matrix}:out_range=tv"
        ffmpeg("-i", tmp_path / "ours.mp4", "-vf", conversion, "-colorspace", matrix, video)
        [frame] = decode_video(video, probe_video(video))
        assert (frame.mean((1, 2)) * 255).tolist() == pytest.approx([200, 0, 0], abs=3)


def test_ten_bits_are_kept(tmp_path: Path) -> None:
    ramp = "gradients=s=256x16:c0=0x606060:c1=0x707070:x0=0:y0=0:x1=255:y1=0:d=0.04:speed=0.00001"
    ffmpeg("-f", "lavfi", "-i", f"{ramp},format=gray16le,format=yuv444p10le", *["-c:v", "ffv1"],
           tmp_path / "deep.mkv")  # fmt: skip
    info = probe_video(tmp_path / "deep.mkv")
    assert info.is_deep
    frame = next(decode_video(tmp_path / "deep.mkv", info))
    levels = frame[0, 8].unique() * 255
    assert 0 < float((levels - levels.round()).abs().max()) < 0.5


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_rates_are_found_despite_coarse_timestamps(tmp_path: Path, suffix: str) -> None:
    video = tmp_path / f"clip.{suffix}"
    ffmpeg(*["-f", "lavfi", "-i", "testsrc=s=32x16:r=60:d=0.3", "-pix_fmt", "yuv420p"], video)
    assert probe_video(video).fps == 60


@pytest.mark.parametrize(
    ("suffix", "rate"), [("avi", "25/2"), ("mkv", "30000/1001"), ("mkv", "30")]
)
def test_rates_of_short_videos_are_the_nearest_usual_ones(
    tmp_path: Path, suffix: str, rate: str
) -> None:
    video = tmp_path / f"clip.{suffix}"
    source = ["-f", "lavfi", "-i", f"testsrc=s=32x16:r={rate}", "-frames:v", "20"]
    ffmpeg(*source, "-pix_fmt", "yuv420p", video)
    assert probe_video(video).fps == pytest.approx(float(Fraction(rate)), rel=1e-6)


def test_rotated_videos_are_shown_as_by_players(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 1)
    ffmpeg("-display_rotation", "90", "-i", video, "-c", "copy", tmp_path / "turned.mp4")
    info = probe_video(tmp_path / "turned.mp4")
    assert info.is_rotated and info.size == (24, 16) and info.fps is None
    [frame], [upright] = (
        list(decode_video(file, probe_video(file))) for file in (tmp_path / "turned.mp4", video)
    )
    assert float((frame - upright.rot90(1, (1, 2))).abs().mean()) < 0.01


def test_audio_is_found(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 3)
    assert probe_video(add_sound(video, tmp_path / "a.mp4", begin=0)).audio == "aac"
    loud = add_sound(video, tmp_path / "b.mov", begin=0, codec="pcm_s16le")
    assert probe_video(loud).audio == "pcm_s16le"


@pytest.mark.parametrize("content", [b"", b"no video\n" * 100])
def test_files_that_are_not_videos_are_refused_in_one_line(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"clip.mp4: no frame can be decoded: .*; expected a vid"):
        probe_video(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match=r"other.mp4: no such video"):
        probe_video(tmp_path / "other.mp4")
    assert capfd.readouterr().err == ""


def test_videos_without_a_frame_are_refused(tmp_path: Path) -> None:
    ffmpeg(*["-f", "lavfi", "-i", "testsrc=s=32x16:d=0"], tmp_path / "empty.mp4")
    ffmpeg(*["-f", "lavfi", "-i", "sine=d=0.1"], tmp_path / "sound.m4a")
    for name in ("empty.mp4", "sound.m4a"):
        with pytest.raises(InputError, match=f"{name}: holds no frame"):
            probe_video(tmp_path / name)


def test_raw_streams_are_refused_with_a_cure_that_keeps_every_frame(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 6, fps=25)
    ffmpeg("-i", video, "-c", "copy", tmp_path / "clip.h264")
    with pytest.raises(
        InputError, match="clip.h264: frame 0 has no time stamp, as in raw"
    ) as error:
        probe_video(tmp_path / "clip.h264")
    command = str(error.value).split(": ffmpeg ")[1].replace("-r 30", "-r 25")
    ffmpeg(*command.split()[:-1], tmp_path / "cured.mp4")
    cured, first = probe_video(tmp_path / "cured.mp4"), probe_video(video)
    assert (cured.count, cured.fps, cured.times) == (6, 25, first.times)
    differences = cured.thumbnails.astype(int) - first.thumbnails
    assert abs(differences).max() <= 8 and abs(differences).mean() < 2


def test_unknown_codecs_are_refused(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 2)
    video.write_bytes(video.read_bytes().replace(b"avc1", b"xyz1"))
    with pytest.raises(InputError, match="no decoder found for: none; expected .* common codec"):
        probe_video(video)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_truncated_videos_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = [random_pixels(str(number), (64, 80)) for number in range(12)]
    write_video(tmp_path / "whole.mp4", noise, fps=30)
    ffmpeg("-i", tmp_path / "whole.mp4", "-c", "copy", "-movflags", "+faststart",
           tmp_path / f"copy.{suffix}")  # fmt: skip
    data = (tmp_path / f"copy.{suffix}").read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
    for _ in range(2):  # the second time, too
        with pytest.raises(
            InputError, match=r"cut.\w+: damaged or cut short after \d frames: .+; "
        ):
            probe_video(tmp_path / f"cut.{suffix}")


def test_damage_after_probing_is_noticed(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 6)
    info = probe_video(video)
    write_clip_video(video, 4)
    with pytest.raises(InputError, match="damaged or cut short after 4 frames: it ends too early"):
        list(decode_video(video, info))


def test_variable_frame_rates_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "even.mp4", [grey(20 * number) for number in range(8)], 25)
    drop = ["-vf", "select=not(eq(n\\,4))", "-fps_mode", "vfr"]
    ffmpeg("-i", tmp_path / "even.mp4", *drop, tmp_path / "uneven.mp4")
    with pytest.raises(InputError) as error:
        probe_video(tmp_path / "uneven.mp4")
    video = tmp_path / "uneven.mp4"
    assert str(error.value) == (
        f"{video}: variable frame rate, 40 to 80 ms between frames; make it constant: "
        f"ffmpeg -i {video} -vf fps=25 OUT.mp4"
    )


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p16le", "gray", "yuv422p"])
def test_y4m_cut_within_a_frame_is_refused(tmp_path: Path, pixels: str) -> None:
    video, path = write_clip_video(tmp_path / "clip.mp4", 3), tmp_path / "clip.y4m"
    ffmpeg("-i", video, "-pix_fmt", pixels, "-strict", "-1", path)
    assert probe_video(path).count == 3
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged or cut short after 2 frames"):
        probe_video(path)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'clip.mp4'\n", "#EXTM3U\n#EXTINF:1,\nclip.mp4\n"]
)
def test_lists_of_other_files_are_not_followed(tmp_path: Path, text: str) -> None:
    write_clip_video(tmp_path / "clip.mp4", 3)
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(InputError, match=r"list\.mp4: no frame can be decoded"):
        probe_video(tmp_path / "list.mp4")


def test_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=r"pipe\.mp4: expected a regular file, got a pipe"):
        probe_video(tmp_path / "pipe.mp4")


def test_transport_streams_are_decoded(tmp_path: Path) -> None:
    video = add_sound(write_clip_video(tmp_path / "a.mp4", 6), tmp_path / "clip.mp4", begin=0)
    ffmpeg("-i", video, "-c", "copy", tmp_path / "clip.ts")
    info, original = probe_video(tmp_path / "clip.ts"), probe_video(video)
    assert (info.count, info.fps, info.size, info.audio) == (6, 30, (16, 24), "aac")
    for ours, theirs in zip(
        decode_video(tmp_path / "clip.ts", info), decode_video(video, original), strict=True
    ):
        assert ours.equal(theirs)


def test_names_and_metadata_are_not_taken_for_properties(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 3)
    named = tmp_path / "partial file ended prematurely.mp4"
    title = "Stream #0:1: Audio: aac, rotation of 90.00 degrees, Video: h264, yuv420p10le"
    ffmpeg("-i", video, "-c", "copy", "-metadata", f"title={title}", named)
    info = probe_video(named)
    assert (info.count, info.audio, info.is_rotated, info.is_deep) == (3, None, False, False)
    assert info.notes == ()


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "mp4"), ("mpeg2video", "mpg")])
def test_interlaced_videos_are_refused_and_progressive_ones_flagged_so_are_not(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    fields = [t2b for t2b, _ in moving_clip(16)]
    write_video(tmp_path / "fields.mp4", fields, 60)
    for name, weave in (("two", "tinterlace=interleave_top"), ("one", "framestep=2")):
        flags = ["-vf", f"{weave},setfield=tff,format=yuv420p", "-flags", "+ildct+ilme", "-q:v", 2]
        ffmpeg("-i", tmp_path / "fields.mp4", "-c:v", codec, *flags, tmp_path / f"{name}.{suffix}")
    with pytest.raises(InputError, match="interlaced: odd and even rows show two instants"):
        probe_video(tmp_path / f"two.{suffix}")
    [note] = probe_video(tmp_path / f"one.{suffix}").notes
    assert "flagged interlaced, but its rows show one instant" in note


def test_interlaced_videos_without_the_flag_are_named(tmp_path: Path) -> None:
    fields = [t2b for t2b, _ in moving_clip(16)]
    write_video(tmp_path / "fields.mp4", fields, 60)
    for name, weave in (("two", "tinterlace=interleave_top"), ("one", "framestep=2")):
        words = ["-vf", f"{weave},setfield=prog,format=yuv420p", "-crf", 10]
        ffmpeg("-i", tmp_path / "fields.mp4", "-c:v", "libx264", *words, tmp_path / f"{name}.mp4")
    [note] = probe_video(tmp_path / "two.mp4").notes
    assert "odd and even rows seem to show two instants" in note and note.startswith("warning: ")
    assert probe_video(tmp_path / "one.mp4").notes == ()
    cure = ["-vf", "bwdif=mode=send_field:deint=all"]
    ffmpeg("-i", tmp_path / "two.mp4", *cure, tmp_path / "split.mp4")
    split = probe_video(tmp_path / "split.mp4")
    assert split.notes == () and split.count == 16


def test_fine_stripes_that_rest_are_not_interlaced(tmp_path: Path) -> None:
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[::2] = 255
    shown = []
    for number in range(12):
        moving = stripes.copy()
        moving[20:40, 5 * number : 5 * number + 20] = 90
        shown.append(moving)
    write_video(tmp_path / "stripes.mp4", shown, 30)
    assert probe_video(tmp_path / "stripes.mp4").notes == ()


def test_pixel_aspect_is_read_as_shown(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 2)
    assert probe_video(video).pixel_aspect == 1
    ffmpeg("-i", video, "-vf", "setsar=4/3", tmp_path / "wide.mp4")
    assert probe_video(tmp_path / "wide.mp4").pixel_aspect == Fraction(4, 3)
    ffmpeg(*["-display_rotation", "90"], *["-i", tmp_path / "wide.mp4"], *["-c", "copy"],
           tmp_path / "turned.mp4")  # fmt: skip
    assert probe_video(tmp_path / "turned.mp4").pixel_aspect == Fraction(3, 4)


def test_mirrored_videos_are_shown_as_by_players(tmp_path: Path) -> None:
    video = write_clip_video(tmp_path / "clip.mp4", 1)
    ffmpeg("-display_hflip", "-i", video, "-c", "copy", tmp_path / "mirrored.mp4")
    [frame], [plain] = (
        list(decode_video(file, probe_video(file))) for file in (tmp_path / "mirrored.mp4", video)
    )
    assert frame.equal(plain.flip(2))


def test_parts_that_are_left_out_are_said(tmp_path: Path) -> None:
    video = add_sound(write_clip_video(tmp_path / "a.mp4", 2), tmp_path / "clip.mp4", begin=0)
    double = [word for track in ("0:v", "0:v", "0:a", "0:a") for word in ("-map", track)]
    ffmpeg("-i", video, *double, "-c", "copy", tmp_path / "two.mp4")
    assert probe_video(tmp_path / "two.mp4").notes == (
        f"{tmp_path / 'two.mp4'}: 1 more video tracks are left out",
        f"{tmp_path / 'two.mp4'}: of 2 sound tracks only the first is used",
    )
    ffmpeg(*["-i", video], *["-pix_fmt", "yuva444p", "-c:v", "ffv1", "-an"], tmp_path / "alpha.mkv")
    [note] = probe_video(tmp_path / "alpha.mkv").notes
    assert note.endswith("its transparency (alpha) is left out")


def test_untagged_colours_follow_the_size_as_in_players(tmp_path: Path) -> None:
    for size, matrix in (((16, 24), "smpte170m"), ((720, 24), "bt709")):
        red = np.full((*size, 3), (200, 0, 0), np.uint8)
        write_video(tmp_path / "tagged.mp4", [red], 30)
        untag = ["-colorspace", "unknown", "-color_primaries", "unknown", "-color_trc", "unknown"]
        convert = f"scale=out_color_matrix={matrix}:out_range=tv,setparams=colorspace=unknown"
        ffmpeg("-i", tmp_path / "tagged.mp4", "-vf", convert, *untag, tmp_path / "untagged.mp4")
        [frame] = decode_video(tmp_path / "untagged.mp4", probe_video(tmp_path / "untagged.mp4"))
        assert (frame.mean((1, 2)) * 255).tolist() == pytest.approx([200, 0, 0], abs=3)


@pytest.mark.parametrize(("transfer", "white"), [("smpte2084", 0.5807), ("arib-std-b67", 0.7504)])
def test_high_dynamic_range_becomes_standard_range(
    tmp_path: Path, transfer: str, white: float
) -> None:
    # Diffuse white of 203 cd/m2 (ITU-R BT.2408) is 58 % of PQ and 75 % of HLG.
    level = round(white * 255)
    write_video(tmp_path / "grey.mp4", [grey(level)], 30)
    tags = f"-color_primaries bt2020 -color_trc {transfer} -colorspace bt2020nc -color_range tv"
    convert = "scale=out_color_matrix=bt2020:out_range=tv"
    ffmpeg("-i", tmp_path / "grey.mp4", "-vf", convert, *tags.split(),
           *["-pix_fmt", "yuv420p10le", "-c:v", "ffv1"], tmp_path / "hdr.mkv")  # fmt: skip
    info = probe_video(tmp_path / "hdr.mkv")
    [note] = info.notes
    assert "is tone-mapped to standard range" in note and info.is_deep
    [frame] = decode_video(tmp_path / "hdr.mkv", info)
    assert 0.95 < float(frame.mean()) < 1 and float(frame.std()) < 0.01
