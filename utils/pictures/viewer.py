"""An HTML page that shows a correction: a slider through time, and a wipe against the inputs.

The page needs no other file and no network: it embeds the pictures as WebP. Its template is
`viewer.html` beside this file.
"""

import base64
import html
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import cv2
import numpy as np

from data.camera_timing import Direction
from data.files.folders import replacing
from data.files.images import Image
from utils.pictures.colour import (
    BRIGHTEST_ERROR,
    ShownFlows,
    draw_error_scale,
    draw_flow_wheel,
    error_picture,
)

VIEWER = "index.html"

MAX_FRAMES = 48
"""Number of frames embedded of longer clips, evenly spaced."""

_TEMPLATE = Path(__file__).with_name("viewer.html")
_MAX_SIDE = 1280  # px, of what is embedded
_MAX_PIXELS = 40_000_000  # of all embedded pictures, which are scaled down to it
_QUALITY = 90  # percent, of WebP
_FLOW_SCALE = 0.5  # size of flow pictures / size of frames: flow is smooth
_BEFORE, _AFTER = ("before",), ("after",)  # sides of the wipe


class OtherFrames(NamedTuple):
    """Frames of another method, shown beside the corrected ones.

    Attributes:
        label: name of the method.
        frames: one for each corrected frame.
        psnr: of each in dB; only shown if the truth is.
    """

    label: str
    frames: Sequence[Image]
    psnr: Sequence[float]


class ShownTruth(NamedTuple):
    """The true frames and the PSNR of each corrected frame.

    Attributes:
        frames: one for each corrected frame.
        psnr: in dB, infinite for a frame identical to the truth.
    """

    frames: Sequence[Image]
    psnr: Sequence[float]


@dataclass(frozen=True)
class ViewerContent:
    """What a page shows. All images are (H, W, 3) uint8 RGB of one size; flow may have another.

    Only the images that are embedded (`chosen_frames`) are read from their sequences, one by one: a
    sequence may read them from disk.

    Attributes:
        title: any text.
        inputs: t2b and b2t of each pair that frames were made from.
        frames: the corrected frames, at least one.
        times: the instant of each frame.
        pairs: for each frame, the index of its pair in `inputs`; by default 0.
        flows: the flow fields to show, if any.
        truth: the true frames, if known.
        fps: frames per second when played.
        directions: readout directions of the inputs, in these pictures.
        remarks: more text for the line below the title.
        label: name of the corrected frames.
        others: frames of other methods.
    """

    title: str
    inputs: Sequence[tuple[Image, Image]]
    frames: Sequence[Image]
    times: Sequence[float]
    pairs: Sequence[int] | None = None
    flows: ShownFlows | None = None
    truth: ShownTruth | None = None
    fps: float = 9.0
    directions: tuple[Direction, Direction] = ("t2b", "b2t")
    remarks: Sequence[str] = ()
    label: str = "corrected"
    others: Sequence[OtherFrames] = ()

    def __post_init__(self) -> None:
        """Check that everything is given for every frame.

        Raises:
            ValueError: there are no frames, or a sequence has another length.
        """
        lengths = {"frames": len(self.frames), "times": len(self.times)}
        if self.pairs is not None:
            lengths["pairs"] = len(self.pairs)
        if self.flows is not None:
            lengths["flows"] = len(self.flows.pictures)
        if self.truth is not None:
            lengths |= {"truth": len(self.truth.frames), "psnr": len(self.truth.psnr)}
        lengths |= {other.label: len(other.frames) for other in self.others}
        if not self.frames or len(set(lengths.values())) > 1:
            raise ValueError(f"expected one of each for every frame, at least one, got {lengths}")


class _View(NamedTuple):
    """A kind of picture that the page can show.

    Attributes:
        key: its name in the page's script.
        label: its name for readers.
        sides: of the wipe on which it can be shown.
        picture: makes the picture of a number.
        shown: for each embedded frame, the number of its picture.
        is_flow: whether it is embedded at the size of flow.
        scale: meaning of its colours: a picture and a text.
        other: the method whose frames it shows, if these are not the corrected ones.
    """

    key: str
    label: str
    sides: tuple[str, ...]
    picture: Callable[[int], Image]
    shown: Sequence[int]
    is_flow: bool = False
    scale: dict[str, str] | None = None
    other: OtherFrames | None = None


def write_viewer(path: Path, content: ViewerContent) -> None:
    """Write the page; on an error an earlier page stays.

    Raises:
        InputError: no space left, no permission, or the folder does not exist.
        ValueError: images differ in size.
    """
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(content.title),
        content=json.dumps(_payload(content), allow_nan=False).replace("<", "\\u003c"),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")


def chosen_frames(count: int) -> list[int]:
    """Numbers of the frames out of `count` that a page embeds, with the first and the last."""
    if count <= MAX_FRAMES:
        return list(range(count))
    return [round(index * (count - 1) / (MAX_FRAMES - 1)) for index in range(MAX_FRAMES)]


def _payload(content: ViewerContent) -> dict[str, Any]:
    """The JSON content that the page's script reads."""
    chosen = chosen_frames(len(content.frames))
    views = _list_views(content, chosen)
    whole = content.frames[chosen[0]].shape[:2]
    shown = _shown_size(whole, views)
    payload: dict[str, Any] = {
        "size": [shown[1], shown[0]],
        "fps": content.fps,
        "total": len(content.frames),
        "numbers": chosen,
        "times": [content.times[frame] for frame in chosen],
        "remarks": [*content.remarks, *_remarks(whole, shown, len(content.frames))],
        "views": [_embed(view, whole, shown) for view in views],
    }
    if content.truth is not None:
        payload["psnr"] = _finite([content.truth.psnr[frame] for frame in chosen])
    return payload


def _finite(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _list_views(content: ViewerContent, chosen: Sequence[int]) -> list[_View]:
    """The inputs, the frames and, if given, true frames, errors and flow."""
    inputs, frames = content.inputs, content.frames
    first, second = content.directions
    pairs = [0 if content.pairs is None else content.pairs[frame] for frame in chosen]
    # Frames of several methods can be wiped against each other.
    sides = _BEFORE + _AFTER if content.others else _AFTER
    views = [
        _View("t2b", f"input {first}", _BEFORE, lambda pair: inputs[pair][0], pairs),
        _View("b2t", f"input {second}", _BEFORE, lambda pair: inputs[pair][1], pairs),
        _View("frame", content.label, sides, lambda frame: frames[frame], chosen),
    ]
    views += [
        _View(f"frame_{number}", other.label, sides, other.frames.__getitem__, chosen, other=other)
        for number, other in enumerate(content.others, start=1)
    ]
    if content.truth is not None:
        truth = content.truth.frames
        error = f"error of {content.label}" if content.others else "error"
        views += [
            _View("truth", "true frame", _BEFORE + _AFTER, lambda frame: truth[frame], chosen),
            _error_view("error", error, frames, truth, chosen),
        ]
        for number, other in enumerate(content.others, start=1):
            name = f"error_{number}", f"error of {other.label}"
            views.append(_error_view(*name, other.frames, truth, chosen)._replace(other=other))
    if content.flows is not None:
        flows, longest = content.flows
        text = f"direction and length of the flow: {longest:.3g} px or more at the rim"
        scale = {"picture": _as_uri(draw_flow_wheel(longest), ".png"), "text": text}
        to_t2b, to_b2t = lambda frame: flows[frame][0], lambda frame: flows[frame][1]
        views += [
            _View("flow_t2b", f"flow to {first}", _AFTER, to_t2b, chosen, True, scale),
            _View("flow_b2t", f"flow to {second}", _AFTER, to_b2t, chosen, True, scale),
        ]
    return views


def _error_view(
    key: str, label: str, frames: Sequence[Image], truth: Sequence[Image], chosen: Sequence[int]
) -> _View:
    text = f"largest error of the channels: 0 to {BRIGHTEST_ERROR} or more of 255 levels"
    scale = {"picture": _as_uri(draw_error_scale(), ".png"), "text": text}
    picture = lambda frame: error_picture(frames[frame], truth[frame])  # noqa: E731
    return _View(key, label, _AFTER, picture, chosen, scale=scale)


def _shown_size(whole: tuple[int, ...], views: Sequence[_View]) -> tuple[int, int]:
    """(H, W) at which frames of size `whole` are embedded."""
    height, width = whole
    areas = (len(set(view.shown)) * (_FLOW_SCALE**2 if view.is_flow else 1) for view in views)
    affordable = math.sqrt(_MAX_PIXELS / (height * width * sum(areas)))
    scale = min(1.0, _MAX_SIDE / max(whole), affordable)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _remarks(whole: tuple[int, ...], shown: tuple[int, int], count: int) -> list[str]:
    """Size, number and quality of the embedded pictures, for readers."""
    size = f"{whole[1]}x{whole[0]} px"
    if shown != whole:
        size += f", shown at {shown[1]}x{shown[0]}"
    embedded = len(chosen_frames(count))
    frames = f"{count} frame{'s' * (count > 1)}"
    if embedded < count:
        frames += f", of which {embedded} are here: the first, the last, and evenly spaced between"
    return [size, frames, f"pictures are WebP at {_QUALITY}%: judge details in the saved frames"]


def _embed(view: _View, whole: tuple[int, ...], shown: tuple[int, int]) -> dict[str, Any]:
    """A view as the page's script reads it; each of its pictures is embedded once."""
    numbers = sorted(set(view.shown))
    size = shown
    if view.is_flow:
        size = max(1, round(shown[0] * _FLOW_SCALE)), max(1, round(shown[1] * _FLOW_SCALE))

    def encode(number: int) -> str:
        picture = view.picture(number)
        if not view.is_flow and picture.shape[:2] != whole:
            raise ValueError(f"{view.label} {number}: expected {whole}, got {picture.shape[:2]}")
        if picture.shape[:2] != size:
            resized = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
            picture = np.asarray(resized, np.uint8)
        return _as_uri(picture, ".webp")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(pool.map(encode, numbers))
    embedded: dict[str, Any] = {
        "key": view.key,
        "label": view.label,
        "sides": view.sides,
        "pictures": pictures,
        "order": [numbers.index(number) for number in view.shown],
        "scale": view.scale,
    }
    if view.other is not None:
        psnr = [view.other.psnr[frame] for frame in view.shown] if view.other.psnr else []
        embedded |= {"method": view.other.label} | ({"psnr": _finite(psnr)} if psnr else {})
    return embedded


def _as_uri(picture: Image, suffix: str) -> str:
    """A picture as a data URI; suffix .webp or .png."""
    quality = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY] if suffix == ".webp" else []
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    return f"data:image/{suffix[1:]};base64,{data}"
