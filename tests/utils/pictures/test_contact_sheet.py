import numpy as np
import pytest

from data.files.images import Image
from utils.pictures.contact_sheet import draw_contact_sheet


def plain(height: int, width: int, colour: tuple[int, int, int]) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def count(sheet: Image, colour: tuple[int, int, int]) -> int:
    return int((sheet == np.array(colour, np.uint8)).all(axis=2).sum())


def test_inputs_lie_above_the_frames() -> None:
    red, blue, green = (255, 0, 0), (0, 0, 255), (0, 128, 0)
    frames = [plain(60, 80, green)] * 9
    times = [index / 8 for index in range(9)]
    sheet = draw_contact_sheet(plain(60, 80, red), plain(60, 80, blue), frames, times)
    assert sheet.dtype == np.uint8 and sheet.shape[1:] == (1280, 3)
    rows = {
        colour: np.flatnonzero((sheet == np.array(colour, np.uint8)).all(axis=2).any(axis=1))
        for colour in (red, blue, green)
    }
    assert np.array_equal(rows[red], rows[blue])
    assert rows[red].max() < rows[green].min()
    assert count(sheet, red) == 616 * 462  # two inputs share the width of 1280 with 3 gaps of 16
    assert count(sheet, green) == 9 * 405 * 304


def test_captions_are_written_between_the_pictures() -> None:
    white = plain(20, 20, (255, 255, 255))
    sheet = draw_contact_sheet(white, white, [white], [0.5])
    inked = np.flatnonzero((sheet < 128).any(axis=(1, 2)))
    assert inked.min() > 16 and inked.max() > 600  # above the inputs and above the frame


@pytest.mark.parametrize("size", [(2, 1), (2, 400), (400, 2), (45, 37)])
@pytest.mark.parametrize("number", [1, 2, 40])
def test_any_size_and_number(size: tuple[int, int], number: int) -> None:
    image = plain(*size, (0, 0, 255))
    sheet = draw_contact_sheet(image, image, [image] * number, [0.5] * number)
    assert sheet.shape[1] == 1280
    assert count(sheet, (0, 0, 255)) > 0
