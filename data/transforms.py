"""Crops and the exact symmetries of a dual reversed capture.

Each function returns a capture that a sensor could have taken: of part of the scene, of its mirror
image, or of the scene running backwards. Scan times stay with the sensor rows.
"""

from dataclasses import replace

from torch import Tensor

from data.capture import CapturePair

_ROWS, _COLUMNS = -2, -1


def crop(capture: CapturePair, *, top: int, left: int, height: int, width: int) -> CapturePair:
    """Cut the same rectangle out of every image; the rows keep their scan time.

    Raises:
        ValueError: the rectangle is empty, exceeds the images, or cuts through the blocks of true
            flows.
    """
    inside = 0 <= top < top + height <= capture.height and 0 <= left < left + width <= capture.width
    if not inside:
        raise ValueError(
            f"{capture.name}: cannot crop {height}x{width} at row {top}, column {left} "
            f"out of {capture.height}x{capture.width}"
        )
    stride = capture.flow_stride
    if any(side % stride for side in (top, left, height, width)):
        raise ValueError(
            f"{capture.name}: true flows of {stride}x{stride} px blocks cannot be cut to "
            f"{height}x{width} at row {top}, column {left}"
        )

    def cut(images: Tensor, stride: int = 1) -> Tensor:
        rows = slice(top // stride, (top + height) // stride)
        return images[..., rows, left // stride : (left + width) // stride]

    return replace(
        capture,
        t2b=cut(capture.t2b),
        b2t=cut(capture.b2t),
        scan_time=capture.scan_time[top : top + height],
        truth=None if capture.truth is None else cut(capture.truth),
        truth_flows=None if capture.truth_flows is None else cut(capture.truth_flows, stride),
    )


def flip_horizontal(capture: CapturePair) -> CapturePair:
    """Mirror left and right: dx changes sign, timing stays."""
    flows = capture.truth_flows
    return replace(
        capture,
        t2b=capture.t2b.flip(_COLUMNS),
        b2t=capture.b2t.flip(_COLUMNS),
        truth=None if capture.truth is None else capture.truth.flip(_COLUMNS),
        truth_flows=None if flows is None else _negated(flows.flip(_COLUMNS), component=0),
    )


def flip_vertical(capture: CapturePair) -> CapturePair:
    """Mirror top and bottom: the two inputs swap, dy changes sign.

    Upside down, the b2t image is read top to bottom: it becomes t2b, and row y is exposed when
    b2t's row H - 1 - y was, at `1 - scan_time[H - 1 - y]`.
    """
    flows = capture.truth_flows
    return replace(
        capture,
        t2b=capture.b2t.flip(_ROWS),
        b2t=capture.t2b.flip(_ROWS),
        scan_time=1 - capture.scan_time.flip(0),
        truth=None if capture.truth is None else capture.truth.flip(_ROWS),
        truth_flows=None if flows is None else _negated(flows.flip(1, _ROWS), component=1),
    )


def reverse_time(capture: CapturePair) -> CapturePair:
    """Reverse time: t becomes 1 - t, and the two inputs swap, with their pixels unchanged.

    The b2t image, exposed at `1 - scan_time`, is then exposed at `scan_time`: it becomes t2b. True
    frames are reversed, so that their times ascend.
    """
    times, flows = capture.truth_times, capture.truth_flows
    return replace(
        capture,
        t2b=capture.b2t,
        b2t=capture.t2b,
        truth=None if capture.truth is None else capture.truth.flip(0),
        truth_times=None if times is None else 1 - times.flip(0),
        truth_flows=None if flows is None else flows.flip(0, 1),
    )


def _negated(flows: Tensor, *, component: int) -> Tensor:
    """Change the sign of dx (component 0) or dy (1) of (T, 2, 2, H, W) flows."""
    signs = flows.new_ones(2)
    signs[component] = -1
    return flows * signs[:, None, None]
