"""From a capture of any size to global-shutter frames at any instants; and the baselines.

Every way to make frames has the shape of a `Correction`, so that tables and videos do not depend on
which one they show: `functools.partial(correct, network)` is one, each entry of `BASELINES`
another.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classical.correction import correct_with_field
from models.classical.field import MotionField, cell_centres, enlarge_cells, sample_frame
from models.flow.dis import single_threaded_opencv
from models.inference.passes import expect_finite, run_network
from models.parts.generator_layers import resize_flow
from models.parts.network import CorrectionNetwork, FrameBatch
from models.parts.settings import InferenceSettings

DEFAULT_SETTINGS = InferenceSettings()
"""float32, so that results compare with published ones; tiles only where memory is short."""


class Corrected(NamedTuple):
    """Frames, and where each of their pixels comes from.

    Attributes:
        frames: (T, 3, H, W) RGB float32 in [0, 1].
        flows: (T, 2, 2, H, W) float32 displacement (dx, dy) in pixels from each frame to t2b, then
            to b2t; None unless asked for.
    """

    frames: Tensor
    flows: Tensor | None = None


class Correction(Protocol):
    """A way to make the frames of a capture."""

    def __call__(
        self,
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        """Frames at T instants in [0, 1] of a pair (2, 3, H, W) RGB in [0, 1].

        Args:
            pair: t2b, b2t.
            times: the instants.
            scan_time: (H,) exposure time of each t2b row; a readout of all rows by default.
            with_flows: whether to return the flows, too.
        """
        ...


def correct(
    network: CorrectionNetwork,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
    settings: InferenceSettings = DEFAULT_SETTINGS,
) -> Corrected:
    """Global-shutter frames of one capture, in as few passes as possible.

    Args:
        network: makes the frames, on its own device; weights in channels-last layout are fastest.
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these H rows by default.
        with_flows: whether to return the network's finest flows, too.
        settings: precision and tiles.

    Returns:
        Frames and flows on the network's device.

    Raises:
        InputError: the images have a single row, or the network produced NaN.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    device = next(network.parameters()).device
    frames = torch.empty((len(times), *pair.shape[1:]), device=device)
    flows = torch.empty((len(times), 2, 2, *pair.shape[2:]), device=device) if with_flows else None

    def collect(batch: FrameBatch) -> None:
        for frame, flow, t in zip(batch.frames, batch.flows, batch.times, strict=True):
            for index in (index for index, wanted in enumerate(times) if wanted == t):
                batch.tile.paste(frames[index], frame)
                if flows is not None:
                    full = resize_flow(flow.float(), 2)
                    full = full[..., : frame.shape[-2], : frame.shape[-1]]
                    batch.tile.paste(flows[index], full)

    run_network(network, pair, times, scan_time=scan_time, settings=settings, collect=collect)
    expect_finite(frames)
    return Corrected(frames, flows)


def correct_classically(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
) -> Corrected:
    """The classical correction: frames sampled from both inputs along the estimated motion.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    frames, field = correct_with_field(pair, times, scan_time=scan_time)
    if not with_flows:
        return Corrected(frames)
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        flows = list(pool.map(lambda t: _classical_flow(field, t, pair.shape[-2:]), times))
    return Corrected(frames, torch.from_numpy(np.stack(flows)).to(pair.device))


def _classical_flow(field: MotionField, t: float, size: Sequence[int]) -> npt.NDArray[np.float32]:
    """(2, 2, H, W) displacements from the frame at instant t to t2b and b2t."""
    rows, columns = field.velocity.shape[:2]
    x, y = cell_centres(rows, columns)
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    cells = np.stack([part for view in views for part in (view.x - x, view.y - y)], axis=-1)
    flow = enlarge_cells(cells, size).transpose(2, 0, 1).reshape(2, 2, *size)
    return np.ascontiguousarray(flow)


def _repeat(choose: Callable[[Tensor], Tensor]) -> Correction:
    """One image (1, 3, H, W) of a pair as the frame at every instant; it has no flows."""

    def correct(
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        return Corrected(choose(pair).repeat(len(times), 1, 1, 1))

    return correct


BASELINES: Mapping[str, Correction] = {
    "classical": correct_classically,
    "t2b as it is": _repeat(lambda pair: pair[:1]),
    "b2t as it is": _repeat(lambda pair: pair[1:]),
    "mean of both": _repeat(lambda pair: pair.mean(dim=0, keepdim=True)),
}
"""What needs no network, by its name in tables."""


def self_ensemble(method: Correction) -> Correction:
    """Test-time augmentation: the mean over a capture and its mirrored, time-reversed version.

    Mirrored left to right and running backwards, a capture is another one that two sensors could
    have taken (`data.transforms`). A method makes the same frames of it, with other errors.
    """

    def correct(
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
    ) -> Corrected:
        here = method(pair, times, scan_time=scan_time, with_flows=with_flows)
        backwards = [1 - t for t in times]
        there = method(pair.flip(0, -1), backwards, scan_time=scan_time, with_flows=with_flows)
        for frame, other in zip(here.frames, there.frames, strict=True):  # a third set is large
            frame.add_(other.flip(-1)).div_(2)
        if here.flows is None or there.flows is None:
            return here
        signs = there.flows.new_tensor((-1, 1))[:, None, None]  # mirroring negates dx
        flows = there.flows.flip(1, -1) * signs
        return Corrected(here.frames, (here.flows + flows) / 2)

    return correct
