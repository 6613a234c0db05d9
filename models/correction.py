"""From a capture of any size to global-shutter frames at any instants; and the baselines.

Every way to make frames has the shape of a `Method`, so that tables and videos do not care which
one they show: `functools.partial(correct, generator)` is one, each entry of `BASELINES` another.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from data import time_maps
from models.capture_checks import check_scan, check_size, check_times
from models.classical import correct_classically
from models.generator import SIZE_MULTIPLE
from models.networks import Corrector
from models.refiner import Refiner
from utils.padding import pad_to_multiple, unpad

_PIXELS_AT_ONCE = 9 * 960 * 544  # of frames that a refiner makes in one pass


class Method(Protocol):
    """A way to make the frames of a capture."""

    def __call__(
        self, pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
    ) -> Tensor:
        """Frames (T, 3, H, W) at T instants in [0, 1] of a pair (2, 3, H, W); RGB in [0, 1].

        `scan_time` (H,): exposure time of each t2b row, a readout of all rows by default.
        """
        ...


def frame_instants(count: int) -> tuple[float, ...]:
    """`count` instants evenly spaced over the readout, from 0 to 1.

    Raises:
        ValueError: `count` is below 2.
    """
    if count < 2:
        raise ValueError(f"expected at least 2 frames, got {count}")
    return tuple(index / (count - 1) for index in range(count))


@torch.inference_mode()
def correct(
    generator: Corrector,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
) -> Tensor:
    """Global-shutter frames of one capture, in as few passes as possible.

    A pass gives the frames at 0, t and 1: one pass for each instant strictly between 0 and 1, and
    the frames at 0 and 1 from the pass whose t is nearest to 0.5, where both ends are equally far.

    Args:
        generator: gives the frames at 0, t and 1 (`num_frames` 3).
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these H rows by default.

    Returns:
        (T, 3, H, W) float32 in [0, 1] on the generator's device.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    height, width = check_size(pair)
    weight = next(generator.parameters())
    if isinstance(generator, Refiner):
        check_times(times)
        scan = _padded_scan(scan_time, height, height).to(weight)
        return _refine(generator, pair.to(weight), scan, times).float()
    padded = pad_to_multiple(pair.to(weight), SIZE_MULTIPLE)
    scan = _padded_scan(scan_time, height, padded.shape[-2]).to(weight)

    frames: dict[float, Tensor] = {}
    for middle in _middle_instants(times):
        instants = scan.new_tensor([[0.0, middle, 1.0]])
        offsets = time_maps.offset_maps(scan[None], instants).expand(-1, -1, -1, padded.shape[-1])
        start, between, end = unpad(generator(padded[None], offsets).frames[0], height, width)
        frames[middle] = between
        frames.setdefault(0.0, start)
        frames.setdefault(1.0, end)
    return torch.stack([frames[float(instant)] for instant in times]).float()


def _refine(generator: Refiner, pair: Tensor, scan: Tensor, times: Sequence[float]) -> Tensor:
    """Frames (T, 3, H, W), as many in one pass as memory allows."""
    at_once = max(1, _PIXELS_AT_ONCE // (pair.shape[-2] * pair.shape[-1]))
    frames = []
    for instants in torch.tensor([list(times)]).to(scan).split(at_once, dim=1):
        offsets = time_maps.offset_maps(scan[None], instants).expand(-1, -1, -1, pair.shape[-1])
        frames.append(generator(pair[None], offsets).frames[0])
    return torch.cat(frames)


def _middle_instants(times: Sequence[float]) -> list[float]:
    """Each pass's t, the nearest to 0.5 first; 0.5 alone where only 0 and 1 are wanted."""
    check_times(times)
    interior = {float(instant) for instant in times if 0 < instant < 1}
    return sorted(interior or {0.5}, key=lambda instant: (abs(instant - 0.5), instant))


def _padded_scan(scan_time: Tensor | None, height: int, rows: int) -> Tensor:
    """(rows,) exposure times: the scan of the image, continued at its own pace below it."""
    if scan_time is None:
        return time_maps.scan_time(height, rows=rows)
    check_scan(scan_time, height)
    pace = (scan_time[-1] - scan_time[0]) / (height - 1)
    below = torch.arange(1, rows - height + 1, dtype=scan_time.dtype, device=scan_time.device)
    return torch.cat((scan_time, scan_time[-1] + pace * below))


def _repeat_t2b(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
    return pair[:1].repeat(len(times), 1, 1, 1)


def _repeat_b2t(pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None) -> Tensor:
    return pair[1:].repeat(len(times), 1, 1, 1)


def _repeat_mean(
    pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
) -> Tensor:
    return pair.mean(dim=0, keepdim=True).repeat(len(times), 1, 1, 1)


BASELINES: Mapping[str, Method] = {
    "classical": correct_classically,
    "t2b": _repeat_t2b,
    "b2t": _repeat_b2t,
    "mean": _repeat_mean,
}
"""What needs no network: the classical correction; each input, and their mean, throughout."""
