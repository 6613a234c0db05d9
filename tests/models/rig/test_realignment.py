import math

import pytest
from torch import Tensor

from models.rig import realignment
from models.rig.alignment import Alignment
from models.rig.realignment import try_alignment
from tests.helpers.moving_texture import Pan

SIZE = (96, 160)


def after_it(monkeypatch: pytest.MonkeyPatch, found: Alignment) -> None:
    """Let `found` be what is measured on the aligned views."""
    monkeypatch.setattr(realignment, "estimate_alignment", lambda pairs, scan: found)


@pytest.mark.parametrize(
    ("alignment", "is_tried"),
    [
        (Alignment((20, -9), strips=40), False),
        (Alignment((0, 0), math.radians(0.5), strips=40), False),  # 0.8 px at the corners
        (Alignment((0, 0), math.radians(3), spread=0.1, strips=40), True),  # 4.9 px
        (Alignment((0, 0), math.radians(3), spread=0.3, strips=40), False),  # not certain
    ],
)
def test_a_method_that_compensates_needs_a_large_certain_turn(
    monkeypatch: pytest.MonkeyPatch, alignment: Alignment, is_tried: bool
) -> None:
    after_it(monkeypatch, Alignment(strips=40))
    pairs = [Pan((4, 2), SIZE).pair()]
    made = try_alignment(pairs, alignment, compensates=True)
    assert (made.after is not None) == made.helps == is_tried
    assert try_alignment(pairs, alignment, compensates=False).helps


@pytest.mark.parametrize(
    ("found", "helps"),
    [
        (Alignment((3, 0), spread=0.4, strips=40), True),
        (Alignment((3.2, 0), spread=0.4, strips=40), False),  # more than half remains
        (Alignment((0, 0), spread=0.5, strips=40), False),  # strips agree less
        (Alignment(), False),  # nothing can be measured
    ],
)
def test_it_is_kept_only_if_it_helped(
    monkeypatch: pytest.MonkeyPatch, found: Alignment, helps: bool
) -> None:
    after_it(monkeypatch, found)
    before = Alignment((6, 0), spread=0.3, strips=40)
    made = try_alignment([Pan((4, 2), SIZE).pair()], before, compensates=False)
    assert made == (before, found, helps)


def test_a_shift_of_a_moving_capture_is_undone() -> None:
    size = (128, 224)
    pair: Tensor = Pan((9, -6), size, parallax=(6.3, 2.1)).pair()
    made = try_alignment([pair], Alignment((6.3, 2.1), strips=40), compensates=False)
    assert made.helps and made.after is not None
    assert made.after.max_displacement(size) < 0.5
