"""One HTML page to look at a correction: a slider through time, and a wipe against the inputs.

The page needs no other file and no network: pictures are embedded, as WebP. `viewer.html` beside
this file is its template.
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

MOST_FRAMES = 48
"""Of longer clips so many frames are embedded, evenly spaced."""

_TEMPLATE = Path(__file__).with_name("viewer.html")
_LONGEST_SIDE = 1280  # px, of what is embedded
_PIXEL_BUDGET = 40_000_000  # embedded in all; the pictures are scaled down to keep to it
_QUALITY = 90  # of WebP, in percent
_FLOW_SCALE = 0.5  # flow is smooth: it is shown at half the size of the frames
_BEFORE, _AFTER = ("before",), ("after",)  # of the wipe


class ShownTruth(NamedTuple):
    """The true frames, and how close each frame came to its own.

    Attributes:
        frames: as many as there are frames.
        psnr: in dB, infinite where a frame is identical to the truth.
    """

    frames: Sequence[Image]
    psnr: Sequence[float]


@dataclass(frozen=True)
class ViewerContent:
    """What a page shows. All images are (H, W, 3) uint8 RGB of one size; flow may have another.

    Images are taken from their sequences one by one, and only those embedded (`chosen_frames`): a
    sequence may read them from disk.

    Attributes:
        title: shown above, any text.
        inputs: t2b and b2t of each pair that frames were made from; often a single one.
        frames: the corrected frames, at least one.
        times: the instant of each.
        pairs: index into `inputs` for each frame; by default all are of the first pair.
        flows: the flow fields, if they are to be shown.
        truth: true frames, if they are known.
        fps: frames per second when played.
        directions: how the inputs were read, as the pictures stand.
        remarks: further facts to state below the title.
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
        if not self.frames or len(set(lengths.values())) > 1:
            raise ValueError(f"expected one of each for every frame, at least one, got {lengths}")

    def pair_of(self, frame: int) -> int:
        """Index of the pair that a frame was made from."""
        return 0 if self.pairs is None else self.pairs[frame]


class _View(NamedTuple):
    """A kind of picture that the page can show.

    Attributes:
        key: names it in the page.
        label: what readers see.
        sides: of the wipe on which it can be shown.
        picture: gives the picture of a number.
        numbers: of the pictures to embed.
        order: for each frame shown, the place of its picture in `numbers`.
        is_flow: whether it may have another size than the frames.
        scale: the meaning of its colours: a picture and a text.
    """

    key: str
    label: str
    sides: tuple[str, ...]
    picture: Callable[[int], Image]
    numbers: Sequence[int]
    order: Sequence[int]
    is_flow: bool = False
    scale: dict[str, str] | None = None


def write_viewer(path: Path, content: ViewerContent) -> None:
    """Write the page; `path` is replaced whole or left alone.

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
    """Numbers of the frames that a page of `count` frames embeds, the first and last included."""
    if count <= MOST_FRAMES:
        return list(range(count))
    return [round(index * (count - 1) / (MOST_FRAMES - 1)) for index in range(MOST_FRAMES)]


def _payload(content: ViewerContent) -> dict[str, Any]:
    """What the page's script reads."""
    chosen = chosen_frames(len(content.frames))
    views = [
        *_input_views(content, chosen),
        *_frame_views(content, chosen),
        *_flow_views(content, chosen),
    ]
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
        psnr = [content.truth.psnr[frame] for frame in chosen]
        payload["psnr"] = [value if math.isfinite(value) else None for value in psnr]
    return payload


def _input_views(content: ViewerContent, chosen: Sequence[int]) -> list[_View]:
    """Both inputs of each frame, every pair embedded once."""
    pairs = sorted({content.pair_of(frame) for frame in chosen})
    order = [pairs.index(content.pair_of(frame)) for frame in chosen]
    inputs = content.inputs
    first, second = (f"input {direction}" for direction in content.directions)
    return [
        _View("t2b", first, _BEFORE, lambda pair: inputs[pair][0], pairs, order),
        _View("b2t", second, _BEFORE, lambda pair: inputs[pair][1], pairs, order),
    ]


def _frame_views(content: ViewerContent, chosen: Sequence[int]) -> list[_View]:
    """The frames and, where the truth is known, the truth and the error."""
    frames, order = content.frames, range(len(chosen))
    views = [_View("frame", "corrected", _AFTER, lambda frame: frames[frame], chosen, order)]
    if content.truth is None:
        return views
    truth = content.truth.frames
    legend = {
        "picture": _as_uri(draw_error_scale(), ".png"),
        "text": f"largest error of the channels: 0 to {BRIGHTEST_ERROR} or more of 255 levels",
    }

    def error(frame: int) -> Image:
        return error_picture(frames[frame], truth[frame])

    return [
        *views,
        _View("truth", "true frame", _BEFORE + _AFTER, lambda frame: truth[frame], chosen, order),
        _View("error", "error", _AFTER, error, chosen, order, scale=legend),
    ]


def _flow_views(content: ViewerContent, chosen: Sequence[int]) -> list[_View]:
    """The flow fields to both inputs, if they are given."""
    if content.flows is None:
        return []
    pictures, longest = content.flows
    legend = {
        "picture": _as_uri(draw_flow_wheel(longest), ".png"),
        "text": f"direction and length of the flow: {longest:.3g} px or more at the rim",
    }
    order = range(len(chosen))

    def view(side: int, key: str) -> _View:
        return _View(
            key=key,
            label=f"flow to {content.directions[side]}",
            sides=_AFTER,
            picture=lambda frame: pictures[frame][side],
            numbers=chosen,
            order=order,
            is_flow=True,
            scale=legend,
        )

    return [view(0, "flow_t2b"), view(1, "flow_b2t")]


def _shown_size(whole: tuple[int, ...], views: Sequence[_View]) -> tuple[int, int]:
    """(H, W) at which frames of the size `whole` are embedded."""
    height, width = whole
    areas = (len(view.numbers) * (_FLOW_SCALE**2 if view.is_flow else 1) for view in views)
    affordable = math.sqrt(_PIXEL_BUDGET / (height * width * sum(areas)))
    scale = min(1.0, _LONGEST_SIDE / max(whole), affordable)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _remarks(whole: tuple[int, ...], shown: tuple[int, int], count: int) -> list[str]:
    """What readers should know about the pictures they see."""
    size = f"{whole[1]}x{whole[0]} px"
    if shown != whole:
        size += f", shown at {shown[1]}x{shown[0]}"
    embedded = len(chosen_frames(count))
    frames = f"{count} frame{'s' * (count > 1)}"
    if embedded < count:
        frames += f", of which {embedded} are here: the first, the last, and evenly spaced between"
    return [size, frames, f"pictures are WebP at {_QUALITY}%: judge details in the saved frames"]


def _embed(view: _View, whole: tuple[int, ...], shown: tuple[int, int]) -> dict[str, Any]:
    """A view as the page's script reads it."""
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
        pictures = list(pool.map(encode, view.numbers))
    return {
        "key": view.key,
        "label": view.label,
        "sides": view.sides,
        "pictures": pictures,
        "order": list(view.order),
        "scale": view.scale,
    }


def _as_uri(picture: Image, suffix: str) -> str:
    """A picture as a data URI; suffix .webp or .png."""
    quality = [cv2.IMWRITE_WEBP_QUALITY, _QUALITY] if suffix == ".webp" else []
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), quality)
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    return f"data:image/{suffix[1:]};base64,{data}"
