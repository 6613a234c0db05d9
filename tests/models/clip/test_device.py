"""Motion of clips by tensors: as good as by OpenCV, and nearly without waiting for the device."""

from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from models.clip.continuity import compare_pairs
from models.clip.correction import ClipPair, correct_clip
from models.clip.joints import parts_of
from models.clip.motion import Joined, join_motion
from models.clip.pair_motion import PairMotion
from models.device_motion import estimation
from models.device_motion.feature_search import Matching
from models.inference.correction import correct, correct_classically
from models.parts.settings import Blending, MotionEstimate
from models.refiner.cues import cues_of
from models.refiner.network import Refiner
from tests.helpers.device_work import WAITING, Operations, Reads
from tests.helpers.frames import psnr
from tests.helpers.moving_clip import MovingClip, accelerated, uniform

TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
INNER = (..., slice(8, -8), slice(24, -24))
CLIP = MovingClip(accelerated(8, 6))


@cache
def motions(estimate: MotionEstimate) -> tuple[PairMotion, PairMotion]:
    before, after = (PairMotion.of(CLIP.pair(number), CLIP.scan, estimate) for number in (0, 1))
    return before, after


@cache
def joined(estimate: MotionEstimate) -> Joined:
    return join_motion(*motions(estimate), parts_of(CLIP.scan))


def test_frames_are_as_good_as_with_opencv() -> None:
    given = [ClipPair(CLIP.pair(number), TIMES) for number in (0, 1)]
    by_torch, by_opencv = (
        list(correct_clip(correct_classically, given, CLIP.scan, motion_estimate=estimate))
        for estimate in ("torch", "opencv")
    )
    assert torch.equal(by_torch[0][-1], by_torch[1][0])
    for number, index in ((0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2)):
        true = CLIP.frame(number + TIMES[index])[INNER]
        expected = psnr(by_opencv[number][index][INNER], true)
        assert psnr(by_torch[number][index][INNER], true) > expected - 0.5  # one small scene: dB


@pytest.mark.parametrize(("number", "words"), [(1, "None"), (2, "are missing"), (0, "repetition")])
def test_missing_and_repeated_pairs_are_noticed(number: int, words: str) -> None:
    before, other = motions("torch")[0], PairMotion.of(CLIP.pair(number), CLIP.scan, "torch")
    found = compare_pairs(before, other, join_motion(before, other, parts_of(CLIP.scan)))
    assert words in str(found.finding)


def test_only_one_read_decides_whether_pairs_follow_each_other() -> None:
    before, after = motions("torch")
    parts = parts_of(CLIP.scan)
    with Operations() as seen, Reads() as reads:
        found = join_motion(before, after, parts)
    assert not reads.counts and not WAITING & set(seen.counts)
    assert seen.counts["grid_sampler_2d"]
    with Reads() as reads:
        compare_pairs(before, after, found)
    assert reads.counts == {"tolist": 1}


@pytest.mark.slow
def test_all_stays_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in tests/models/device_motion/test_estimation.py.
    nothing = nullcontext(Matching([]))
    monkeypatch.setattr(estimation, "match_features_of", lambda *_: nothing)
    parts = parts_of(CLIP.scan)
    with FakeTensorMode():
        pairs = torch.empty(2, 2, 3, 96, 128, device="cuda")
        before, after = (PairMotion.of(pair, torch.empty(96).double(), "auto") for pair in pairs)
        found = join_motion(before, after, parts)
        cues = cues_of(found.fields[0], TIMES, (96, 128))
    field = found.fields[0]
    tensors: Any = (field.velocity, field.deviation, field.disagreement, *found[1:], *cues)
    assert {part.device.type for part in tensors} == {"cuda"}
    assert cues.packed.shape == (5, 15, 24, 32)


def test_a_refiner_takes_the_motion_at_a_joint() -> None:
    torch.manual_seed(0)
    method = partial(correct, Refiner(width=0.125).eval())
    part = parts_of(CLIP.scan)[0]
    pair = part.pair(CLIP.pair(0), CLIP.pair(1))
    field = joined("torch").fields[0]
    rows = (part.share > 0)[None]
    made, by_arrays = (
        method(pair, [0.5], scan_time=part.scan_time, rows=rows, motion=motion).frames
        for motion in (field, field.on_host)
    )
    assert psnr(made[..., rows[0], :], by_arrays[..., rows[0], :]) > 45


def test_a_joints_motion_as_arrays() -> None:
    field = joined("torch").fields[1]
    host = field.on_host
    assert host is field.on_host and host.on_host is host
    assert host.velocity is host.camera and host.scan.first < 0 < host.scan.row_time
    np.testing.assert_array_equal(host.deviation, np.asarray(field.deviation)[0])
    instant = np.float32(0.8)
    expected = field.basis(torch.full((1, 1, 1), 0.8))  # type: ignore[arg-type]
    np.testing.assert_allclose(host.basis(instant), np.asarray(expected)[0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("blending", ["choose", "average"])
@pytest.mark.parametrize("estimate", ["torch", "opencv"])
@pytest.mark.parametrize("size", [(2, 9), (7, 33)])
def test_any_size(size: tuple[int, int], estimate: MotionEstimate, blending: Blending) -> None:
    clip = MovingClip(uniform(1, 0), size)
    given = [ClipPair(clip.pair(number), (0.0, 1.0)) for number in (0, 1)]
    method = partial(correct_classically, blending=blending)
    frames = list(
        correct_clip(method, given, clip.scan, blending=blending, motion_estimate=estimate)
    )
    assert [part.shape for part in frames] == 2 * [(2, 3, *size)]
    assert all(part.isfinite().all() for part in frames)
