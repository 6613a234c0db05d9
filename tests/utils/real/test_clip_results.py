"""Clips corrected part by part."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from data.files.images import read_image
from data.files.videos import AudioTrack
from data.video.sources import open_video
from data.video.streams import CaptureStream
from models.inference.correction import Corrected
from tests.helpers.clips import real_options
from utils.correction import NamedCorrection
from utils.errors import InputError
from utils.real import clip_results
from utils.real.clip_parts import HIDDEN, UnfinishedClip, open_unfinished
from utils.real.clip_plan import ClipPlan, describe_clip
from utils.real.clip_results import write_clip
from utils.system.distributed import Processes

ALONE = Processes(torch.device("cpu"))
LEVELS = 5  # grey levels from pair to pair


def clip(
    count: int, *, fps: float | None = 30, fails_at: int | None = None, sound: bool = False
) -> CaptureStream:
    """A stream whose pair n is of grey level 5 n in both views."""

    def views(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(start, count):
            if number == fails_at:
                raise InputError("left.mp4: damaged")
            image = torch.full((3, 6, 8), LEVELS * number / 255)
            yield image, image

    audio = AudioTrack(Path("left.mp4"), "aac", 0.5) if sound else None
    return CaptureStream("clip", count, fps, CameraTiming(), (), "lr", audio, (), views)


def brighten(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
) -> Corrected:
    """A method whose frames go from a pair's level to the next's."""
    return Corrected(torch.stack([pair[0] + LEVELS * instant / 255 for instant in times]))


def plan_of(stream: CaptureStream, times: Sequence[float], **changes: object) -> ClipPlan:
    return ClipPlan(
        stream, real_options(times=tuple(times), viewer=False, context="pair", **changes)
    )


def make(plan: ClipPlan, folder: Path, *, processes: Processes = ALONE) -> UnfinishedClip:
    unfinished = UnfinishedClip(folder / HIDDEN, plan.part_count)
    open_unfinished(unfinished, describe_clip(plan))
    write_clip(plan, NamedCorrection("brighten", brighten), unfinished, processes)
    return unfinished


def levels(video: Path) -> list[float]:
    return [float(frame.mean()) * 255 for frame in open_video(video).frames()]


@pytest.mark.parametrize(
    ("times", "per_pair", "frames"),
    [((0.0, 0.5, 1.0), 2, 41), ((0.0, 0.5), 2, 40), ((0.25, 0.75, 1.0), 3, 60), ((0.5,), 1, 20)],
)
def test_shared_instants_are_shown_once(
    tmp_path: Path, times: tuple[float, ...], per_pair: int, frames: int
) -> None:
    plan = plan_of(clip(20), times)
    assert (plan.frames_per_pair, plan.frame_count, plan.part_count) == (per_pair, frames, 3)
    assert plan.video_fps == 30 * per_pair
    unfinished = make(plan, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]
    assert not unfinished.folder.exists()
    expected = sorted({LEVELS * (number + t) for number in range(20) for t in times})
    assert levels(tmp_path / "video.mp4") == pytest.approx(expected, abs=1.6)
    assert open_video(tmp_path / "video.mp4").fps == 30 * per_pair


def test_a_shared_instant_is_made_from_the_later_pair() -> None:
    plan = plan_of(clip(3), (0.0, 0.5, 1.0))
    assert [plan.instants(number) for number in range(3)] == [(0, 0.5), (0, 0.5), (0, 0.5, 1)]
    plan = plan_of(clip(3), (0.5, 1.0))
    assert plan.instants(0) == (0.5, 1.0)


def test_frames_are_kept_on_request(tmp_path: Path) -> None:
    make(plan_of(clip(2), (0.0, 0.25, 0.2502, 1.0), save_frames=True), tmp_path)
    names = ["000000_000_t0.000.png", "000000_001_t0.250.png", "000000_002_t0.250.png"]
    names += ["000001_000_t0.000.png", "000001_001_t0.250.png"]
    names += ["000001_002_t0.250.png", "000001_003_t1.000.png"]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == names
    image = read_image(tmp_path / "frames" / "000001_003_t1.000.png") * 255
    assert image.shape == (3, 6, 8) and image.unique().tolist() == [2 * LEVELS]
    make(plan_of(clip(2), (0.0, 1.0), save_frames=True, frame_bits=16), tmp_path)
    kept = cv2.imread(str(tmp_path / "frames" / "000000_000_t0.000.png"), cv2.IMREAD_UNCHANGED)
    assert kept.dtype == "uint16"
    for name in ("index.html", "contact_sheet.png", "frame_000_t0.000.png"):
        (tmp_path / name).write_text("of a single capture")
    make(plan_of(clip(2), (0.0, 1.0)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_frames_share_their_folder_with_files_of_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("000.png", "000007_000_t0.000.png"):
        (folder / name).write_text("mine, and an earlier run's")
    make(plan_of(clip(2), (0.0, 1.0), save_frames=True), tmp_path)
    made = ["000.png", "000000_000_t0.000.png", "000001_000_t0.000.png", "000001_001_t1.000.png"]
    assert sorted(path.name for path in folder.iterdir()) == made
    make(plan_of(clip(2), (0.0, 1.0)), tmp_path)
    assert [path.name for path in folder.iterdir()] == ["000.png"]


def test_an_interrupted_clip_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of(clip(20), (0.0, 0.5, 1.0), save_frames=True)
    make(plan, tmp_path / "whole")
    seen: list[Sequence[float]] = []

    def stop(
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        seen.append(times)
        if len(seen) == 13:
            raise KeyboardInterrupt
        return brighten(pair, times)

    folder = tmp_path / "broken"
    unfinished = UnfinishedClip(folder / HIDDEN, plan.part_count)
    open_unfinished(unfinished, describe_clip(plan))
    with pytest.raises(KeyboardInterrupt):
        write_clip(plan, NamedCorrection("stop", stop), unfinished, ALONE)
    assert unfinished.missing == [1, 2]
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"clip: stopped; 8 of 20 pairs are kept in {unfinished.folder}: the same command on the "
        "same files continues from there"
    )
    make(plan, folder)
    for path in (tmp_path / "whole").rglob("*.*"):
        copy = folder / path.relative_to(tmp_path / "whole")
        assert copy.is_dir() or copy.read_bytes() == path.read_bytes()
    assert len(list((folder / "frames").iterdir())) == 41


def test_damage_keeps_what_is_finished(tmp_path: Path) -> None:
    plan = plan_of(clip(20, fails_at=17), (0.0, 1.0))
    with pytest.raises(InputError) as error:
        make(plan, tmp_path)
    assert str(error.value) == (
        f"left.mp4: damaged; 16 of 20 pairs are kept in {tmp_path / HIDDEN}: the same command on "
        "the same files continues from there"
    )
    with pytest.raises(InputError, match="^left.mp4: damaged$"):
        make(plan_of(clip(5, fails_at=2), (0.0, 1.0)), tmp_path / "other")


def test_a_full_disk_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(clip(20), (0.0, 1.0))
    make(plan, tmp_path / "whole")
    real, parts = clip_results.write_video_part, []

    def fill(path: Path, frames: Iterator[object], fps: float) -> None:
        parts.append(path)
        if len(parts) == 2:
            raise InputError(f"{path.parent}: cannot write there: No space left on device")
        real(path, frames, fps)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_results, "write_video_part", fill)
    with pytest.raises(InputError, match="No space left on device; 8 of 20 pairs are kept"):
        make(plan, tmp_path / "full")
    make(plan, tmp_path / "full")
    assert [path.stem[-1] for path in parts] == ["0", "1", "1", "2"]
    assert levels(tmp_path / "full/video.mp4") == levels(tmp_path / "whole/video.mp4")


class SecondOfTwo(Processes):
    """A process whose fellow agrees with it."""

    def gather(self, item: Any) -> list[Any]:
        return [item, item]


def test_processes_share_the_parts(tmp_path: Path) -> None:
    plan = plan_of(clip(30), (0.0, 1.0))
    unfinished = UnfinishedClip(tmp_path / HIDDEN, plan.part_count)
    open_unfinished(unfinished, describe_clip(plan))
    second = SecondOfTwo(torch.device("cpu"), rank=1, world_size=2)
    write_clip(plan, NamedCorrection("brighten", brighten), unfinished, second)
    assert unfinished.missing == [0, 2]
    write_clip(plan, NamedCorrection("brighten", brighten), unfinished, ALONE)
    assert len(levels(tmp_path / "video.mp4")) == 31


def test_sound_goes_with_unchanged_speed_only() -> None:
    keeps = plan_of(clip(20, sound=True), (0.0, 0.5, 1.0))
    assert keeps.soundtrack == (AudioTrack(Path("left.mp4"), "aac", 0.5), 20 / 30)
    assert keeps.notes == ()
    slow = plan_of(clip(20, sound=True), (0.0, 0.5, 1.0), fps=30.0)
    assert slow.soundtrack is None
    assert slow.notes == (
        "left.mp4: its sound is left out, because at 30 frames per second the video does not keep "
        "its speed",
    )
    assert plan_of(clip(20), (0.0, 1.0), fps=3.0).notes == ()


def test_a_clip_of_unknown_speed_has_that_of_single_captures() -> None:
    assert plan_of(clip(2, fps=None), (0.0, 1.0)).video_fps == 9


@pytest.mark.parametrize("times", [(1.0, 0.0), (0.0, 0.5, 0.5)])
def test_instants_must_be_in_order(times: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"times [\d.,]+: expected instants in order of time"):
        plan_of(clip(2), times)
