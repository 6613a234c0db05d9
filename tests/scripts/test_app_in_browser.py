"""The page of `make app` as people use it in Chromium: from upload to download."""

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import imageio.v3 as iio
import pytest

from data.files.videos import write_video
from data.video.sources import open_source
from tests.helpers.chromium import CHROMIUM, Page
from tests.helpers.clips import moving_clip
from tests.helpers.script_runs import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("gradio") is None,
        reason="needs Gradio: pip install -r requirements-app.txt",
    ),
]

PATIENCE = 240.0  # seconds; a loaded machine loads PyTorch slowly
DESKTOP, PHONE = (1280, 900), (390, 844)
STATE = "(document.querySelector('#progress .prose')?.textContent ?? '').trim()"
FINDINGS = "document.querySelector('#findings').textContent"
ENDED = "/good|failed/.test(document.querySelector('#progress .prose').innerHTML)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and folder of a page; at the end nothing may be left in the folder."""
    folder = tmp_path_factory.mktemp("app")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--port", str(port), "--folder", str(folder), "--max-upload", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "utils.app", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"the page is at http://127.0.0.1:{port}/ (Ctrl-C ends it)\n"
    yield f"http://127.0.0.1:{port}/", folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not any(folder.iterdir())


class App(Page):
    """The page in a window."""

    def __init__(self, address: str, profile: Path, size: tuple[int, int]) -> None:
        super().__init__(address, profile, size)
        self.address = address
        self.wait_for("document.querySelector('#correct') !== null")
        self.keep_downloads(profile)

    def give(self, view: str, file: Path) -> None:
        """Upload a file, in place of the one before."""
        field = f"{view} input[type=file]"
        if not self.evaluate(f"document.querySelector('{field}') !== null"):
            self.click(f"{view} button[aria-label=Clear]")
        self.wait_for(f"document.querySelector('{field}') !== null")
        self.upload(field, file)
        shown = json.dumps(file.stem)
        text = f"document.querySelector('{view}').textContent"
        self.wait_for(f"{text}.includes({shown}) && {text}.includes('⇣')")  # with its size

    def click(self, selector: str) -> None:
        """Click an element once it has come to rest: what is above it may still grow or shrink."""
        self.wait_for(f"document.querySelector('{selector}') !== null")
        before = self.box(selector)
        time.sleep(0.2)
        while (now := self.box(selector)) != before:
            before = now
            time.sleep(0.2)
        super().click(selector)

    def start(self, button: str) -> None:
        before = json.dumps(self.evaluate(STATE))
        self.click(button)
        self.wait_for(f"{STATE} !== {before}")

    def run(self, button: str) -> str:
        """Press a button and wait for the end; what it says then."""
        self.start(button)
        self.wait_for(ENDED, PATIENCE)
        return str(self.evaluate(STATE))

    def download(self, kind: str, folder: Path) -> Path:
        """Press a button of the downloads; the file that it brings."""
        before = {*folder.iterdir()}
        self.click(f"#{kind}")
        end = time.monotonic() + 60
        while True:
            new = [path for path in {*folder.iterdir()} - before if path.suffix != ".crdownload"]
            if new and new[0].stat().st_size:
                return new[0]
            assert time.monotonic() < end, "nothing was downloaded"
            time.sleep(0.1)


@pytest.fixture
def open_page(server: tuple[str, Path], tmp_path: Path) -> Iterator[App]:
    """A page; at the end no script may have failed and nothing may come from elsewhere."""
    app = App(server[0], tmp_path / "profile", DESKTOP)
    with app:
        yield app
        assert app.errors == []
        assert [each for each in app.requests if not each.startswith(app.address)] == []


def test_two_images_from_upload_to_download(open_page: App, tmp_path: Path) -> None:
    app, folder = open_page, ROOT / "data/samples/coffee"
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    app.keep_downloads(downloads)
    app.give("#first", folder / "0_t2b.png")
    app.give("#second", folder / "0_b2t.png")
    app.start("#check")
    app.wait_for(f"{STATE}.endsWith('gone')", PATIENCE)
    app.wait_for(ENDED, PATIENCE)
    assert str(app.evaluate(STATE)).startswith("Checked in")
    assert "nothing that would impair" in app.evaluate(FINDINGS)
    assert str(app.run("#correct")).startswith("9 frames, made in")
    app.wait_for("document.querySelector('#viewer') !== null")
    page = app.evaluate("document.querySelector('#viewer').srcdoc")
    assert "<h1>0_t2b.png and 0_b2t.png</h1>" in page
    assert "data:image/webp;base64," in page and app.evaluate("viewer.sandbox.value") == (
        "allow-scripts"
    )
    app.resize(PHONE)
    assert app.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    video, archive, animation = (app.download(kind, downloads) for kind in ("mp4", "zip", "gif"))
    assert open_source(str(video)).count == 9
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.namelist()) == 9 and opened.testzip() is None
    assert iio.imread(animation).shape == (9, 288, 384, 3)


def test_swapped_videos_are_cured_by_a_click(open_page: App, tmp_path: Path) -> None:
    app = open_page
    t2b, b2t = zip(*moving_clip(9), strict=True)
    for name, frames in (("left", b2t), ("right", t2b)):
        write_video(tmp_path / f"{name}.mp4", frames, 25)
    app.give("#first", tmp_path / "left.mp4")
    app.give("#second", tmp_path / "right.mp4")
    app.run("#check")
    assert "the views seem swapped" in app.evaluate(FINDINGS)
    cure = "[...document.querySelectorAll('.cure')].find(e => e.textContent.includes('Swap'))"
    app.evaluate(f"{cure}.id = 'swap'")
    assert "Checked" in app.run("#swap")
    assert "swapped" not in app.evaluate(FINDINGS)
    assert app.evaluate("document.querySelectorAll('#cures input:checked').length") == 1
    assert "frames at 25 per second" in app.run("#correct")
    assert "swapped" not in app.evaluate(FINDINGS)


def test_a_late_video_is_cured_by_a_click(open_page: App, tmp_path: Path) -> None:
    app = open_page
    t2b, b2t = zip(*moving_clip(24), strict=True)
    write_video(tmp_path / "left.mp4", t2b[4:], 25)
    write_video(tmp_path / "right.mp4", b2t, 25)
    app.give("#first", tmp_path / "left.mp4")
    app.give("#second", tmp_path / "right.mp4")
    app.run("#check")
    assert "right.mp4 starts 4 frames before left.mp4" in app.evaluate(FINDINGS)
    cure = "[...document.querySelectorAll('.cure')].find(e => e.textContent.includes('belong'))"
    app.evaluate(f"{cure}.id = 'match'")
    assert "Checked" in app.run("#match")
    found = app.evaluate(FINDINGS)
    assert "left.mp4; they are paired accordingly" in found and "all pairs are wrong" not in found


def test_bad_input_is_a_sentence_and_leaves_nothing(
    open_page: App, server: tuple[str, Path], tmp_path: Path
) -> None:
    app, good = open_page, ROOT / "data/samples/coffee/0_t2b.png"
    picture = cv2.imread(str(good))
    small, fake, large = (tmp_path / f"{name}.png" for name in ("small", "fake", "large"))
    assert picture is not None and cv2.imwrite(str(small), picture[:100, :200])
    fake.write_bytes(b"no image")
    large.write_bytes(b"\0" * 1_200_000)
    assert "give both views" in app.run("#correct")
    app.give("#first", good)
    app.give("#second", small)
    assert app.run("#correct") == "small.png: expected 384x288 pixels like 0_t2b.png, got 200x100"
    app.give("#second", fake)
    assert app.run("#correct").startswith("fake.png: damaged, truncated or not an image")
    app.click("#second button[aria-label=Clear]")
    field = "#second input[type=file]"
    app.wait_for(f"document.querySelector('{field}') !== null")
    app.upload(field, large)
    app.wait_for("/exceed the maximum allowed size/.test(document.body.textContent)")
    assert not [*server[1].glob("*/job-*")]


def test_two_pages_wait_for_each_other_and_one_cancels(
    open_page: App, server: tuple[str, Path], tmp_path: Path
) -> None:
    samples = ROOT / "data/samples"
    with App(server[0], tmp_path / "other", PHONE) as other:
        for app, name in ((open_page, "coffee"), (other, "astronaut")):
            app.give("#first", samples / name / "0_t2b.png")
            app.give("#second", samples / name / "0_b2t.png")
        open_page.start("#correct")
        open_page.wait_for(f"{STATE}.includes('gone')", PATIENCE)
        other.click("#correct")
        time.sleep(2)
        assert "gone" not in other.evaluate(STATE)
        assert len([*server[1].glob("*/job-*")]) == 1
        open_page.click("#cancel")
        open_page.wait_for(f"{STATE}.startsWith('Cancelled')")
        other.wait_for(f"{STATE}.includes('gone')", PATIENCE)
        assert len([*server[1].glob("*/job-*")]) == 1
    end = time.monotonic() + 30  # a page that is closed ends its job
    while [*server[1].glob("*/job-*")]:
        assert time.monotonic() < end, [*server[1].iterdir()]
        time.sleep(0.2)
