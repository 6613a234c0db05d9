"""The page that shows frames of a corrected clip and the views they were made from."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from torch import Tensor

from data.files.images import Image, to_uint8
from data.video.pairing import describe_unsure
from data.video.sources import open_video
from utils.pictures.viewer import VIEWER, ViewerContent, chosen_frames, write_viewer
from utils.real.clip_plan import ClipPlan

_MAX_SIDE = 960  # px: all pictures of the page are in memory at once
_MAX_FPS = 9.0

Item = TypeVar("Item")


def write_clip_viewer(plan: ClipPlan, video: Path, folder: Path) -> None:
    """Write `index.html` into a folder, from a finished video and its recordings.

    Raises:
        InputError: something cannot be read or written.
    """
    moments = [(pair, t) for pair in range(plan.stream.count) for t in plan.instants(pair)]
    chosen = chosen_frames(len(moments))
    numbers = sorted({moments[frame][0] for frame in chosen})
    inputs = []
    with closing(plan.stream.pairs()) as captures:
        for capture in _pick(captures, numbers):
            views = plan.stream.timing.restore(plan.preparation.apply_to(capture).pair)
            height, width = views.shape[-2:]
            inputs.append((_shrink(views[0]), _shrink(views[1])))
    with closing(open_video(video).frames()) as made:  # padded to even sides, as H.264 needs
        frames = [_shrink(frame[:, :height, :width]) for frame in _pick(made, chosen)]
    unsure = describe_unsure(plan.stream.unsure)
    content = ViewerContent(
        title=plan.options.title or plan.stream.name,
        inputs=inputs,
        frames=frames,
        times=[sum(moments[frame]) for frame in chosen],
        pairs=[numbers.index(moments[frame][0]) for frame in chosen],
        fps=min(plan.video_fps, _MAX_FPS),
        directions=plan.stream.timing.oriented_directions,
        remarks=[
            *(f"warning: {text}" for text in plan.warnings),
            *([f"not confirmed to belong together: {unsure}"] if unsure else []),
            f"t counts the {plan.stream.count} pairs",
            f"{len(chosen)} of the video's {plan.frame_count} frames, evenly spaced"
            if len(chosen) < plan.frame_count
            else "all frames of the video",
        ],
    )
    write_viewer(folder / VIEWER, content)


def _pick(items: Iterable[Item], numbers: Sequence[int]) -> Iterator[Item]:
    """The items of these numbers."""
    return (item for number, item in enumerate(items) if number in numbers)


def _shrink(picture: Tensor) -> Image:
    """A picture (3, H, W) as an image whose longer side is limited."""
    image = to_uint8(picture)
    scale = min(1.0, _MAX_SIDE / max(image.shape))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
