import numpy as np
import pytest

from models.classical.field import MotionField
from models.clip.path import JointTimes, Path, own_path, shown_speed, smooth_path
from models.measurement.arrays import Array
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan
from tests.helpers.batches import batch, batch_field

CELLS = (8, 12)
HEIGHT, WIDTH = 4 * CELLS[0], 4 * CELLS[1]


def field(
    velocity: float, deviation: tuple[float, float, float] = (0, 0, 0), *, readout: float = 1.0
) -> MotionField:
    """A pair that moves along x."""
    along = np.zeros((*CELLS, 2), np.float32)
    along[..., 0] = velocity
    deviations = np.zeros((*CELLS, 2, 3), np.float32)
    deviations[..., 0, :] = deviation
    nothing = np.zeros((HEIGHT, WIDTH), np.float32)
    measured = Measurement(np.zeros((HEIGHT, WIDTH, 2), np.float32), nothing, nothing, nothing)
    scan = Scan(0.0, 1 / (HEIGHT - 1))
    parallax = Parallax.none(WIDTH)
    return MotionField(along, along, deviations, parallax, (measured, measured), scan, readout)


def moved(path: Path, times: JointTimes, tau: float) -> float:
    """Displacement along x of the middle cell from the joint to `tau` readouts later."""
    basis = times.basis(np.float32(0.5 + tau))
    x = path.velocity[..., 0] * tau + path.deviation[..., 0, :] @ basis
    return float(x[CELLS[0] // 2, CELLS[1] // 2])


def speed(path: Path, times: JointTimes, tau: float) -> float:
    step = 1e-2
    return (moved(path, times, tau + step) - moved(path, times, tau - step)) / (2 * step)


@pytest.mark.parametrize("readout", [1.0, 0.5])
def test_the_smooth_path_has_both_velocities_at_the_mid_times(readout: float) -> None:
    pairs = field(4, readout=readout), field(8, readout=readout)
    times = JointTimes(pairs)
    path = smooth_path(times)
    half = 0.5 / readout
    assert speed(path, times, -half) == pytest.approx(4, abs=0.01)
    assert speed(path, times, half) == pytest.approx(8, abs=0.01)
    assert speed(path, times, 0) == pytest.approx(6, abs=0.01)
    # By hand: 6 tau + (8 - 4) / (4 h) tau².
    assert moved(path, times, half) == pytest.approx(6 * half + half, abs=1e-3)
    assert moved(path, times, -half) == pytest.approx(-6 * half + half, abs=1e-3)


def test_a_pairs_own_path_includes_its_deviations_on_its_side_only() -> None:
    pairs = field(4, (3, 0, 0)), field(8)
    times = JointTimes(pairs)
    path = own_path(times, 0.0)
    assert moved(path, times, 0.5) == pytest.approx(4, abs=1e-3)
    # From t = 1 back to t = 3/4 of the pair before: 4/4, and 3 (z - 4 z³) at z = 1/4.
    assert moved(path, times, -0.25) == pytest.approx(-1 + 3 * (1 / 4 - 4 / 64), abs=1e-3)


def test_a_correction_changes_the_mean_velocity_but_not_the_velocities_at_mid_times() -> None:
    pairs = field(4), field(8)
    times = JointTimes(pairs)
    path = smooth_path(times)
    gap = np.full(CELLS, 0.6, np.float32)
    change = np.zeros((*CELLS, 2), np.float32)
    change[..., 0] = 1.5
    better = path.corrected(change, gap, times.half)

    def across(each: Path) -> float:
        return moved(each, times, 0.3) - moved(each, times, -0.3)

    assert across(better) - across(path) == pytest.approx(1.5 * 0.6, abs=1e-3)
    assert speed(better, times, -0.5) == pytest.approx(4, abs=0.01)
    assert speed(better, times, 0.5) == pytest.approx(8, abs=0.01)


def test_the_speed_that_views_show_is_the_mean_over_each_rows_gap() -> None:
    shown: Array = shown_speed(field(4, (3, 0, 0)))[:, 0, 0]
    rows = 4 * np.arange(CELLS[0]) + 1.5
    until = np.abs(rows / (HEIGHT - 1) - 0.5)
    # (z - 4 z³) / z of the first deviation, which vanishes over the whole readout.
    np.testing.assert_allclose(shown, 4 + 3 * (1 - 4 * until**2), atol=1e-4)


@pytest.mark.parametrize("readout", [1.0, 0.6])
def test_tensors_of_a_batch_have_the_same_paths(readout: float) -> None:
    generator = np.random.default_rng(0)
    pairs = field(4, (3, 0, 1), readout=readout), field(-2, (0, 2, 0), readout=readout)
    for pair in pairs:
        pair.velocity[:] += generator.normal(size=pair.velocity.shape, scale=0.2)
    tensors = batch_field(pairs[0]), batch_field(pairs[1])
    times, of_tensors = JointTimes(pairs), JointTimes(tensors)
    change = generator.normal(size=(*CELLS, 2)).astype(np.float32)
    gap = generator.uniform(0.2, 1, CELLS).astype(np.float32)
    for found, expected in (
        (smooth_path(of_tensors), smooth_path(times)),
        (own_path(of_tensors, 0.5), own_path(times, 0.5)),
        (
            own_path(of_tensors, 0.0).corrected(*batch((change, gap)), of_tensors.half),
            own_path(times, 0.0).corrected(change, gap, times.half),
        ),
    ):
        for part, same in zip(found, expected, strict=True):
            # OpenCV samples cells at 32nds of their sides.
            np.testing.assert_allclose(np.asarray(part)[0], same, atol=0.02)
