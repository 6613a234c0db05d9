"""Clips through `main_test_real.py` as users call it, with a tiny generator."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.files.images import read_image
from data.files.videos import write_video
from data.video.sources import open_video
from tests.helpers.capture_folders import write_pixels
from tests.helpers.clips import add_sound, moving_clip, write_clip_video
from tests.helpers.script_runs import ROOT, Scripts, names, save_tiny_weights
from utils.errors import InputError


def clip_of_two_videos(folder: Path, count: int, *, sound: bool = False) -> tuple[str, ...]:
    """Arguments that name two videos."""
    left = write_clip_video(folder / "left.mp4", count)
    right = write_clip_video(folder / "right.mp4", count)
    if sound:
        left = add_sound(left, folder / "loud.mp4", begin=0)
    return ("--t2b", str(left), "--b2t", str(right))


def test_two_videos_become_one_with_sound(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    words = clip_of_two_videos(scripts.folder, 4, sound=True)
    folder = scripts.real(*words, "--frames", "3", "--offset", "-1") / "loud"
    assert names(folder) == ["video.mp4"]
    made = open_video(folder / "video.mp4")
    assert (made.count, made.fps, made.size) == (7, 60, (16, 24))
    assert made.audio is not None
    said = capsys.readouterr()
    assert said.out == (
        "loud: 7 frames of 3 pairs at 60 per second, 0.1167 s at the speed of its source, in "
        f"{folder / 'video.mp4'}\n"
    )
    assert "loud: 100%" not in said.err  # no bar where there is no terminal
    scripts.real(*words, "--frames", "2", "--fps", "6", "--save-frames")
    assert open_video(folder / "video.mp4").audio is None
    assert "its sound is left out, because at 6 frames per second" in capsys.readouterr().err
    assert len(names(folder / "frames")) == 5


def test_a_clip_keeps_rate_speed_and_sound_by_default(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    words = clip_of_two_videos(scripts.folder, 4, sound=True)
    folder = scripts.real(*words, "--save-frames") / "loud"
    made = open_video(folder / "video.mp4")
    assert (made.count, made.fps) == (4, 30) and made.audio is not None
    assert names(folder / "frames")[0] == "000000_000_t0.500.png"
    said = capsys.readouterr().out
    assert "loud: 4 frames of 4 pairs at 30 per second, 0.1333 s at the speed of its" in said
    scripts.real(*words, "--speed", "0.25", "--fps", "15")
    made = open_video(folder / "video.mp4")
    assert (made.count, made.fps, made.audio) == (8, 15, None)
    said = capsys.readouterr().out
    assert "8 frames of 4 pairs at 15 per second, 0.5333 s at 0.25 times the speed of its" in said


def test_a_clip_is_checked_and_gets_a_page(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    words = clip_of_two_videos(scripts.folder, 25)
    with pytest.raises(SystemExit) as caught:
        scripts.real(*words, "--check")
    assert caught.value.code == 3  # nothing moves
    folder = scripts.folder / "results" / "test_real" / "left"
    assert capsys.readouterr().out.startswith("left: capture check\n")
    assert not folder.exists()
    scripts.real(*words, "--frames", "3", "--method", "classical", changes=("viewer=true",))
    assert names(folder) == ["index.html", "video.mp4"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "48 of the video's 51 frames" in page.replace("\\u0027", "'").replace("&#x27;", "'")


def test_a_clip_of_odd_sides_gets_a_page(scripts: Scripts) -> None:
    for number in range(2):
        for view in ("left", "right"):
            write_pixels(scripts.folder / view / f"{number}.png", (15, 23))
    words = ("--t2b", str(scripts.folder / "left"), "--b2t", str(scripts.folder / "right"))
    words += ("--frames", "2", "--output", str(scripts.folder / "12:30"))
    scripts.real(*words, "--method", "classical", changes=("viewer=true",))
    folder = scripts.folder / "12:30" / "left"
    assert names(folder) == ["index.html", "video.mp4"]
    assert "23x15 px" in (folder / "index.html").read_text(encoding="utf-8")
    assert open_video(folder / "video.mp4").size == (16, 24)


def test_frames_of_a_clip_are_those_of_its_pairs(scripts: Scripts) -> None:
    for number in range(3):
        for side in ("left", "right"):
            write_pixels(scripts.folder / side / f"{number}.png", (20, 24))
    sides = [f"{scripts.folder}/{side}" for side in ("left", "right")]
    timing = ("--readout-ratio", "0.8", "--directions", "r2l,l2r", "--method", "classical")
    words = (*timing, "--times", "0,0.5,1")
    alone_words = (*words, "--save-frames", "--set", "context=pair")
    folder = scripts.real("--t2b", sides[0], "--b2t", sides[1], *alone_words)
    single = scripts.real("--t2b", f"{sides[0]}/2.png", "--b2t", f"{sides[1]}/2.png", *words)
    for name in ("000_t0.000", "001_t0.500", "002_t1.000"):
        frame = read_image(folder / "left" / "frames" / f"000002_{name}.png")
        alone = single / "left-2" / f"frame_{name}.png"
        assert frame.shape == (3, 20, 24) and frame.equal(read_image(alone))
    patterns = [f"{side}/*.png" for side in sides]
    again = scripts.real("--t2b", patterns[0], "--b2t", patterns[1], *words)
    assert len(list(open_video(again / "left" / "video.mp4").frames())) == 7
    assert names(again / "left") == ["video.mp4"]


def test_both_views_in_one_picture(scripts: Scripts) -> None:
    for number in range(2):
        write_pixels(scripts.folder / "both" / f"{number}.png", (20, 24))
    both = f"{scripts.folder}/both"
    folder = scripts.real("--input", both, "--layout", "tb", "--frames", "2")
    made = open_video(folder / "both" / "video.mp4")
    assert (made.count, made.fps, made.size) == (3, 9, (10, 24))
    folder = scripts.real("--input", f"{both}/1.png", "--layout", "lr", "--frames", "2")
    assert read_image(folder / "both-1" / "frame_001_t1.000.png").shape == (3, 20, 12)


@pytest.mark.parametrize("place", [".unfinished", "frames"])
def test_nothing_is_removed_or_written_through_links(scripts: Scripts, place: str) -> None:
    words = clip_of_two_videos(scripts.folder, 2)
    mine = scripts.folder / "home" / "000000_000_t0.000.png"
    mine.parent.mkdir()
    for path in (mine, mine.with_name(".bashrc")):
        path.write_text("mine")
    folder = scripts.real(*words, "--frames", "2") / "left"
    (folder / place).symlink_to(mine.parent)
    refused = f"left/{place}: a link to {mine.parent}, where nothing is written; remove the link"
    with pytest.raises(InputError, match=refused):
        scripts.real(*words, "--frames", "2", "--save-frames")
    if place == "frames":
        scripts.real(*words, "--frames", "2", "--restart")
    assert names(mine.parent) == [".bashrc", mine.name]


@pytest.mark.parametrize("name", ["...mp4", "..mp4"])
def test_clips_whose_names_lead_out_of_the_output_are_refused(scripts: Scripts, name: str) -> None:
    words = clip_of_two_videos(scripts.folder, 2)
    clip = Path(words[1]).rename(scripts.folder / name)
    output = ("--output", str(scripts.folder / "deep" / "out"))
    with pytest.raises(InputError, match="nothing can be named after it"):
        scripts.real("--t2b", str(clip), *words[2:], *output, "--frames", "2")
    assert not (scripts.folder / "deep").exists()


def test_image_video_and_folder_of_one_name_have_results_of_their_own(scripts: Scripts) -> None:
    words = clip_of_two_videos(scripts.folder, 2)
    for side in ("left", "right"):
        write_pixels(scripts.folder / f"{side}.png", (20, 24))
        for number in range(2):
            write_pixels(scripts.folder / side / f"{number}.png", (20, 24))
    inputs = [("left.png", "right.png"), ("left.mp4", "right.mp4"), ("left", "right")]
    for _ in range(2):
        for pair in inputs:
            t2b, b2t = (str(scripts.folder / name) for name in pair)
            out = scripts.real("--t2b", t2b, "--b2t", b2t, "--frames", "2", "--save-frames")
    parent = scripts.folder.name
    assert words[1] == t2b + ".mp4"
    assert {path.name for path in out.iterdir()} == {"left", f"{parent}-left.mp4", f"{parent}-left"}
    assert "left/contact_sheet.png" in names(out)
    assert len(names(out / f"{parent}-left.mp4")) == len(names(out / f"{parent}-left")) == 4


def test_clips_that_cannot_be_made_leave_nothing(scripts: Scripts) -> None:
    words = clip_of_two_videos(scripts.folder, 2)
    with pytest.raises(InputError, match="gif: only for single captures"):
        scripts.real(*words, "--gif")
    with pytest.raises(InputError, match="mask: only for single captures"):
        scripts.real(*words, "--mask")
    with pytest.raises(InputError, match="--offset 2: beyond the end"):
        scripts.real(*words, "--offset", "2")
    with pytest.raises(InputError, match="expected a weight file, got no such file"):
        scripts.real(*words, changes=("path.pretrained_netG=missing.safetensors",))
    with pytest.raises(InputError, match="readout ratio 2: expected"):
        scripts.real(*words, "--readout-ratio", "2")
    assert not (scripts.folder / "results").exists()


def test_other_weights_do_not_go_on_with_a_clip(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = clip_of_two_videos(scripts.folder, 2)

    def fail(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("utils.real.clip_results.join_video_parts", fail)
    with pytest.raises(InputError, match="no space left; 2 of 2 pairs are kept"):
        scripts.real(*words, "--frames", "2")
    monkeypatch.undo()
    other = scripts.folder / "other.safetensors"
    save_tiny_weights(other, seed=1)
    monkeypatch.setattr(scripts, "weights", other)
    with pytest.raises(InputError, match="an interrupted run there differs: weights: '.+' -> '"):
        scripts.real(*words, "--frames", "2")
    folder = scripts.real(*words, "--frames", "2", "--restart")
    assert names(folder) == ["left/video.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)],
)
def test_a_killed_clip_goes_on_and_equals_an_unbroken_one(
    scripts: Scripts, end: signal.Signals, status: int
) -> None:
    words = (*clip_of_two_videos(scripts.folder, 50), "--frames", "3", "--method", "classical")
    whole, broken = scripts.folder / "whole", scripts.folder / "broken"
    kept_parts = broken / "left" / ".unfinished"  # its subfolders hold parts that are being written
    command = [sys.executable, str(ROOT / "main_test_real.py"), *words, "--output", str(broken)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (kept_parts / "part_000000.h264").exists():
            time.sleep(0.01)
        process.send_signal(end)
    assert process.returncode == status
    kept = len(list(broken.rglob("part_*.h264")))
    assert 0 < kept < 7 and not list(broken.rglob("video.mp4"))
    scripts.real(*words, "--output", str(broken))
    scripts.real(*words, "--output", str(whole))
    ours, theirs = (open_video(folder / "left" / "video.mp4") for folder in (broken, whole))
    assert ours.count == theirs.count == 101
    for frame, expected in zip(ours.frames(), theirs.frames(), strict=True):
        assert frame.equal(expected)
    assert names(broken) == names(whole) == ["left/video.mp4"]


@pytest.mark.slow
def test_jobs_change_nothing(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*clip_of_two_videos(scripts.folder, 26), "--frames", "3", "--save-frames")
    one, two = scripts.folder / "one", scripts.folder / "two"
    scripts.real(*words, "--jobs", "1", "--output", str(one))
    scripts.real(*words, "--jobs", "100", "--output", str(two))
    assert contents(one) == contents(two)
    # Parts that an interrupted run has left are kept, and the others are made by two processes.
    part = one / "left" / ".unfinished" / "part_000001.h264"

    def stop(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("utils.real.clip_results.join_video_parts", stop)
    with pytest.raises(InputError, match="26 of 26 pairs are kept"):
        scripts.real(*words, "--jobs", "2", "--output", str(one))
    monkeypatch.undo()
    begun = part.stat().st_mtime_ns
    for number in (0, 2):
        part.with_name(f"part_{number:06d}.h264").unlink()
    monkeypatch.setattr("utils.real.clip_results.remove", lambda _: None)
    scripts.real(*words, "--jobs", "2", "--output", str(one))
    assert part.stat().st_mtime_ns == begun
    assert contents(one / "left" / "frames") == contents(two / "left" / "frames")
    assert (one / "left/video.mp4").read_bytes() == (two / "left/video.mp4").read_bytes()


@pytest.mark.slow
def test_a_worker_that_fails_keeps_finished_parts(scripts: Scripts) -> None:
    for number in range(20):
        for side in ("left", "right"):
            write_pixels(scripts.folder / side / f"{number:02d}.png", (20, 24))
    (scripts.folder / "left" / "19.png").write_bytes(b"damaged")  # in the second worker's last part
    words = ("--t2b", str(scripts.folder / "left"), "--b2t", str(scripts.folder / "right"))
    with pytest.raises(InputError, match=r"19\.png: .+; (8|16) of 20 pairs are kept in .+"):
        scripts.real(*words, "--frames", "2", "--jobs", "2", "--method", "classical")


def contents(folder: Path) -> dict[str, bytes]:
    """All results below a folder."""
    return {name: (folder / name).read_bytes() for name in names(folder)}


def test_a_check_of_recordings_that_start_apart_is_no_success(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    t2b, b2t = zip(*moving_clip(24, size=(72, 96)), strict=True)
    write_video(scripts.folder / "l.mp4", t2b[4:], 25)
    write_video(scripts.folder / "r.mp4", b2t, 25)
    words = ("--t2b", str(scripts.folder / "l.mp4"), "--b2t", str(scripts.folder / "r.mp4"))
    words += ("--method", "classical", "--json")
    with pytest.raises(SystemExit) as caught:
        scripts.real(*words, "--check")
    first, *_ = json.loads(capsys.readouterr().out)["results"][0]["warnings"]
    assert caught.value.code == 3 and first["cure"] == "--offset"
    assert first["text"].endswith("l.mp4; all pairs are wrong; give --offset 4")
    scripts.real(*words)
    last = json.loads(capsys.readouterr().out)["text"][-1]
    assert "warning: " in last and f"{scripts.folder / 'r.mp4'} starts 4 frames before" in last
    shown = ("check=true", "viewer=true")
    folder = scripts.real(*words, "--offset", "auto", changes=shown)
    made = json.loads(capsys.readouterr().out)
    assert made["results"][0]["warnings"] == [] and made["results"][0]["frames"] == 20
    unsure = made["results"][0]["unsure_pairs"]
    near = "too near an end to tell whether a frame is missing"
    assert unsure == [{"first": n, "last": n + 2, "reason": near} for n in (0, 17)]
    said = f"not confirmed to belong together: pairs 0-2, 17-19 ({near})"
    assert said in (folder / "l" / "index.html").read_text(encoding="utf-8")
    assert any(line.endswith(said) for line in made["text"])
