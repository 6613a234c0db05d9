"""Pixels that neither view shows, and the largest part that is seen."""

import itertools

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.inference.correction import correct_classically
from models.inference.unseen import Rectangle, largest_rectangle, seen_in_views
from tests.helpers.moving_texture import Pan


def test_a_pixel_is_seen_if_one_view_holds_it() -> None:
    flows = torch.zeros(1, 2, 2, 3, 4)
    flows[0, :, 0, 1] = 2  # the middle row moves by 2 px to the right in both views
    flows[0, 0, 0, 2], flows[0, 1, 0, 2] = 2, 0  # the last row in t2b only
    flows[0, :, 1, 0, 0] = -0.5  # half a pixel beyond the border counts as inside
    assert seen_in_views(flows)[0].int().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]
    flows[0, :, 1, 0, 0] = -0.6
    assert not seen_in_views(flows)[0, 0, 0]


def test_dark_borders_show_nothing() -> None:
    flows = torch.zeros(1, 2, 2, 4, 5)
    seen = seen_in_views(flows, ((1, 0, 0, 2), (2, 1, 0, 1)))[0].int().tolist()
    assert seen == [[0, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]


def test_a_pan_leaves_a_wedge() -> None:
    """At t = 0 row s is seen after min(s, 1 - s) readouts, when columns have left the view."""
    pan = Pan((16, 0), (96, 160))
    made = correct_classically(pan.pair(), [0.0, 0.5], with_flows=True)
    assert made.flows is not None
    unseen = ~seen_in_views(made.flows)
    s = torch.arange(96) / 95
    wedge = 16 * torch.minimum(s, 1 - s)
    assert (unseen[0].sum(1) - wedge).abs().max() < 1.5
    assert not unseen[0, :, :-9].any() and not unseen[1].any()
    rectangle = largest_rectangle((~unseen[0]).numpy())
    assert rectangle is not None and rectangle.height == 96 and 151 <= rectangle.width <= 153


def brute(seen: NDArray[np.bool_]) -> int:
    sides = [range(side + 1) for side in seen.shape]
    spans = [list(itertools.combinations(side, 2)) for side in sides]
    return max(
        ((b - a) * (d - c) for a, b in spans[0] for c, d in spans[1] if seen[a:b, c:d].all()),
        default=0,
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_rectangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.random((rng.integers(1, 7), rng.integers(1, 8))) < rng.choice([0.5, 0.8, 1])
    found = largest_rectangle(seen)
    if found is None:
        assert not seen.any()
        return
    assert found.width * found.height == brute(seen)
    assert found.cut(torch.from_numpy(seen)).all()


def test_nothing_seen_has_no_rectangle() -> None:
    assert largest_rectangle(np.zeros((3, 4), bool)) is None
    assert largest_rectangle(np.ones((3, 4), bool)) == Rectangle(0, 0, 4, 3)
