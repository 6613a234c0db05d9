from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from models.classical import lost_objects as object_motion
from models.classical.estimation import estimate_motion
from models.classical.field import CELL
from models.classical.lost_objects import find_lost_objects, match_features
from models.flow.dis import to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import compare_along_flow, measure_motion
from models.measurement.scan import Scan
from tests.helpers.moving_texture import smooth_texture

SIZE = (240, 320)
OBJECT = 56
SCAN = Scan.of(None, SIZE[0])
PLACE = (150, 60)  # column and row of the object's corner at t = 1/2


def textures() -> tuple[Array, Array]:
    """Background, and an object of small squares."""
    squares = np.random.default_rng(3).random((OBJECT // 7, OBJECT // 7, 3)).astype(np.float32)
    return 0.4 + 0.2 * smooth_texture(SIZE), np.kron(squares, np.ones((7, 7, 1), np.float32))


def views(velocity: Sequence[float], spin: float = 0.0) -> tuple[Array, Array]:
    """t2b and b2t of an object in front of a background at rest.

    It moves by `velocity` px and turns by `spin` radians per readout.
    """
    background, thing = textures()
    middle = np.array(PLACE, np.float32) + (OBJECT - 1) / 2
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    images = []
    for instant in (y / (SIZE[0] - 1), 1 - y / (SIZE[0] - 1)):
        moved = instant - 0.5
        from_x, from_y = x - middle[0] - velocity[0] * moved, y - middle[1] - velocity[1] * moved
        cos, sin = np.cos(spin * moved), np.sin(spin * moved)
        own_x = (cos * from_x + sin * from_y + (OBJECT - 1) / 2).astype(np.float32)
        own_y = (cos * from_y - sin * from_x + (OBJECT - 1) / 2).astype(np.float32)
        seen = cv2.remap(thing, own_x, own_y, cv2.INTER_LINEAR)
        inside = (own_x >= 0) & (own_x <= OBJECT - 1) & (own_y >= 0) & (own_y <= OBJECT - 1)
        images.append(np.where(inside[..., None], seen, background).astype(np.float32))
    return images[0], images[1]


def match(t2b: Luma, b2t: Luma) -> tuple[Array, Array]:
    """Matching features where flow fails, as `estimate_motion` finds them."""
    found = measure_motion((t2b, b2t), SCAN)
    brightness_difference = [
        compare_along_flow(*pair, measurement)
        for pair, measurement in zip(((t2b, b2t), (b2t, t2b)), found, strict=True)
    ]
    return match_features((t2b, b2t), found, brightness_difference)


def in_object(values: Array, margin: int = 10) -> Array:
    """The cells of a field that the object covers at t = 1/2."""
    left, top = ((corner + margin) // CELL for corner in PLACE)
    side = (OBJECT - 2 * margin) // CELL
    return values[top : top + side, left : left + side]


@pytest.mark.parametrize("velocity", [(90, 0), (-80, 20)])
def test_fast_objects_are_found(velocity: Sequence[float]) -> None:
    field = estimate_motion(*views(velocity), SCAN)
    error = np.linalg.norm(in_object(field.velocity) - velocity, axis=-1)
    assert np.median(error) < 3
    assert np.abs(field.velocity[-10:]).max() < 1  # the background below rests


def test_features_of_large_views_are_matched_at_half_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_motion, "_MAX_PIXELS", SIZE[0] * SIZE[1] - 1)
    field = estimate_motion(*views((90, 0)), SCAN)
    error = np.linalg.norm(in_object(field.velocity) - (90, 0), axis=-1)
    assert np.median(error) < 3


def test_objects_may_turn() -> None:
    field = estimate_motion(*views((80, 0), spin=0.5), SCAN)
    found = in_object(field.velocity, margin=14)
    # The left end moves up and the right end down: dvy/dx is the spin.
    slope = np.polyfit(np.arange(found.shape[1]) * CELL, found[..., 1].mean(axis=0), 1)[0]
    assert slope == pytest.approx(0.5, abs=0.15)
    assert np.median(found[..., 0]) == pytest.approx(80, abs=4)


def test_nothing_is_found_where_flow_explains_all() -> None:
    first, second = views((6, 0))
    field = estimate_motion(first, second, SCAN)
    cells = tuple(
        cv2.resize(image, (SIZE[1] // CELL, SIZE[0] // CELL), interpolation=cv2.INTER_AREA)
        for image in (first, second)
    )
    matched = match(to_luma(first), to_luma(second))
    velocity, found = find_lost_objects(matched, cells, field)  # type: ignore[arg-type]
    assert not found.any() and not velocity.any()


def test_parallax_is_not_mistaken_for_failed_flow() -> None:
    wide = 0.4 + 0.2 * smooth_texture((SIZE[0], SIZE[1] + 8))
    lumas = to_luma(wide[:, 8:]), to_luma(wide[:, :-8])
    matched = match(*lumas)
    assert [len(places) for places in matched] == [0, 0]


def test_views_without_features_give_no_motion() -> None:
    plain = np.full((2, 3, 3), 0.5, np.float32)
    assert not estimate_motion(plain, 1 - plain * 0.5, Scan(0, 1)).velocity.any()
