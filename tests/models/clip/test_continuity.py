import pytest
import torch
from torch import Tensor

from models.clip.continuity import Continuity, compare_pairs
from models.clip.joints import parts_of
from models.clip.motion import join_motion
from models.clip.pair_motion import PairMotion
from tests.helpers.moving_clip import MovingClip, uniform


def compare(before: Tensor, after: Tensor, scan: Tensor) -> Continuity:
    motions = PairMotion.of(before, scan), PairMotion.of(after, scan)
    return compare_pairs(*motions, join_motion(*motions, parts_of(scan)))


@pytest.mark.parametrize("velocity", [(0.0, 0.0), (1.5, -1.0), (12.0, 4.0), (-20.0, 0.0)])
def test_pairs_that_follow_each_other_are_accepted(velocity: tuple[float, float]) -> None:
    clip = MovingClip(uniform(*velocity))
    found = compare(clip.pair(0), clip.pair(1), clip.scan)
    assert found.finding is None
    assert abs(found.missing) < 0.2 and found.matched > 0.6


@pytest.mark.parametrize(("number", "missing", "words"), [(2, 1, "are missing"), (0, -1, "repet")])
def test_missing_and_repeated_pairs_are_noticed(number: int, missing: int, words: str) -> None:
    clip = MovingClip(uniform(9, 3))
    found = compare(clip.pair(0), clip.pair(number), clip.scan)
    assert found.missing == pytest.approx(missing, abs=0.3)
    assert words in str(found.finding)


def test_a_readout_shorter_than_the_interval_counts_missing_intervals_alike() -> None:
    clip = MovingClip(uniform(9, 3), ratio=0.6)
    assert compare(clip.pair(0), clip.pair(1), clip.scan).finding is None
    assert compare(clip.pair(0), clip.pair(2), clip.scan).missing == pytest.approx(1, abs=0.3)


def test_a_cut_is_noticed() -> None:
    clip, other = MovingClip(uniform(6, 0)), MovingClip(uniform(-5, 2), seed=1)
    found = compare(clip.pair(0), other.pair(1), clip.scan)
    assert "the scene changes" in str(found.finding)


def test_rest_tells_nothing_about_missing_pairs() -> None:
    pair = MovingClip(uniform(0, 0)).pair(0)
    assert compare(pair, pair, torch.linspace(0, 1, 96)) == (pytest.approx(1, abs=0.1), 0)
