import numpy as np
import pytest

from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax, estimate_parallax

WIDTH = 280


def synthetic(parallax: tuple[float, float], *, slope: float = 0.0) -> list[Measurement]:
    """Noisy measurements (96, WIDTH) of a moving scene with an object.

    Args:
        parallax: (x, y) px in the middle.
        slope: increase of its y over half the width.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :WIDTH].astype(np.float32)
    between = np.empty((96, WIDTH, 2))
    between[..., 0] = parallax[0]
    between[..., 1] = parallax[1] + slope * (columns - (WIDTH - 1) / 2) / (WIDTH / 2)
    measurements = []
    for sign in (1, -1):
        gap = sign * (1 - 2 * rows / 95)
        velocity = np.full((96, WIDTH, 2), (20, -7), np.float32)
        velocity[30:70, 80:130] = (-35, 12)
        flow = velocity * gap[..., None] + sign * between
        flow += rng.normal(scale=0.1, size=flow.shape)
        measurements.append(
            Measurement(flow.astype(np.float32), (1 - gap) / 2, gap, np.ones_like(gap))
        )
    return measurements


def is_none(parallax: Parallax) -> bool:
    return not parallax.middle.any() and not parallax.change.any()


@pytest.mark.parametrize("parallax", [(5.0, 0.0), (-3.0, 10.0), (0.4, -0.3)])
def test_parallax_is_the_flow_at_gap_zero(parallax: tuple[float, float]) -> None:
    found = estimate_parallax(*synthetic(parallax))
    np.testing.assert_allclose(found.middle, parallax, atol=0.05)
    assert not found.change.any()


def test_the_parallax_of_a_turned_camera_changes_along_the_row() -> None:
    found = estimate_parallax(*synthetic((0.1, 0.0), slope=1.5))
    ends = np.array(((WIDTH - 1) / 2 - WIDTH / 2, (WIDTH - 1) / 2 + WIDTH / 2), np.float32)
    np.testing.assert_allclose(found.at(ends), [(0.1, -1.5), (0.1, 1.5)], atol=0.05)


def test_a_small_parallax_counts_as_none() -> None:
    assert is_none(estimate_parallax(*synthetic((0.2, -0.1), slope=0.2)))


def test_an_insignificant_parallax_counts_as_none() -> None:
    strips = np.repeat(np.array((-9, 7, -2, 5, -6, 1, 8), np.float32), 40)[:, None]
    first, second = synthetic((0.0, 0.0))

    def shifted(shift: float) -> Parallax:
        """Estimate for strips that scatter by several px about a common shift."""
        views = first.flow + strips + shift, second.flow - strips - shift
        return estimate_parallax(first._replace(flow=views[0]), second._replace(flow=views[1]))

    assert is_none(shifted(1.0))
    np.testing.assert_allclose(shifted(30.0).middle, (31, 31), atol=0.1)


def test_without_trusted_measurements_there_is_no_parallax() -> None:
    blind = [part._replace(confidence=0 * part.gap) for part in synthetic((5.0, 0.0))]
    assert is_none(estimate_parallax(*blind))


def test_a_crop_without_gaps_of_both_signs_gives_none() -> None:
    upper = [Measurement(*(values[:48] for values in part)) for part in synthetic((5.0, 0.0))]
    assert is_none(estimate_parallax(*upper))
    most = [Measurement(*(values[:60] for values in part)) for part in synthetic((5.0, 0.0))]
    np.testing.assert_allclose(estimate_parallax(*most).middle, (5, 0), atol=0.05)


def test_line_of_parallax_by_hand() -> None:
    parallax = Parallax(np.array((1, 2), np.float32), np.array((2, 0), np.float32), width=8)
    found = parallax.at(np.array(((3.5, 5.5), (1.5, 2.5)), np.float32))
    np.testing.assert_array_equal(found, [((1, 2), (2, 2)), ((0, 2), (0.5, 2))])


def test_columns_are_normalised_to_half_widths() -> None:
    edges = np.array((-0.5, 3.5, 7.5), np.float32)
    np.testing.assert_array_equal(Parallax.none(8).across(edges), (-1, 0, 1))
    np.testing.assert_array_equal(Parallax.none(8).at(edges), np.zeros((3, 2)))
