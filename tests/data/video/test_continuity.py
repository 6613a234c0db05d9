"""Frames that are missing in one of two views."""

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from data.video.continuity import find_changes, find_odd_pairs, find_offset
from data.video.pairing import Change
from tests.helpers.clips import moving_clip

SIZE = (48, 64)  # of the thumbnails


def views(count: int, step: float = 3) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey views of a moving photo, the second shifted by a pixel, with noise and another gain."""
    clip = moving_clip(count, step=step, size=SIZE)
    t2b, b2t = (np.stack([pair[view][..., 1] for pair in clip]).astype(float) for view in (0, 1))
    noise = np.random.default_rng(0)
    b2t = 0.9 * np.roll(b2t, 1, axis=2) + 10
    shown = [view + noise.normal(0, 1, view.shape) for view in (t2b, b2t)]
    first, second = (view.clip(0, 255).astype(np.uint8) for view in shown)
    return first, second


@pytest.mark.parametrize("gap", [3, 11, 20])
def test_the_place_of_a_missing_frame_is_found(gap: int) -> None:
    t2b, b2t = views(26)
    whole, lost = np.arange(25), np.delete(np.arange(26), gap)
    assert find_changes(t2b[whole], b2t[lost]) == (Change(gap + 1, -1),)
    assert find_changes(t2b[lost], b2t[whole]) == (Change(gap, 1),)


def test_two_gaps_are_found() -> None:
    t2b, b2t = views(34)
    first, second = np.delete(np.arange(34), 22), np.delete(np.arange(34), 9)
    assert find_changes(t2b[first], b2t[second]) == (Change(10, -1), Change(22, 0))


@pytest.mark.parametrize("step", [0, 0.2, 1, 3, 6])
def test_good_clips_raise_no_alarm(step: float) -> None:
    assert find_changes(*views(24, step)) == ()


@pytest.mark.parametrize("speed", [3, 4])
def test_a_pan_that_comes_to_rest_raises_no_alarm(speed: float) -> None:
    """Its rows move by whole pixels: near rest, rounding decides which pictures agree."""
    photo = cv2.resize(skimage.data.astronaut(), (1100, 700))[..., 1]
    photo = cv2.GaussianBlur(photo, (0, 0), 1)
    rows, columns = np.arange(240)[:, None], np.arange(320)

    def view(scan: NDArray[np.float64]) -> NDArray[np.uint8]:
        at = (n + scan for n in range(32, 50))
        steps = (np.floor(speed * (t + 5 * np.sin(t / 5))).astype(int) + 60 for t in at)
        shown = [photo[100 + rows, step[:, None] + columns] for step in steps]
        small = [cv2.resize(each, SIZE[::-1], interpolation=cv2.INTER_AREA) for each in shown]
        return np.stack(small).astype(np.uint8)

    scan = np.arange(240) / 240
    assert find_changes(view(scan), view(scan[::-1])) == ()


def test_short_and_even_clips_raise_no_alarm() -> None:
    assert find_changes(*views(4)) == ()
    even = np.full((20, *SIZE), 90, np.uint8)
    assert find_changes(even, even) == ()


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("offset", [0, 1, 4, -3])
def test_the_offset_of_recordings_is_found(offset: int, step: float) -> None:
    first, second = views(28, step)
    first, second = first[max(0, offset) :], second[max(0, -offset) :]
    assert find_offset(first, second) == offset
    if abs(offset) != 1:  # by a single frame the recordings fit nearly as well
        assert find_offset(first, second, search=False) == offset


def test_no_offset_is_made_up() -> None:
    still, other = views(24, 0)[0], np.roll(views(24, 3)[0], 9, axis=1)
    assert find_offset(still, still) == find_offset(still, other) == 0
    assert find_offset(*views(8)) == 0
    even = np.full((20, *SIZE), 90, np.uint8)
    assert find_offset(even, even) == 0


def test_odd_pairs_are_told_where_a_gap_is_too_near_an_end() -> None:
    t2b, b2t = views(26)
    assert find_odd_pairs(t2b, b2t) == []
    lost = b2t[np.delete(np.arange(26), 23)]
    assert find_changes(t2b[:25], lost) == () and find_odd_pairs(t2b[:25], lost) == [24]
    exchanged = np.arange(26)
    exchanged[[12, 13]] = 13, 12
    assert find_odd_pairs(t2b, b2t[exchanged]) == [12, 13]
    still = np.full((20, *SIZE), 90, np.uint8)
    assert find_odd_pairs(still, still) == find_odd_pairs(t2b[:4], b2t[:4]) == []
