import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.files.images import Image
from tests.helpers.capture_folders import random_pixels
from utils.errors import InputError
from utils.pictures.colour import ShownFlows
from utils.pictures.viewer import (
    MAX_FRAMES,
    ShownTruth,
    ViewerContent,
    chosen_frames,
    write_viewer,
)

Colour = tuple[int, int, int]

RED, BLUE = (220, 30, 30), (30, 30, 220)
GREENS: list[Colour] = [(20, 60 + 60 * number, 40) for number in range(3)]
TRUTHS: list[Colour] = [(20, 60 + 60 * number, 60) for number in range(3)]
FLOW_T2B, FLOW_B2T = (240, 200, 40), (40, 200, 240)
TIMES = [0.0, 0.5, 1.0]
SIZE = (90, 160)


def plain(colour: Colour, size: tuple[int, int] = SIZE) -> Image:
    return np.full((*size, 3), colour, np.uint8)


def content(**changes: Any) -> ViewerContent:
    given: dict[str, Any] = {
        "title": "plain colours",
        "inputs": [(plain(RED), plain(BLUE))],
        "frames": [plain(colour) for colour in GREENS],
        "times": TIMES,
    }
    return ViewerContent(**(given | changes))


def everything() -> ViewerContent:
    truth = ShownTruth([plain(colour) for colour in TRUTHS], [30.0, 32.5, float("inf")])
    flows = ShownFlows([(plain(FLOW_T2B, (7, 9)), plain(FLOW_B2T, (7, 9)))] * 3, scale=12.5)
    return content(flows=flows, truth=truth)


def written(path: Path, shown: ViewerContent) -> dict[str, Any]:
    """Write a page; returns what its script reads."""
    write_viewer(path, shown)
    found = re.search(r'id="content">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert found
    payload: dict[str, Any] = json.loads(found[1])
    return payload


def pictures(payload: dict[str, Any], key: str) -> list[Image]:
    view = next(view for view in payload["views"] if view["key"] == key)
    assert len(view["order"]) == len(payload["times"])
    return [decode(uri) for uri in view["pictures"]]


def decode(uri: str) -> Image:
    kind, data = uri.split(",")
    assert kind in ("data:image/webp;base64", "data:image/png;base64")
    encoded = np.frombuffer(base64.b64decode(data), np.uint8)
    return np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])


def is_close(found: Image, colour: Sequence[int]) -> bool:
    """Whether all pixels have a colour, as far as WebP keeps it."""
    return bool(np.abs(found.astype(int) - np.array(colour)).max() <= 8)


def test_a_capture_alone_has_inputs_and_frames(tmp_path: Path) -> None:
    payload = written(tmp_path / "index.html", content())
    assert [view["key"] for view in payload["views"]] == ["t2b", "b2t", "frame"]
    assert is_close(pictures(payload, "t2b")[0], RED) and is_close(
        pictures(payload, "b2t")[0], BLUE
    )
    for picture, colour in zip(pictures(payload, "frame"), GREENS, strict=True):
        assert picture.shape == (*SIZE, 3) and is_close(picture, colour)
    assert payload["size"] == [160, 90] and payload["times"] == TIMES
    assert payload["remarks"] == [
        "160x90 px",
        "3 frames",
        "pictures are WebP at 90%: judge details in the saved frames",
    ]
    assert "psnr" not in payload
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_truth_adds_error_and_psnr_and_flows_their_scale(tmp_path: Path) -> None:
    payload = written(tmp_path / "index.html", everything())
    keys = ["t2b", "b2t", "frame", "truth", "error", "flow_t2b", "flow_b2t"]
    assert [view["key"] for view in payload["views"]] == keys
    assert payload["psnr"] == [30.0, 32.5, None]
    assert is_close(pictures(payload, "truth")[2], TRUTHS[2])
    assert pictures(payload, "flow_b2t")[0].shape == (45, 80, 3)
    assert is_close(pictures(payload, "flow_b2t")[0], FLOW_B2T)
    scales = {view["key"]: view["scale"] for view in payload["views"] if view["scale"]}
    assert list(scales) == ["error", "flow_t2b", "flow_b2t"]
    assert scales["flow_t2b"]["text"].endswith("12.5 px or more at the rim")


def test_titles_and_remarks_are_text_not_markup(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    title = "</title><script>alert(1)</script> $content & co"
    payload = written(path, content(title=title, remarks=["</script><b>"]))
    page = path.read_text("utf-8")
    assert page.count("&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; $content &amp; co") == 2
    assert "alert(1)</script>" not in page and page.count("</script>") == 2
    assert payload["remarks"][0] == "</script><b>"


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    written(tmp_path / "index.html", everything())
    page = (tmp_path / "index.html").read_text("utf-8")
    addresses = set(re.findall(r"[a-z]+://[^\s\"')]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a kind of element
    assert not re.search(r"@import|url\(|<link[^>]+stylesheet|src=", page)


def test_long_clips_show_frames_evenly_spaced_and_say_so(tmp_path: Path) -> None:
    count = 2 * MAX_FRAMES - 1
    read: list[int] = []

    class Frames(Sequence[Image]):  # type: ignore[misc]
        def __len__(self) -> int:
            return count

        def __getitem__(self, number: Any) -> Any:
            read.append(number)
            return plain((number, 0, 0), (4, 6))

    pairs = [frame // 10 for frame in range(count)]
    inputs = [(plain((0, 5 * pair, 0), (4, 6)), plain(BLUE, (4, 6))) for pair in range(10)]
    times = [frame / 10 for frame in range(count)]
    shown = content(frames=Frames(), times=times, pairs=pairs, inputs=inputs)
    payload = written(tmp_path / "index.html", shown)
    assert payload["numbers"] == chosen_frames(count) == list(range(0, count, 2))
    assert payload["times"][:2] == [0.0, 0.2] and set(read) == set(payload["numbers"])
    view = payload["views"][0]
    assert view["order"][:7] == [0, 0, 0, 0, 0, 1, 1] and len(view["pictures"]) == 10
    assert is_close(pictures(payload, "t2b")[7], (0, 35, 0))
    said = f"{count} frames, of which {MAX_FRAMES} are here: the first, the last, and evenly spaced"
    assert payload["remarks"][1] == f"{said} between"


def test_both_ends_of_a_clip_are_shown() -> None:
    for count in (1, MAX_FRAMES, MAX_FRAMES + 1, 1000):
        chosen = chosen_frames(count)
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert len(set(chosen)) == len(chosen) == min(count, MAX_FRAMES)


def test_large_images_are_scaled_down_and_the_page_says_so(tmp_path: Path) -> None:
    size = (720, 2560)
    shown = content(
        inputs=[(plain(RED, size), plain(BLUE, size))], frames=[plain(GREENS[0], size)], times=[0.5]
    )
    payload = written(tmp_path / "index.html", shown)
    assert payload["size"] == [1280, 360]
    assert pictures(payload, "frame")[0].shape == (360, 1280, 3)
    assert "2560x720 px, shown at 1280x360" in payload["remarks"]


def test_a_benchmark_capture_stays_small(tmp_path: Path) -> None:
    rough = cv2.GaussianBlur(random_pixels("rough", (540, 960)), (0, 0), 1.5)
    detailed = np.asarray(np.clip((rough.astype(float) - 128) * 3 + 128, 0, 255), np.uint8)
    shown = content(
        inputs=[(detailed, detailed)], frames=[detailed] * 9, times=[n / 8 for n in range(9)]
    )
    write_viewer(tmp_path / "index.html", shown)
    assert (tmp_path / "index.html").stat().st_size < 4e6


def test_missing_pieces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of each for every frame.*'frames': 3, 'times': 2"):
        content(times=[0.0, 1.0])
    with pytest.raises(ValueError, match="at least one, got {'frames': 0, 'times': 0}"):
        content(frames=[], times=[])
    with pytest.raises(ValueError, match="'psnr': 1"):
        content(truth=ShownTruth([plain(RED)] * 3, [30.0]))
    other = content(inputs=[(plain(RED), plain(BLUE, (90, 161)))])
    with pytest.raises(ValueError, match=r"input b2t 0: expected \(90, 160\), got \(90, 161\)"):
        write_viewer(tmp_path / "index.html", other)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write there"):
        write_viewer(tmp_path / "gone" / "index.html", content())
