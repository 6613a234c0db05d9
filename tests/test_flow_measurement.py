import numpy as np
import numpy.typing as npt
import pytest

from models.flow_measurement import Measurement, estimate_parallax, measure_motion, sample_image
from tests.moving_texture import Pan, smooth_texture

Array = npt.NDArray[np.float32]


def synthetic(parallax: tuple[float, float], *, noise: float = 0.1) -> tuple[Measurement, ...]:
    """Measurements (96, 200) of a moving scene with an object, and with noise of its own each."""
    rng = np.random.default_rng(0)
    rows = np.mgrid[:96, :200][0].astype(np.float32)
    measurements = []
    for sign in (1, -1):
        gap = sign * (1 - 2 * rows / 95)
        velocity = np.full((96, 200, 2), (20, -7), np.float32)
        velocity[30:70, 80:130] = (-35, 12)
        flow = velocity * gap[..., None] + sign * np.array(parallax)
        flow += rng.normal(scale=noise, size=flow.shape)
        own = (1 - gap) / 2
        measurements.append(Measurement(flow.astype(np.float32), own, gap, np.ones_like(gap)))
    return tuple(measurements)


@pytest.mark.parametrize("parallax", [(5.0, 0.0), (-3.0, 10.0), (0.4, -0.3)])
def test_parallax_is_what_flow_leaves_where_there_is_no_gap(parallax: tuple[float, float]) -> None:
    found = estimate_parallax(*synthetic(parallax))
    np.testing.assert_allclose(found, parallax, atol=0.05)


def test_hardly_any_parallax_counts_as_none() -> None:
    assert not estimate_parallax(*synthetic((0.2, -0.1))).any()


def test_parallax_in_doubt_counts_as_none() -> None:
    first, second = synthetic((0.0, 0.0))
    # Strips that disagree by far more than their median differs from nothing.
    drift = np.linspace(-10, 12, 200, dtype=np.float32)[:, None]
    first, second = (
        first._replace(flow=first.flow + drift),
        second._replace(flow=second.flow - drift),
    )
    assert not estimate_parallax(first, second).any()
    shifted = first._replace(flow=first.flow + 20), second._replace(flow=second.flow - 20)
    assert np.hypot(*estimate_parallax(*shifted)) > 20


def test_without_trusted_measurements_there_is_no_parallax() -> None:
    blind = [part._replace(confidence=0 * part.gap) for part in synthetic((5.0, 0.0))]
    np.testing.assert_array_equal(estimate_parallax(*blind), (0, 0))


def test_at_rest_the_gap_is_that_of_the_readouts() -> None:
    image = smooth_texture((21, 40))
    t2b, b2t = measure_motion(image, image, (0.0, 0.05))
    rows = np.linspace(0, 1, 21, dtype=np.float32)[:, None] + np.zeros((1, 40), np.float32)
    for measurement, own in ((t2b, rows), (b2t, 1 - rows)):
        np.testing.assert_allclose(measurement.own, own, atol=1e-6)
        np.testing.assert_allclose(measurement.gap, 1 - 2 * own, atol=1e-4)
        np.testing.assert_allclose(measurement.flow, np.zeros((21, 40, 2)), atol=1e-3)
        assert measurement.confidence[1:-1, 1:-1].min() > 0.99
        assert measurement.confidence.dtype == np.float32


def test_flow_is_motion_over_the_gap() -> None:
    pan = Pan((8, 0), (96, 128))
    for measurement in measure_motion(*pan.views(), pan.scan):
        expected = measurement.gap[..., None] * (8, 0)
        error = np.abs(measurement.flow - expected)[8:-8, 16:-16]
        assert np.median(error) < 0.1 and np.quantile(error, 0.95) < 0.5


def test_matches_outside_the_image_are_not_trusted() -> None:
    pan = Pan((24, 0), (64, 96))
    t2b, _ = measure_motion(*pan.views(), pan.scan)
    assert t2b.flow[0, -12:, 0].mean() > 12  # the first row of b2t is exposed last: all went right
    assert t2b.confidence[0, -12:].max() == 0


def test_sampling_is_bilinear_and_holds_the_border() -> None:
    values = np.array(((0, 1), (2, 3)), np.float32)
    x = np.array(((0.5, 1, -4, 9),), np.float32)
    y = np.array(((0.5, 0, 1, 1),), np.float32)
    np.testing.assert_allclose(sample_image(values, x, y), [(1.5, 1, 2, 3)], atol=1e-6)
