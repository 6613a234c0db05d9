"""Random silhouettes."""

import numpy as np
import pytest

from data.simulator.outlines import draw_outline


@pytest.mark.parametrize("seed", range(24))
def test_outlines_are_antialiased_and_stay_off_the_border(seed: int) -> None:
    height, width = 60, 90
    opacity = draw_outline(np.random.default_rng(seed), height, width)
    assert tuple(opacity.shape) == (height, width)
    for border in (opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]):
        assert not border.any()
    inside, edge = int((opacity == 1).sum()), int(((opacity > 0) & (opacity < 1)).sum())
    assert inside > 0.05 * height * width
    assert 30 < edge < 0.25 * height * width
    assert float(opacity.diff(dim=0).abs().max()) < 0.95


def test_outlines_differ_from_seed_to_seed() -> None:
    areas = {float(draw_outline(np.random.default_rng(seed), 60, 90).sum()) for seed in range(10)}
    assert len(areas) == 10
