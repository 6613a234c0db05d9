from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.classical.evidence import Evidence, collect_evidence, gather
from models.classical.field import MotionField
from models.flow.dis import to_luma
from models.measurement.arrays import Array, Luma
from models.measurement.flow_measurement import Measurement, measure_motion
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan
from tests.helpers.moving_texture import smooth_texture

HEIGHT, WIDTH = 96, 128
SCAN = Scan.of(None, HEIGHT)
BOX = slice(8, 40), slice(40, 90)  # rows and columns of a moving object
STEP = 4  # px by which it is further right in b2t
LATER = BOX[0], slice(BOX[1].start + STEP, BOX[1].stop + STEP)
ASIDE = 6  # px of parallax


def rest(measurements: tuple[Measurement, Measurement]) -> MotionField:
    """The field of a camera and a scene at rest."""
    still = np.zeros((HEIGHT // 4, WIDTH // 4, 2), np.float32)
    deviation = np.zeros((*still.shape, 3), np.float32)
    return MotionField(still, still, deviation, Parallax.none(WIDTH), measurements, SCAN)


def with_flow(views: tuple[Luma, Luma], flows: Sequence[Array]) -> MotionField:
    """The field of a camera at rest, with these measured flows (H, W, 2) of t2b and b2t."""
    t2b, b2t = (
        found._replace(flow=flow, confidence=np.ones_like(found.confidence))
        for found, flow in zip(measure_motion(views, SCAN), flows, strict=True)
    )
    return rest((t2b, b2t))


def moving_box() -> tuple[tuple[Luma, Luma], tuple[Array, Array]]:
    """Views in which a box moves, and their flows, which are zero elsewhere."""
    background, box = (to_luma(smooth_texture((HEIGHT, WIDTH), seed=seed)) for seed in (1, 2))
    t2b, b2t = background.copy(), background.copy()
    there, back = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    t2b[BOX] = b2t[LATER] = box[BOX]
    there[BOX], back[LATER] = (STEP, 0), (-STEP, 0)
    return (t2b, b2t), (there, back)


def asked(rows: slice, columns: slice) -> tuple[slice, slice]:
    """Indices into the evidence of a region's every second pixel, away from its edges."""
    return (
        slice(rows.start // 2 + 3, rows.stop // 2 - 3),
        slice(columns.start // 2 + 3, columns.stop // 2 - 3),
    )


def check_box(evidence: Evidence, place: tuple[slice, slice], step: float) -> None:
    """The box has its own flow, and the background the camera's."""
    box = evidence.measured.flow[asked(*place)]
    np.testing.assert_allclose(box, np.broadcast_to((step, 0), box.shape))
    np.testing.assert_array_equal(evidence.measured.flow[32:], 0)


def test_flow_that_the_images_do_not_support_becomes_the_cameras() -> None:
    view = to_luma(smooth_texture((HEIGHT, WIDTH)))
    wrong = np.full((2, HEIGHT, WIDTH, 2), 0.05, np.float32)
    for evidence in collect_evidence(with_flow((view, view), wrong), (view, view)):
        np.testing.assert_array_equal(evidence.measured.flow, 0)


@pytest.mark.parametrize(("gain", "level"), [(1.0, 0), (0.9, 12)])
def test_moving_objects_keep_their_flow(gain: float, level: int) -> None:
    """Even if one view is darker than the other."""
    (t2b, b2t), flows = moving_box()
    b2t = np.rint(gain * b2t.astype(np.float32) + level).astype(np.uint8)
    first, second = collect_evidence(with_flow((t2b, b2t), flows), (t2b, b2t))
    check_box(first, BOX, STEP)
    check_box(second, LATER, -STEP)


def test_views_are_compared_with_their_parallax() -> None:
    (t2b, b2t), (there, back) = moving_box()
    views, flows = (t2b, np.roll(b2t, ASIDE, axis=1)), (there, np.roll(back, ASIDE, axis=1))
    field = with_flow(views, flows)
    aside = field.parallax._replace(middle=np.array([ASIDE, 0], np.float32))
    first, second = collect_evidence(replace(field, parallax=aside), views)
    check_box(first, BOX, STEP)
    check_box(second, (LATER[0], slice(LATER[1].start + ASIDE, LATER[1].stop + ASIDE)), -STEP)
    columns = np.arange(0, WIDTH, 2)
    for evidence, side in ((first, 1), (second, -1)):  # as a camera between both sees them
        np.testing.assert_allclose(evidence.place[0][0], columns + side * ASIDE / 2)
        np.testing.assert_allclose(evidence.place[1][:, 0], np.arange(0, HEIGHT, 2))


def one_measurement(flow: float, confidence: float) -> Evidence:
    """Evidence of the pixel (6, 6), exposed at t = 1/2 and matched half a readout later."""
    place = np.full((1, 1), 6, np.float32), np.full((1, 1), 6, np.float32)
    half, nothing = np.full((1, 1), 0.5, np.float32), np.zeros((1, 1, 3), np.float32)
    moved = np.array([[[flow, 0]]], np.float32)
    sure = np.full((1, 1), confidence, np.float32)
    return Evidence(place, Measurement(moved, half, half, sure), nothing, nothing)


@pytest.mark.parametrize(
    ("flow", "confidence", "influence"), [(0.5, 1.0, 1.0), (0.5, 0.25, 0.25), (4.0, 1.0, 0.25)]
)
def test_normal_equations_of_one_measurement_by_hand(
    flow: float, confidence: float, influence: float
) -> None:
    """Sums of gap² and gap * flow over two views of four pixels a cell; residuals above a pixel
    have Huber weights."""
    nothing = np.zeros((HEIGHT, WIDTH), np.float32)
    measurement = Measurement(np.zeros((HEIGHT, WIDTH, 2), np.float32), nothing, nothing, nothing)
    field = rest((measurement, measurement))
    evidence = one_measurement(flow, confidence)
    weight, pull = gather(field, field.velocity, (evidence, evidence))
    assert weight[1, 1] == pytest.approx(influence * 0.5**2 * 2 / 8)
    assert pull[1, 1] == pytest.approx((influence * 0.5 * flow * 2 / 8, 0))
    assert np.count_nonzero(weight) == 1 and np.count_nonzero(pull) == 1
