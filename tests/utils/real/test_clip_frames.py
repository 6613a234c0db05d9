"""Frames of a clip's pairs with their neighbours: the same wherever a part begins or ends."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest
import torch
from torch import Tensor

from data.camera_timing import CameraTiming
from data.video.streams import CaptureStream
from models.clip.correction import ClipPair, correct_clip
from models.ifed import IFED
from models.inference.correction import correct, correct_classically
from tests.helpers.clips import real_options
from tests.helpers.frames import psnr
from tests.helpers.moving_clip import MovingClip, uniform
from utils.correction import NamedCorrection, expect_any_instant
from utils.errors import InputError
from utils.real.clip_frames import PairWindow, first_needed, make_frames, uses_neighbours
from utils.real.clip_plan import ClipPlan

COUNT = 4
CLASSICAL = NamedCorrection("classical", correct_classically, follows_motion=True)
CLIP = MovingClip(uniform(6, 2))
OTHER = MovingClip(uniform(-5, 2), seed=1)


def plan(*, cut: int = COUNT, **changes: object) -> ClipPlan:
    def views(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(start, COUNT):
            first, second = (CLIP if number < cut else OTHER).pair(number)
            yield first, second

    stream = CaptureStream("clip", COUNT, 30.0, CameraTiming(), (), "lr", None, (), views)
    return ClipPlan(stream, real_options(times=(0.0, 0.5, 1.0), **changes))


def frames_of(plan: ClipPlan, numbers: range) -> list[Tensor]:
    first = first_needed(plan, CLASSICAL, numbers.start)
    with closing(PairWindow(plan, first)) as pairs:
        return list(make_frames(plan, CLASSICAL, pairs, numbers))


def test_parts_meet_without_a_trace() -> None:
    clip = plan()
    whole = frames_of(clip, range(COUNT))
    given = [ClipPair(CLIP.pair(number), clip.instants(number)) for number in range(COUNT)]
    for made, expected in zip(
        whole, correct_clip(correct_classically, given, CLIP.scan), strict=True
    ):
        assert torch.equal(made, expected)
    parts = [*frames_of(clip, range(2)), *frames_of(clip, range(2, COUNT))]
    assert [len(frames) for frames in parts] == [2, 2, 2, 3]
    for made, expected in zip(parts, whole, strict=True):
        assert torch.equal(made, expected)
    alone = correct_classically(CLIP.pair(2), [0.0]).frames[0]
    inner = (..., slice(8, -8), slice(24, -24))
    true = CLIP.frame(2.0)[inner]
    assert psnr(whole[2][0][inner], true) > psnr(alone[inner], true)


def test_pairs_alone_at_mid_time_on_request_and_as_released() -> None:
    assert uses_neighbours(plan(), CLASSICAL)
    alone = plan(context="pair")
    assert not uses_neighbours(alone, CLASSICAL)
    expected = correct_classically(CLIP.pair(1), [0.0, 0.5]).frames
    assert torch.equal(frames_of(alone, range(1, 2))[0], expected)
    middle = ClipPlan(plan().stream, real_options(times=(0.5,)))
    assert not uses_neighbours(middle, CLASSICAL)


def test_the_motion_estimate_reaches_the_joints() -> None:
    found, expected = (
        frames_of(plan(motion_estimate="torch"), range(1)),
        frames_of(plan(), range(1)),
    )
    given = [ClipPair(CLIP.pair(number), plan().instants(number)) for number in (0, 1)]
    made = correct_clip(correct_classically, given, CLIP.scan, motion_estimate="torch")
    assert torch.equal(found[0], next(made)) and not torch.equal(found[0], expected[0])
    assert psnr(found[0], expected[0]) > 30


def test_a_cut_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    clip = plan(cut=2)
    for numbers in (range(2), range(2, COUNT)):
        frames_of(clip, numbers)
    said = capsys.readouterr().err
    assert said.count("clip: pair 2 does not follow the one before it: ") == 1
    assert "no frame is made of both" in said


def test_networks_of_certain_instants_take_no_neighbours() -> None:
    method = NamedCorrection("ifed", partial(correct, IFED(num_frames=3, width=0.04)))
    assert not uses_neighbours(plan(), method)
    with pytest.raises(InputError, match=r"ifed: its network makes frames at t = 0, 0.5, 1 only"):
        expect_any_instant(method)
