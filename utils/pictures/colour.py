"""Flow fields and errors as colour. Of flow, hue is the direction and saturation the length."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.files.images import Image
from utils.pictures.contact_sheet import SheetRow, draw_sheet

BRIGHTEST_ERROR = 64
"""Errors of this many levels of 255, and larger ones, are drawn in the brightest colour."""

_QUANTILE = 0.99  # of lengths: scaled to outliers, everything else would look pale
_MIN_SCALE = 1.0  # px, so that a static capture looks static
_SAMPLED_SIDE = 64  # rows and columns of each field from which the scale is estimated
_WHEEL_SIZE = 160
_WHEEL_MARGIN = 8
_SHEET_COLUMNS = 4
_SHEET_WHEEL_SIZE = 300  # px, the width of a column
_ERROR_SCALE_SIZE = (14, 200)

_RED, _YELLOW, _GREEN = (1, 0, 0), (1, 1, 0), (0, 1, 0)
_CYAN, _BLUE, _MAGENTA = (0, 1, 1), (0, 0, 1), (1, 0, 1)
_ARCS = (  # of the wheel: more hues where the eye tells more apart
    *((_RED, _YELLOW, 15), (_YELLOW, _GREEN, 6), (_GREEN, _CYAN, 4)),
    *((_CYAN, _BLUE, 11), (_BLUE, _MAGENTA, 13), (_MAGENTA, _RED, 6)),
)


class ShownFlows(NamedTuple):
    """Coloured flow fields of a capture's frames.

    Attributes:
        pictures: for each frame, the flow to t2b and the flow to b2t.
        scale: length in pixels at full saturation, in all pictures.
    """

    pictures: Sequence[tuple[Image, Image]]
    scale: float


def show_flows(flows: Tensor) -> ShownFlows:
    """Colour the flows of a capture at half size, with one scale for all.

    Args:
        flows: (T, 2, 2, H, W) displacement (dx, dy) in pixels from each frame to t2b, then to b2t.
    """
    scale = flow_scale(flows)
    drawn = [flow_pictures(flow[..., ::2, ::2], scale) for flow in flows]
    return ShownFlows([(to_t2b, to_b2t) for to_t2b, to_b2t in drawn], scale)


def flow_scale(flows: Tensor) -> float:
    """Length in pixels at full saturation: nearly the largest of flows (..., 2, H, W)."""
    height, width = flows.shape[-2:]
    steps = max(1, height // _SAMPLED_SIDE), max(1, width // _SAMPLED_SIDE)
    lengths = flows[..., :: steps[0], :: steps[1]].float().norm(dim=-3)
    return max(_MIN_SCALE, float(np.quantile(lengths.cpu().numpy(), _QUANTILE)))


def flow_pictures(flows: Tensor, scale: float | None = None) -> list[Image]:
    """Colour flow fields by the wheel of the Middlebury benchmark, with one scale for all.

    Args:
        flows: (T, 2, H, W) in pixels, (dx, dy).
        scale: length in pixels at full saturation and beyond; by default `flow_scale(flows)`.

    Returns:
        T pictures (H, W, 3) uint8 RGB.

    Raises:
        ValueError: another shape than stated.
    """
    if flows.ndim != 4 or flows.shape[1] != 2:
        raise ValueError(f"flows must be (T, 2, H, W), got {tuple(flows.shape)}")
    longest = flow_scale(flows) if scale is None else scale
    return [_colour(flow.detach().float().cpu(), longest) for flow in flows]


def draw_flow_wheel(scale: float, size: int = _WHEEL_SIZE) -> Image:
    """Legend: each point of a disc has the colour of the displacement from the centre to it.

    Args:
        scale: length in pixels at the rim.
        size: rows and columns of the picture, white around the disc.

    Returns:
        (size, size, 3) uint8 RGB.
    """
    across = torch.linspace(-1, 1, size) * size / (size - 2 * _WHEEL_MARGIN)
    dy, dx = torch.meshgrid(across, across, indexing="ij")
    disc = _colour(torch.stack((dx, dy)) * scale, scale)
    centre = ((size - 1) * 8, (size - 1) * 8)  # in sixteenths of a pixel
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, centre, (size // 2 - _WHEEL_MARGIN) * 16, 255, -1, cv2.LINE_AA, shift=4)
    cover = mask[..., None] / 255
    return np.asarray(np.round(disc * cover + 255 * (1 - cover)), np.uint8)


def draw_flow_sheet(flows: Tensor, times: Sequence[float]) -> Image:
    """Contact sheet of the flows of a capture; the legend is in the last row.

    Args:
        flows: (T, 2, 2, H, W) displacement (dx, dy) in pixels from each frame to t2b, then to b2t.
        times: the instant of each frame in [0, 1].

    Returns:
        The sheet, (H', W', 3) uint8 RGB.
    """
    shown, scale = show_flows(flows)
    pictures = []
    for (to_t2b, to_b2t), time in zip(shown, times, strict=True):
        pictures += [(to_t2b, f"t = {time:.4g}, flow to t2b"), (to_b2t, f"t = {time:.4g}, to b2t")]
    rows: list[SheetRow] = [
        pictures[start : start + _SHEET_COLUMNS]
        for start in range(0, len(pictures), _SHEET_COLUMNS)
    ]
    wheel = draw_flow_wheel(scale, _SHEET_WHEEL_SIZE)
    legend = (wheel, f"direction and length: {scale:.3g} px or more at the rim")
    return draw_sheet([(row, _SHEET_COLUMNS) for row in [*rows, [legend]]])


def _colour(flow: Tensor, scale: float) -> Image:
    """Draw one field (2, H, W) so that the length `scale` has full saturation.

    Baker et al., IJCV 2011, section 4.1: hue is interpolated along the wheel, saturation is length.
    """
    dx, dy = flow.numpy()
    wheel = _wheel()
    place = (np.arctan2(-dy, -dx) / np.pi + 1) / 2 * (len(wheel) - 1)
    before = place.astype(np.intp)
    share = (place - before.astype(np.float32))[..., None]
    hue = (1 - share) * wheel[before] + share * wheel[(before + 1) % len(wheel)]
    length = np.minimum(np.hypot(dx, dy) / scale, 1)[..., None]
    return np.floor(255 * (1 - length * (1 - hue))).astype(np.uint8)


@cache
def _wheel() -> npt.NDArray[np.float32]:
    """The wheel's hues (55, 3) RGB in [0, 1], from red over yellow, green, cyan, blue, magenta."""
    arcs = []
    for begin, end, count in _ARCS:
        share = np.arange(count)[:, None] / count
        arcs.append((1 - share) * np.array(begin) + share * np.array(end))
    return np.concatenate(arcs).astype(np.float32)


def error_picture(frame: Image, truth: Image) -> Image:
    """Draw the largest error of each pixel's channels, always on the same scale.

    Args:
        frame: (H, W, 3) uint8.
        truth: (H, W, 3) uint8.
    """
    error = np.abs(frame.astype(np.int16) - truth).max(axis=2)
    return _heat(np.minimum(error / BRIGHTEST_ERROR, 1))


def draw_error_scale() -> Image:
    """Legend: the colours of errors from 0 to `BRIGHTEST_ERROR`, left to right."""
    height, width = _ERROR_SCALE_SIZE
    return _heat(np.linspace(0, 1, width)[None].repeat(height, axis=0))


def _heat(share: npt.NDArray[np.floating]) -> Image:
    levels = np.asarray(np.round(share * 255), np.uint8)
    heated = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(heated, cv2.COLOR_BGR2RGB), np.uint8)
