import pytest
import torch

from models.rig.dark_borders import DarkBorders, fill_dark_borders, find_dark_borders

VIEW = 0.2 + 0.6 * torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))


def framed(borders: DarkBorders, level: float = 0.02) -> torch.Tensor:
    view = VIEW.clone()
    view[:, : borders.top] = view[:, 30 - borders.bottom :] = level
    view[:, :, : borders.left] = view[:, :, 40 - borders.right :] = level
    return view


@pytest.mark.parametrize(
    "borders", [DarkBorders(), DarkBorders(1, 2, 2, 1), DarkBorders(top=2), DarkBorders(right=4)]
)
def test_borders_are_found_and_replaced_by_what_is_beside_them(borders: DarkBorders) -> None:
    view = framed(borders)
    assert find_dark_borders(view) == borders
    filled = fill_dark_borders(view, borders)
    inner = (..., slice(borders.top, 30 - borders.bottom), slice(borders.left, 40 - borders.right))
    assert torch.equal(filled[inner], VIEW[inner])
    assert torch.equal(filled[:, 0, 20], VIEW[:, borders.top, 20])
    assert torch.equal(filled[:, 15, 39], VIEW[:, 15, 39 - borders.right])
    assert find_dark_borders(filled) == DarkBorders()


def test_dark_scenes_and_wide_dark_parts_have_no_border() -> None:
    assert find_dark_borders(VIEW * 0) == DarkBorders()
    assert find_dark_borders(framed(DarkBorders(top=1)) * 0.1) == DarkBorders()
    assert find_dark_borders(framed(DarkBorders(bottom=5))) == DarkBorders()  # rather the scene
    assert find_dark_borders(framed(DarkBorders(top=1), level=0.15)) == DarkBorders()
    assert find_dark_borders(torch.zeros(3, 2, 1)) == DarkBorders()
