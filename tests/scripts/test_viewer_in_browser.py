"""The viewer as people use it: sliders, pointer and keys in Chromium, and the pixels they show."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.files.images import Image
from tests.helpers.chromium import CHROMIUM, Page
from tests.utils.pictures.test_viewer import (
    BLUE,
    FLOW_B2T,
    FLOW_T2B,
    GREENS,
    RED,
    TRUTHS,
    content,
    everything,
    is_close,
    plain,
)
from utils.pictures.viewer import OtherFrames, ViewerContent, write_viewer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

Open = Callable[..., Page]


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Open]:
    """Opens what a content shows; at the end, nothing may have failed or come from elsewhere."""
    pages: list[Page] = []
    path = tmp_path / "index.html"

    def open_one(shown: ViewerContent, size: tuple[int, int]) -> Page:
        write_viewer(path, shown)
        page = Page(path, tmp_path / "profile", size)
        pages.append(page)
        page.wait_for("views.every(view => view.images.every(image => image.complete))")
        return page

    yield open_one
    for page in pages:
        with page:
            assert page.errors == [] and page.requests == [path.as_uri()]


def seen(page: Page, across: float, down: float = 0.6) -> Image:
    """The pixels around a place of the picture, given in shares of its width and height."""
    left, top, width, height = page.box("#picture")
    x, y = round(left + across * width), round(top + down * height)
    return page.screenshot()[y - 2 : y + 2, x - 2 : x + 2]


def drag_slider(page: Page, selector: str, start: float, end: float) -> None:
    """Drag a slider's thumb from one share of its range to another."""
    left, top, width, height = page.box(selector)
    thumb = 16.0  # px, whose middle stays inside the slider
    places = [
        left + thumb / 2 + share * (width - thumb) for share in (start, (start + end) / 2, end)
    ]
    page.drag([(place, top + height / 2) for place in places])


def choose(page: Page, name: str) -> None:
    page.click(f"input[value={name}]")


PSNR = "document.querySelector('#psnr-now').textContent"
SIZES = [(1280, 800), (390, 844)]


@pytest.mark.parametrize("size", SIZES)
def test_sliders_show_the_right_pixels(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(content(), size)
    assert is_close(seen(page, 0.25), RED) and is_close(seen(page, 0.75), GREENS[1])  # mid-time
    drag_slider(page, "#time", 0.5, 0)
    assert is_close(seen(page, 0.25), RED) and is_close(seen(page, 0.75), GREENS[0])
    drag_slider(page, "#time", 0, 1)
    assert is_close(seen(page, 0.25), RED) and is_close(seen(page, 0.75), GREENS[2])
    assert page.evaluate("document.querySelector('output').value") == "t = 1.000, frame 3 of 3"
    drag_slider(page, "#time", 1, 0.5)
    assert is_close(seen(page, 0.75), GREENS[1])
    drag_slider(page, "#wipe", 0.5, 0.8)
    assert is_close(seen(page, 0.75), RED) and is_close(seen(page, 0.85), GREENS[1])
    choose(page, "b2t")
    assert is_close(seen(page, 0.75), BLUE) and is_close(seen(page, 0.85), GREENS[1])
    drag_slider(page, "#wipe", 0.8, 0)
    assert is_close(seen(page, 0.02), GREENS[1])
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_dragging_across_the_picture_wipes(open_page: Open) -> None:
    page = open_page(content(), (1280, 800))
    left, top, width, height = page.box("#picture")
    page.drag([(left + share * width, top + height / 2) for share in (0.5, 0.4, 0.2)])
    assert is_close(seen(page, 0.17), RED) and is_close(seen(page, 0.23), GREENS[1])
    page.drag([(left + 0.2 * width, top + height / 2), (left + 2 * width, top)])
    assert is_close(seen(page, 0.98), RED)


def test_keys_step_and_play(open_page: Open) -> None:
    page = open_page(content(fps=50.0), (1280, 800))
    shown = "state.frame"
    page.press("ArrowRight")
    assert is_close(seen(page, 0.75), GREENS[2])
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    page.press("ArrowLeft")  # from the first to the last
    assert is_close(seen(page, 0.75), GREENS[2])
    page.press(" ")
    for frame in (0, 2, 1):
        page.wait_for(f"{shown} === {frame}")
    assert "Pause" in page.evaluate("document.querySelector('#play').textContent")
    page.press(" ")
    frame = page.evaluate(shown)
    assert is_close(seen(page, 0.75), GREENS[frame]) and page.evaluate(shown) == frame
    page.click("#play")
    page.wait_for(f"{shown} !== {frame}")


def test_truth_error_flow_and_psnr_are_shown(open_page: Open) -> None:
    page = open_page(everything(), (1280, 800))
    assert "32.50 dB" in page.evaluate("document.querySelector('#psnr-now').textContent")
    page.press("ArrowLeft")
    page.wait_for(f"{PSNR}.includes('30.00 dB')")
    for key, colour in (("truth", TRUTHS[0]), ("flow_t2b", FLOW_T2B), ("flow_b2t", FLOW_B2T)):
        page.click(f"button[data-key={key}]")
        assert is_close(seen(page, 0.75), colour)
    assert page.evaluate("document.querySelector('#scale-text').textContent").endswith("at the rim")
    page.click("button[data-key=error]")
    choose(page, "truth")
    # Blue is 20 of 64 levels off: between black and the brightest.
    assert is_close(seen(page, 0.25), TRUTHS[0]) and 30 < seen(page, 0.75).max() < 200
    left, top, width, height = page.box("#curve")
    page.drag([(left + width - 14, top + height / 2)])
    page.wait_for("state.frame === 2")
    assert is_close(seen(page, 0.25), TRUTHS[2])
    assert "identical" in page.evaluate("document.querySelector('#psnr-now').textContent")


def test_methods_are_wiped_against_each_other_and_have_their_own_psnr(open_page: Open) -> None:
    other = OtherFrames("theirs", [plain(colour) for colour in TRUTHS], [40.0, 41.0, 42.0])
    shown = replace(everything(), label="ours", others=[other])
    page = open_page(shown, (1280, 800))
    page.press("ArrowLeft")
    page.wait_for(f"{PSNR}.includes('PSNR of ours over time: 30.00 dB')")
    page.click("button[data-key=frame_1]")
    choose(page, "frame")
    assert is_close(seen(page, 0.25), GREENS[0]) and is_close(seen(page, 0.75), TRUTHS[0])
    assert "PSNR of theirs over time: 40.00 dB" in page.evaluate(PSNR)
    page.click("button[data-key=error_1]")
    assert "PSNR of theirs over time: 40.00 dB" in page.evaluate(PSNR)
