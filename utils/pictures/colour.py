"""Flow fields as colour: the direction is the hue, the length the saturation."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data.files.images import Image
from utils.pictures.contact_sheet import SheetRow, draw_sheet

_QUANTILE = 0.99  # of lengths: what outliers add beyond would leave everything else pale
_LEAST_SCALE = 1.0  # px, so that a static capture looks static
_SAMPLED_SIDE = 64  # rows and columns of each field that the scale is estimated from
_WHEEL_SIZE = 160
_WHEEL_MARGIN = 8
_SHEET_COLUMNS = 4
_SHEET_WHEEL_SIZE = 300  # the width of a column


class ShownFlows(NamedTuple):
    """Flow fields of every frame of a capture as colour.

    Attributes:
        pictures: from each frame to t2b and to b2t.
        scale: length in pixels of full colour in all of them.
    """

    pictures: Sequence[tuple[Image, Image]]
    scale: float


def show_flows(flows: Tensor) -> ShownFlows:
    """Colour the flows of a capture at half size, all on one scale.

    Args:
        flows: (T, 2, 2, H, W) displacement (dx, dy) in pixels from each frame to t2b, then to b2t.
    """
    scale = flow_scale(flows)
    drawn = [flow_pictures(flow[..., ::2, ::2], scale) for flow in flows]
    return ShownFlows([(to_t2b, to_b2t) for to_t2b, to_b2t in drawn], scale)


def flow_scale(flows: Tensor) -> float:
    """Length in pixels that is drawn in full colour: nearly the longest of flows (..., 2, H, W)."""
    height, width = flows.shape[-2:]
    steps = max(1, height // _SAMPLED_SIDE), max(1, width // _SAMPLED_SIDE)
    lengths = flows[..., :: steps[0], :: steps[1]].float().norm(dim=-3)
    return max(_LEAST_SCALE, float(np.quantile(lengths.cpu().numpy(), _QUANTILE)))


def flow_pictures(flows: Tensor, scale: float | None = None) -> list[Image]:
    """Colour flow fields by torchvision's wheel, all on one scale.

    Args:
        flows: (T, 2, H, W) in pixels, (dx, dy).
        scale: length in pixels of full colour; `flow_scale(flows)` by default. Longer ones are
            drawn alike.

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
    """Legend: how a displacement from the centre to each place of the disc is coloured.

    Args:
        scale: length in pixels at the rim.
        size: rows and columns of the picture; the disc nearly fills it, on white.

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
    """Contact sheet of the flows of a capture, with the legend in its last row.

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
    return draw_sheet([*rows, [legend]], columns=_SHEET_COLUMNS)


def _colour(flow: Tensor, scale: float) -> Image:
    """Draw one field (2, H, W) so that the length `scale` has full colour."""
    # Not at the top: torchvision takes long to load, and only those who look at flow need it.
    from torchvision.utils import flow_to_image

    lengths = flow.norm(dim=0, keepdim=True)
    clipped = flow * (scale / lengths.clamp(min=scale))
    # It takes the longest displacement given for full colour: a row of that length sets it.
    reference = torch.tensor([scale, 0.0])[:, None, None].expand(-1, 1, flow.shape[-1])
    drawn = flow_to_image(torch.cat((clipped, reference), dim=1))[:, :-1]
    return drawn.permute(1, 2, 0).contiguous().numpy()


BRIGHTEST_ERROR = 64
"""Levels of 255 at and above which an error is drawn in the brightest colour."""

_LEGEND_SIZE = (14, 200)


def error_picture(frame: Image, truth: Image) -> Image:
    """Draw the largest error of the channels of each pixel; both images (H, W, 3) uint8.

    The scale is always the same, so pictures can be compared.
    """
    error = np.abs(frame.astype(np.int16) - truth).max(axis=2)
    return _heat(np.minimum(error / BRIGHTEST_ERROR, 1))


def draw_error_scale() -> Image:
    """Legend: the colours of errors from 0 to `BRIGHTEST_ERROR`, left to right."""
    height, width = _LEGEND_SIZE
    return _heat(np.linspace(0, 1, width)[None].repeat(height, axis=0))


def _heat(share: npt.NDArray[np.floating]) -> Image:
    levels = np.asarray(np.round(share * 255), np.uint8)
    heated = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(heated, cv2.COLOR_BGR2RGB), np.uint8)
