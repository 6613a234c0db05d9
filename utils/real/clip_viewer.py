"""The page that shows a corrected clip: some of its frames beside the views they were made from."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from torch import Tensor

from data.files.images import Image, to_uint8
from data.video.sources import open_video
from utils.pictures.viewer import VIEWER, ViewerContent, chosen_frames, write_viewer
from utils.real.clip_plan import ClipPlan

_LONGEST_SIDE = 960  # px: all pictures of the page are in memory at once
_MOST_FPS = 9.0

Item = TypeVar("Item")


def write_clip_viewer(plan: ClipPlan, video: Path, folder: Path) -> None:
    """Write `index.html` into a folder, from a finished video and the recordings it was made of.

    Raises:
        InputError: something cannot be read or written.
    """
    moments = [(pair, t) for pair in range(plan.stream.count) for t in plan.instants(pair)]
    chosen = chosen_frames(len(moments))
    numbers = sorted({moments[frame][0] for frame in chosen})
    inputs = []
    with closing(plan.stream.pairs()) as captures:
        for capture in _pick(captures, numbers):
            views = plan.stream.timing.restore(plan.preparation.apply(capture.pair))
            height, width = views.shape[-2:]
            inputs.append((_shrink(views[0]), _shrink(views[1])))
    with closing(open_video(video).frames()) as made:  # whose sides are even, as video's have to be
        frames = [_shrink(frame[:, :height, :width]) for frame in _pick(made, chosen)]
    content = ViewerContent(
        title=plan.stream.name,
        inputs=inputs,
        frames=frames,
        times=[sum(moments[frame]) for frame in chosen],
        pairs=[numbers.index(moments[frame][0]) for frame in chosen],
        fps=min(plan.video_fps, _MOST_FPS),
        directions=plan.stream.timing.oriented_directions,
        remarks=_remarks(plan, len(chosen)),
    )
    write_viewer(folder / VIEWER, content)


def _remarks(plan: ClipPlan, shown: int) -> list[str]:
    pairs = f"t counts the {plan.stream.count} pairs"
    frames = f"{shown} of the video's {plan.frame_count} frames, evenly spaced"
    return [pairs, frames if shown < plan.frame_count else "all frames of the video"]


def _pick(items: Iterable[Item], numbers: Sequence[int]) -> Iterator[Item]:
    """The items of these numbers."""
    wanted = set(numbers)
    return (item for number, item in enumerate(items) if number in wanted)


def _shrink(picture: Tensor) -> Image:
    """A picture (3, H, W) as the page takes it, its longest side limited."""
    image = to_uint8(picture)
    scale = min(1.0, _LONGEST_SIDE / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
