from collections.abc import Callable
from functools import partial

import pytest
import torch

from models.generator import Generator
from models.inference import tiling
from models.inference.tiling import estimate_memory, plan_tiles, tiles_of
from models.networks import Corrector
from models.refiner.network import Refiner
from utils.benchmarks.peak_memory import PeakMethod, measure_peak


def test_tiles_keep_every_pixel_once_and_see_their_margin() -> None:
    image = torch.arange(70 * 100.0).reshape(70, 100)
    result = torch.full_like(image, -1)
    tiles = list(tiles_of((70, 100), 32, 32))
    assert len(tiles) == 3 * 4
    for tile in tiles:
        rows, columns = tile.seen_slices
        assert rows.start % 32 == 0 and columns.start % 32 == 0
        top, left, bottom, right = tile.kept
        assert (result[top:bottom, left:right] == -1).all()
        tile.paste(result, image[rows, columns])
    assert torch.equal(result, image)
    assert tiles[5].kept == (32, 32, 64, 64) and tiles[5].seen == (0, 0, 70, 96)


def test_one_tile_is_the_whole_image() -> None:
    (tile,) = tiles_of((540, 960), None, 256)
    assert tile.kept == tile.seen == (0, 0, 540, 960)


@pytest.mark.parametrize(("tile", "margin"), [(0, 0), (48, 32), (64, 16)])
def test_other_sizes_are_refused(tile: int, margin: int) -> None:
    with pytest.raises(ValueError, match=f"multiples of 32, got {tile} and {margin}"):
        list(tiles_of((64, 64), tile, margin))


def test_tiles_are_taken_only_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = Generator(n_feats=8, width=0.05)
    monkeypatch.setattr(tiling, "free_memory", lambda device: 4e9)
    assert plan_tiles(generator, (540, 960), 9, "auto") == (None, None)
    plan = plan_tiles(generator, (2160, 3840), 9, "auto")
    assert plan.tile == 896
    assert plan.note == (
        "3840x2160, 9 frames: this needs about 10.8 GB; 4.0 GB free: made in tiles of 896 pixels"
    )
    assert plan_tiles(generator, (2160, 3840), 9, None) == (None, None)
    assert plan_tiles(generator, (64, 64), 1, 32) == (32, None)
    monkeypatch.setattr(tiling, "free_memory", lambda device: None)
    assert plan_tiles(generator, (2160, 3840), 9, "auto").tile is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "build"), [("generator", Generator), ("bundled", partial(Refiner, width=0.5))]
)
def test_the_estimate_is_near_the_peak(method: PeakMethod, build: Callable[[], Corrector]) -> None:
    peak = measure_peak(method, (540, 960), None)
    assert 0.6 < estimate_memory(build(), (540, 960), 9) / peak < 1.6


@pytest.mark.slow
def test_nine_classical_frames_of_3840x2160_take_less_than_4_gigabytes() -> None:
    # The networks' take minutes; `make bench` measures them.
    assert measure_peak("classical", (2160, 3840), None) < 4e9


def test_margins_leave_room_for_the_grid() -> None:
    assert tiling.GENERATOR_MARGIN % 32 == tiling.REFINER_MARGIN % 32 == 0


def test_a_refiners_tiles_save_what_is_made_of_its_motion() -> None:
    refiner, size = Refiner(width=0.25), (2160, 3840)
    whole, tiled = (estimate_memory(refiner, size, 9, tile) for tile in (None, 512))
    assert whole - tiled == pytest.approx(90 * (2160 * 3840 - 576**2))
