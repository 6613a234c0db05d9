"""Padding of pairs, the order of frames and views in tensors, and warps of both views."""

from torch import Tensor

from models.parts.padding import pad_to_multiple, repeat_last, unpad
from models.parts.settings import SIZE_MULTIPLE
from models.warping import Canvas, Corner, pixel_centres, sampling_places, warp_canvas

SMALLEST_SIDE = 128
"""Smaller sides are padded to it: every level of the volumes then has two pixels a side."""


def pad(images: Tensor) -> Tensor:
    """Repeat the last column and row up to multiples of 32 from `SMALLEST_SIDE` on."""
    images = pad_to_multiple(images, SIZE_MULTIPLE)
    for dim in (-2, -1):
        if images.shape[dim] < SMALLEST_SIDE:
            images = repeat_last(images, SMALLEST_SIDE - images.shape[dim], dim=dim)
    return images


def by_frame(maps: Tensor) -> Tensor:
    """Offsets (B, 2 * T, H, W) -> (B * T, 2, H, W)."""
    return maps.unflatten(1, (2, -1)).transpose(1, 2).flatten(0, 1)


def by_view(flow: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Flow (B * T, 4, H, W) of frames -> (B, 4 * T, *size): all to t2b, then all to b2t."""
    ordered = flow.unflatten(0, (-1, count)).unflatten(2, (2, 2)).transpose(1, 2)
    return unpad(ordered.flatten(1, 3), *size)


def repeat(features: Tensor, count: int) -> Tensor:
    """Repeat each of (B, ...) for its frames, `count` in all; no copy if there is one pair."""
    if len(features) == 1:
        return features.expand(count, *features.shape[1:])
    return features.repeat_interleave(count // len(features), dim=0)


def view_of(canvas: Canvas, view: int, count: int) -> Canvas:
    """One view of a canvas of B pairs, repeated for `count` frames."""
    return canvas._replace(ground=repeat(canvas.ground[:, view], count))


def warp_views(canvas: Canvas, flow: Tensor, corner: Corner = (0, 0)) -> list[Tensor]:
    """Warp both views by their halves of a flow (N, 4, h, w) that starts at `corner`."""
    places = sampling_places(canvas, pixel_centres(flow, corner))
    return [
        warp_canvas(view_of(canvas, view, len(flow)), part, places)
        for view, part in enumerate(flow.chunk(2, dim=1))
    ]
