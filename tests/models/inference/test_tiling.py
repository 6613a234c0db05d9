from collections.abc import Callable
from functools import partial

import pytest

from models.generator import Generator
from models.inference import tiling
from models.inference.tiling import estimate_memory, plan_tiles
from models.networks import NETWORKS, network_class
from models.parts.network import CorrectionNetwork
from models.refiner.network import Refiner
from utils.benchmarks.peak_memory import PeakMethod, measure_peak


def test_tiles_are_taken_only_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(n_feats=8, width=0.05)
    monkeypatch.setattr(tiling, "free_memory", lambda device: 4e9)
    assert plan_tiles(generator, (540, 960), 9, "auto") == (None, None)
    tile, note = plan_tiles(generator, (2160, 3840), 9, "auto")
    assert tile == 896
    assert note == (
        "3840x2160, 9 frames: this needs about 10.8 GB; 4.0 GB free: made in tiles of 896 pixels"
    )
    assert plan_tiles(generator, (2160, 3840), 9, None) == (None, None)
    assert plan_tiles(generator, (64, 64), 1, 32) == (32, None)
    monkeypatch.setattr(tiling, "free_memory", lambda device: None)
    assert plan_tiles(generator, (2160, 3840), 9, "auto") == (None, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "build"), [("generator", Generator), ("bundled", partial(Refiner, width=0.5))]
)
def test_the_estimate_is_near_the_peak(
    method: PeakMethod, build: Callable[[], CorrectionNetwork]
) -> None:
    peak = measure_peak(method, (540, 960), None)
    assert 0.6 < estimate_memory(build(), (540, 960), 9) / peak < 1.6


@pytest.mark.slow
def test_nine_classical_frames_of_3840x2160_take_less_than_4_gigabytes() -> None:
    # The networks' take minutes; `make bench` measures them.
    assert measure_peak("classical", (2160, 3840), None) < 4e9


def test_margins_leave_room_for_the_grid() -> None:
    assert all(network_class(name).tile_margin % 32 == 0 for name in NETWORKS)


def test_a_refiners_tiles_save_what_is_made_of_its_motion() -> None:
    refiner, size = Refiner(width=0.25), (2160, 3840)
    whole, tiled = (estimate_memory(refiner, size, 9, tile) for tile in (None, 512))
    assert whole - tiled == pytest.approx(90 * (2160 * 3840 - 576**2))
