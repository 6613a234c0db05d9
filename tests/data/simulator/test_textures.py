"""Photos and windows that scenes are made of."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from data.simulator import procedural_textures
from data.simulator.procedural_textures import draw_textures
from data.simulator.textures import BUNDLED_PHOTOS, cut_window, load_textures
from utils.errors import InputError


def write_photo(path: Path, height: int, width: int, value: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


def test_bundled_photos_load_without_a_folder() -> None:
    textures = load_textures(None)
    assert len(textures) == len(BUNDLED_PHOTOS)
    assert tuple(textures[0].shape) == (3, 512, 512)
    assert all(texture.dtype == torch.uint8 for texture in textures)
    assert all(int(texture.max()) > 200 for texture in textures)


def test_folders_are_searched_in_order_and_tiny_photos_left_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "b.png", 70, 90, value=20)
    write_photo(tmp_path / "a" / "photo.PNG", 80, 100, value=10)
    write_photo(tmp_path / "c.png", 63, 400)
    (tmp_path / "notes.txt").write_text("no photo")
    textures = load_textures(tmp_path)
    assert [tuple(texture.shape) for texture in textures] == [(3, 80, 100), (3, 70, 90)]
    assert [int(texture[0, 0, 0]) for texture in textures] == [10, 20]


def test_procedural_textures_come_after_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "a.png", 80, 100, value=10)
    monkeypatch.setattr(procedural_textures, "_HEIGHT", 180)
    monkeypatch.setattr(procedural_textures, "_WIDTH", 270)
    textures = load_textures(tmp_path, procedural=2)
    assert len(textures) == 3
    assert int(textures[0][0, 0, 0]) == 10
    assert torch.equal(textures[2], draw_textures(2)[1])


def test_large_photos_are_reduced_to_1080(tmp_path: Path) -> None:
    write_photo(tmp_path / "large.png", 1350, 2700, value=77)
    (texture,) = load_textures(tmp_path)
    assert tuple(texture.shape) == (3, 1080, 2160)
    assert bool((texture == 77).all())


def test_folders_without_usable_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of photos"):
        load_textures(tmp_path / "missing")
    with pytest.raises(InputError, match="no photo found"):
        load_textures(tmp_path)
    write_photo(tmp_path / "tiny.png", 63, 200)
    with pytest.raises(InputError, match="a side below 64 px"):
        load_textures(tmp_path)


def test_window_is_cut_from_the_photo_in_other_colours() -> None:
    columns = torch.arange(40, dtype=torch.uint8) * 6
    photo = columns.expand(3, 30, 40).contiguous()
    window = cut_window(photo, 10, 12, reduction=1, rng=np.random.default_rng(0))
    assert tuple(window.shape) == (3, 10, 12)
    assert window.dtype == torch.float32
    steps = window.diff(dim=-1)
    assert bool((steps > 0).all()) or bool((steps < 0).all())
    assert float(window.min()) >= 0 and float(window.max()) <= 1


def test_window_is_as_large_as_the_photo_allows() -> None:
    photo = torch.full((3, 30, 40), 255, dtype=torch.uint8)
    window = cut_window(photo, 100, 12, reduction=2, rng=np.random.default_rng(0))
    assert tuple(window.shape) == (3, 15, 12)
    assert float(window.min()) > 0.8


def test_window_averages_areas_when_it_reduces() -> None:
    checkers = torch.zeros(3, 64, 64)
    checkers[:, ::2, ::2] = checkers[:, 1::2, 1::2] = 1
    window = cut_window(checkers, 16, 16, reduction=2, rng=np.random.default_rng(1))
    assert float(window.flatten(1).std(1).max()) < 1e-6


def test_a_float_photo_is_left_as_it_was() -> None:
    photo = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    before = photo.clone()
    cut_window(photo, 20, 20, reduction=1, rng=np.random.default_rng(0))
    assert torch.equal(photo, before)
