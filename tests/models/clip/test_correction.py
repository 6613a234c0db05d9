from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from models.clip.correction import ClipPair, correct_clip
from models.clip.pair_motion import PairMotion
from models.inference.correction import Corrected, correct, correct_classically, self_ensemble
from models.parts.settings import InferenceSettings
from models.refiner.network import Refiner
from tests.helpers.frames import psnr
from tests.helpers.moving_clip import MovingClip, accelerated, uniform

TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
INNER = (..., slice(8, -8), slice(24, -24))


def clip_frames(pairs: Sequence[Tensor], scan: Tensor) -> list[Tensor]:
    given = [ClipPair(pair, TIMES) for pair in pairs]
    return list(correct_clip(correct_classically, given, scan))


def single_frames(pairs: Sequence[Tensor], scan: Tensor) -> list[Tensor]:
    return [correct_classically(pair, TIMES, scan_time=scan).frames for pair in pairs]


def test_an_accelerating_clip_gains_at_the_joint_and_on_both_sides_of_it() -> None:
    clip = MovingClip(accelerated(12, 10))
    pairs = [clip.pair(0), clip.pair(1)]
    together, alone = clip_frames(pairs, clip.scan), single_frames(pairs, clip.scan)
    for number, index in ((0, 3), (0, 4), (1, 0), (1, 1)):
        true = clip.frame(number + TIMES[index])[INNER]
        gain = psnr(together[number][index][INNER], true) - psnr(alone[number][index][INNER], true)
        assert gain > (4 if TIMES[index] in (0, 1) else 0.5)
    assert torch.equal(together[0][-1], together[1][0])
    for number in (0, 1):
        assert torch.equal(together[number][2], alone[number][2])


def test_frames_between_two_readouts_are_interpolated() -> None:
    clip = MovingClip(accelerated(10, 12), ratio=0.6)
    pairs = [clip.pair(0), clip.pair(1)]
    true = clip.frame(1)[INNER]
    joint, single = clip_frames(pairs, clip.scan)[1][0], single_frames(pairs, clip.scan)[1][0]
    assert psnr(joint[INNER], true) > psnr(single[INNER], true) + 6


def test_across_a_cut_the_frames_are_those_of_single_pairs() -> None:
    clip, other = MovingClip(uniform(6, 0)), MovingClip(uniform(-5, 2), seed=1)
    pairs, told = [clip.pair(0), other.pair(1)], []
    given = [ClipPair(pair, TIMES) for pair in pairs]
    frames = list(
        correct_clip(
            correct_classically,
            given,
            clip.scan,
            on_break=lambda number, finding: told.append((number, finding)),
        )
    )
    for made, single in zip(frames, single_frames(pairs, clip.scan), strict=True):
        assert torch.equal(made, single)
    assert [number for number, _ in told] == [1]
    assert "the scene changes" in told[0][1]


def test_each_pair_may_have_instants_of_its_own_or_none() -> None:
    clip = MovingClip(uniform(7, 2))
    given = [ClipPair(clip.pair(0), (0.6,)), ClipPair(clip.pair(1), (1.0, 0.1))]
    first, second = correct_clip(correct_classically, given, clip.scan)
    assert first.shape == (1, 3, 96, 128) and second.shape == (2, 3, 96, 128)
    assert psnr(second[1][INNER], clip.frame(1.1)[INNER]) > 35
    assert list(correct_clip(correct_classically, [], clip.scan)) == []


def test_a_method_that_knows_no_motion_makes_only_the_shared_frame_of_both_pairs() -> None:
    asked: list[tuple[float, ...]] = []

    def method(pair: Tensor, times: Sequence[float], **_: object) -> Corrected:
        asked.append(tuple(times))
        return Corrected(pair.mean(0, keepdim=True).repeat(len(times), 1, 1, 1))

    clip = MovingClip(uniform(3, 0))
    given = [ClipPair(clip.pair(number), TIMES) for number in (0, 1)]
    first, second = correct_clip(method, given, clip.scan, follows_motion=False)
    assert torch.equal(first[3], clip.pair(0).mean(0))
    assert torch.equal(first[4], second[0])
    assert not torch.equal(first[4], first[3])
    assert asked[:2] == [(0.5,), (0.5,)]


def test_a_self_ensemble_of_a_clip_shares_the_frame_of_both_pairs() -> None:
    clip = MovingClip(uniform(3, 1), size=(48, 64))
    given = [ClipPair(clip.pair(number), TIMES) for number in (0, 1)]
    method = self_ensemble(correct_classically)
    first, second = correct_clip(method, given, clip.scan, follows_motion=False)
    assert torch.equal(first[4], second[0])
    assert torch.equal(first[:4], method(clip.pair(0), TIMES[:4], scan_time=clip.scan).frames)


def test_pairs_of_another_size_are_refused() -> None:
    clip = MovingClip(uniform(3, 0))
    given = [ClipPair(clip.pair(0), TIMES), ClipPair(clip.pair(1)[..., 1:], TIMES)]
    with pytest.raises(ValueError, match="pair 1: expected .*128.* like the one before, got .*127"):
        list(correct_clip(correct_classically, given, clip.scan))


def needed_rows() -> Tensor:
    rows = torch.zeros(2, 96, dtype=torch.bool)
    rows[0, 40:50] = rows[1, :3] = rows[1, 90:] = True
    return rows


def test_needed_rows_are_those_of_whole_frames() -> None:
    clip, times, rows = MovingClip(uniform(8, 5)), (0.2, 0.9), needed_rows()
    whole = correct_classically(clip.pair(0), times, scan_time=clip.scan).frames
    part = correct_classically(clip.pair(0), times, scan_time=clip.scan, rows=rows).frames
    for frame, expected, needed in zip(part, whole, rows, strict=True):
        assert torch.equal(frame[:, needed], expected[:, needed])


def test_a_refiners_needed_rows_are_nearly_those_of_whole_frames() -> None:
    torch.manual_seed(0)
    network = Refiner(width=0.125).eval()
    for parameter in network.parameters():  # so that its untrained heads are not zero
        torch.nn.init.normal_(parameter, std=0.02)
    clip, times, rows = MovingClip(uniform(8, 5), (160, 96)), (0.2, 0.9), torch.zeros(2, 160) > 0
    rows[0, 70:80] = rows[1, :3] = True
    method = partial(correct, network)
    whole = method(clip.pair(0), times, scan_time=clip.scan).frames
    part = method(clip.pair(0), times, scan_time=clip.scan, rows=rows).frames
    for frame, expected, needed in zip(part, whole, rows, strict=True):
        assert (frame[:, needed] - expected[:, needed]).abs().max() < 0.02
    assert psnr(part[0][:, 70:80], whole[0][:, 70:80]) > 45


def test_a_refiner_chooses_alike_by_a_given_motion_and_by_its_own() -> None:
    clip, rows = MovingClip(uniform(8, 5), (160, 96)), torch.ones(1, 160) > 0
    pair = clip.pair(0).clone()
    pair[1, :, 32:48, 40:56] = 1 - pair[1, :, 32:48, 40:56]  # what t2b does not show
    method = partial(correct, Refiner(width=0.125).eval())
    field = PairMotion.of(pair, clip.scan).field
    alone = method(pair, [0.0], scan_time=clip.scan).frames
    given = method(pair, [0.0], scan_time=clip.scan, rows=rows, motion=field).frames
    averaged = method(
        pair,
        [0.0],
        scan_time=clip.scan,
        motion=field,
        settings=InferenceSettings(blending="average"),
    ).frames
    assert psnr(given, alone) > 60
    assert (given - averaged).abs().max() > 0.02
