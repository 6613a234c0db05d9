import numpy as np
import pytest
import torch

from data.time_maps import scan_time
from models.measurement.scan import Scan


def test_by_default_the_rows_fill_the_readout() -> None:
    assert Scan.of(None, 5) == (0, 0.25)


def test_a_scan_is_the_line_between_its_first_and_last_row() -> None:
    assert Scan.of(torch.tensor([0.5, 0.75, 1.0]), 3) == (0.5, 0.25)
    rounded = Scan.of(scan_time(2000), 2000)
    assert rounded.at(np.array(1999, np.float32)) == pytest.approx(1, abs=1e-6)


def test_the_reversed_scan_exposes_rows_at_one_minus_the_time() -> None:
    scan, rows = Scan(0.125, 0.25), np.array([0, 1.5, 3], np.float32)
    np.testing.assert_array_equal(scan.at(rows), [0.125, 0.5, 0.875])
    np.testing.assert_array_equal(scan.reversed.at(rows), [0.875, 0.5, 0.125])
    assert scan.reversed.reversed == scan


def test_exposure_times_are_float32() -> None:
    assert Scan.of(None, 7).at(np.arange(7, dtype=np.float32)).dtype == np.float32


def test_the_closing_speed_is_relative_to_the_scan_and_limited() -> None:
    velocity = np.array([0, 2, -2, 10], np.float32)
    np.testing.assert_allclose(Scan(0, 0.25).closing_speed(velocity), [1, 0.5, 1.5, 0.2])


def test_time_can_be_counted_in_readouts() -> None:
    scan = Scan(0.375, 0.0625)
    assert scan.readout(5) == scan.reversed.readout(5) == 0.25
    assert scan.in_readouts(0.25) == Scan(0, 0.25)
    late = Scan(0.25, 0.25)  # the sensors start one after the other: exposures are far apart
    assert late.readout(5) == 1 and late.in_readouts(1) == late


@pytest.mark.parametrize(
    ("scan", "reach"), [(Scan(0, 0.25), 0.5), (Scan(0.25, 0.125), 0.25), (Scan(0.25, 0.25), 0.75)]
)
def test_reach_is_the_time_to_the_farthest_exposure(scan: Scan, reach: float) -> None:
    assert scan.reach(5) == reach
    assert scan.reversed.reach(5) == reach
