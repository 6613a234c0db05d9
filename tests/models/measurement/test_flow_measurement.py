import numpy as np
import pytest
import torch

from models.flow.dis import to_luma
from models.measurement.arrays import Luma
from models.measurement.flow_measurement import (
    Measurement,
    compare_along_flow,
    measure_motion,
    measure_noise,
    measure_pair,
)
from models.measurement.scan import Scan
from tests.helpers.moving_texture import Pan, smooth_texture


def lumas(pan: Pan) -> tuple[Luma, Luma]:
    t2b, b2t = map(to_luma, pan.views())
    return t2b, b2t


def test_without_motion_the_gap_is_that_of_the_scans() -> None:
    view = to_luma(smooth_texture((21, 40)))
    t2b, b2t = measure_motion((view, view), Scan(0, 0.05))
    rows = np.linspace(0, 1, 21, dtype=np.float32)[:, None] + np.zeros((1, 40), np.float32)
    for measurement, own in ((t2b, rows), (b2t, 1 - rows)):
        np.testing.assert_allclose(measurement.own, own, atol=1e-6)
        np.testing.assert_allclose(measurement.gap, 1 - 2 * own, atol=1e-4)
        np.testing.assert_allclose(measurement.flow, np.zeros((21, 40, 2)), atol=1e-3)
        assert measurement.confidence[1:-1, 1:-1].min() > 0.99
        assert measurement.confidence.dtype == np.float32


def test_flow_is_motion_over_the_gap() -> None:
    pan = Pan((8, 0), (96, 128))
    for measurement in measure_motion(lumas(pan), pan.scan):
        expected = measurement.gap[..., None] * (8, 0)
        error = np.abs(measurement.flow - expected)[8:-8, 16:-16]
        assert np.median(error) < 0.1 and np.quantile(error, 0.95) < 0.5


def test_refined_flow_is_more_accurate() -> None:
    pan = Pan((8, -3), (96, 128))
    searched, refined = (
        np.median(np.abs(found.flow - found.gap[..., None] * (8, -3))[8:-8, 16:-16])
        for found, _ in (
            measure_motion(lumas(pan), pan.scan, refined=flag) for flag in (False, True)
        )
    )
    assert refined < searched


def test_matches_outside_the_image_are_not_trusted() -> None:
    pan = Pan((24, 0), (64, 96))
    t2b, _ = measure_motion(lumas(pan), pan.scan)
    assert t2b.flow[0, -12:, 0].mean() > 12  # the first row of b2t is exposed last
    assert t2b.confidence[0, -12:].max() == 0


def test_tensors_are_measured_like_arrays() -> None:
    pan = Pan((6, -4), (60, 80), scan=Scan(0.25, 0.5 / 59))
    pair = torch.from_numpy(np.stack(pan.views())).permute(0, 3, 1, 2)
    stated = torch.linspace(0.25, 0.75, 60)
    for found, expected in zip(
        measure_pair(pair, stated), measure_motion(lumas(pan), pan.scan), strict=True
    ):
        for part, same in zip(found, expected, strict=True):
            np.testing.assert_allclose(part, same, atol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_noise_is_measured_in_spite_of_motion(noise: float) -> None:
    rng = np.random.default_rng(0)
    clean = (0.2 + 0.6 * view for view in Pan((6, 2), (96, 128)).views())
    t2b, b2t = (
        to_luma(view + noise * rng.standard_normal((96, 128, 1)).astype(np.float32))
        for view in clean
    )
    measurement, _ = measure_motion((t2b, b2t), Scan.of(None, 96))
    found = measure_noise(compare_along_flow(t2b, b2t, measurement), measurement)
    assert found == pytest.approx(noise, rel=0.25, abs=0.004)


def test_without_matches_the_noise_is_zero() -> None:
    none = np.zeros((20, 30), np.float32)
    assert measure_noise(none, Measurement(np.stack((none, none), -1), *[none] * 3)) == 0


def test_brightness_is_compared_at_matches() -> None:
    ramp = np.tile(np.arange(0, 60, 2, dtype=np.uint8), (20, 1))
    none = np.zeros((20, 30), np.float32)
    measurement = Measurement(np.stack((none + 3, none), -1), none, none, none + 1)
    difference = compare_along_flow(ramp, ramp, measurement)
    np.testing.assert_allclose(difference[:, :-3], -6)  # three columns on it is 6 levels brighter
