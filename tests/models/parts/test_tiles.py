import pytest
import torch

from models.parts.tiles import bands_of, tiles_of


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


def test_bands_hold_all_needed_rows_in_steps_of_eight() -> None:
    rows = torch.zeros(70, dtype=torch.bool)
    assert list(bands_of(rows)) == []
    rows[[9, 20, 33, 69]] = True
    assert list(bands_of(rows)) == [slice(8, 24), slice(32, 40), slice(64, 70)]


def test_tiles_of_a_band_keep_its_rows_only() -> None:
    first, *_, last = tiles_of((70, 40), 32, 16, slice(24, 70))
    assert first.kept == (24, 0, 56, 32) and first.seen == (8, 0, 70, 40)
    assert last.kept == (56, 32, 70, 40) and last.seen == (40, 16, 70, 40)
