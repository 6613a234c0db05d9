from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.camera.path import DEVIATION_TERMS
from models.classical.field import (
    CELL,
    MotionField,
    cell_centres,
    enlarge_cells,
    enlarge_strip,
    sample_frame,
)
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan

SIZE = (81, 60)


def uniform_field(
    velocity: tuple[float, float],
    *,
    parallax: tuple[float, float] = (0.0, 0.0),
    deviation: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
) -> MotionField:
    """A field of equal velocities, with exact measurements."""
    cells = (-(-SIZE[0] // CELL), -(-SIZE[1] // CELL))
    field = np.broadcast_to(np.array(velocity, np.float32), (*cells, 2)).copy()
    rows = np.mgrid[: SIZE[0], : SIZE[1]][0].astype(np.float32)
    measurements = []
    for own, pace in ((rows / 80, 1), (1 - rows / 80, -1)):
        # A point meets the other scan after gap: 1 - own - pace * gap * dy / 80 = own + gap.
        gap = (1 - 2 * own) / (1 + pace * velocity[1] / 80)
        flow = (gap[..., None] * np.array(velocity, np.float32)).astype(np.float32)
        measurements.append(Measurement(flow, own, gap, np.ones_like(gap)))
    spread = np.broadcast_to(np.array(deviation, np.float32), (*cells, 2, DEVIATION_TERMS)).copy()
    return MotionField(
        field,
        field,
        spread,
        Parallax.none(SIZE[1])._replace(middle=np.array(parallax, np.float32)),
        (measurements[0], measurements[1]),
        Scan(0, 1 / 80),
    )


def test_cell_centres_lie_between_pixels() -> None:
    x, y = cell_centres(2, 3)
    np.testing.assert_array_equal(x, [(1.5, 5.5, 9.5)] * 2)
    np.testing.assert_array_equal(y, [(1.5,) * 3, (5.5,) * 3])


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_points_are_exposed_where_they_meet_the_scan(t: float) -> None:
    t2b, b2t = sample_frame(uniform_field((6, -10)), t, uniform_field((6, -10)).velocity)
    x, y = cell_centres(*t2b.x.shape)
    # Row y - 10 (s - t) is read at s = row / 80, and in b2t at s = 1 - row / 80.
    for view, instant in ((t2b, (y + 10 * t) / 90), (b2t, (80 - y - 10 * t) / 70)):
        np.testing.assert_allclose(view.offset, instant - t, atol=1e-5)
        np.testing.assert_allclose(view.x, x + 6 * (instant - t), atol=1e-3)
        np.testing.assert_allclose(view.y, y - 10 * (instant - t), atol=1e-3)
    inside = (t2b.y > 0) & (t2b.y < 80) & (t2b.x > 0) & (t2b.x < 59)
    assert t2b.mismatch[inside].max() < 1e-3 and b2t.mismatch[inside].max() < 1e-3


def test_motion_is_counted_in_readouts() -> None:
    field = uniform_field((6, -10))
    short = replace(field, readout=0.25)
    for t, instant in ((0.0, -1.5), (0.375, 0.0), (0.5, 0.5), (0.625, 1.0)):
        for own, other in zip(
            sample_frame(short, t, field.velocity),
            sample_frame(field, instant, field.velocity),
            strict=True,
        ):
            for found, expected in zip(own, other, strict=True):
                np.testing.assert_array_equal(found, expected)


def test_views_are_displaced_by_half_the_parallax() -> None:
    field = uniform_field((0, 0), parallax=(6, -4))
    t2b, b2t = sample_frame(field, 0.5, field.velocity, with_mismatch=False)
    x, y = cell_centres(*t2b.x.shape)
    np.testing.assert_allclose(t2b.x, x - 3, atol=1e-5)
    np.testing.assert_allclose(t2b.y, y + 2, atol=1e-5)
    np.testing.assert_allclose(b2t.x, x + 3, atol=1e-5)
    np.testing.assert_allclose(b2t.y, y - 2, atol=1e-5)
    assert not t2b.mismatch.any()


def test_deviations_displace_between_the_middle_and_the_ends() -> None:
    field = uniform_field((0, 0), deviation=((16, 0, 0), (0, 0, -1)))
    t2b, _ = sample_frame(field, 0.5, field.velocity)
    x, y = cell_centres(*t2b.x.shape)
    e = np.clip(t2b.offset, -0.5, 0.5)
    np.testing.assert_allclose(t2b.x, x + 16 * (e - 4 * e**3), atol=1e-3)
    np.testing.assert_allclose(t2b.y, y - (np.cos(np.pi * e) - 1), atol=5e-3)


def test_mismatch_is_the_distance_between_flow_and_motion() -> None:
    field = uniform_field((0, 0))
    t2b, b2t = sample_frame(field, 0.5, np.full_like(field.velocity, 8))
    rows, columns = t2b.x.shape
    middle = np.s_[2 : rows - 3, 2 : columns - 3]
    # Over the gap 1 - 2 s, motion by (8, 8) px per readout predicts what flow does not show.
    expected = np.hypot(8, 8) * np.abs(2 * t2b.offset)
    np.testing.assert_allclose(t2b.mismatch[middle], expected[middle], atol=0.05)
    assert b2t.mismatch[middle].max() > 5


@pytest.mark.parametrize(("top", "bottom"), [(0, 42), (3, 4), (12, 30), (39, 42)])
def test_tensors_are_enlarged_alike(top: int, bottom: int) -> None:
    cells = np.random.default_rng(0).random((11, 9, 2)).astype(np.float32)
    expected = enlarge_strip(cells, slice(top, bottom), 35)
    tensors: Any = torch.from_numpy(cells)[None]
    found = enlarge_strip(tensors, slice(top, bottom), 35)
    np.testing.assert_allclose(np.asarray(found)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("top", "bottom"), [(0, 42), (3, 4), (12, 30), (39, 42)])
def test_strips_equal_the_enlarged_whole(top: int, bottom: int) -> None:
    cells = np.random.default_rng(0).random((11, 9, 2)).astype(np.float32)
    whole = enlarge_cells(cells, (42, 35))
    np.testing.assert_array_equal(enlarge_strip(cells, slice(top, bottom), 35), whole[top:bottom])
