"""Correction of a capture of any size to global-shutter frames at any instants; baselines.

Every method is a `Correction`: `functools.partial(correct, network)`, and each of `BASELINES`.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classical.correction import correct_with_field
from models.classical.field import MotionField, cell_centres, enlarge_cells, sample_frame
from models.device_motion.host_fields import estimate_on_device
from models.flow.dis import single_threaded_opencv
from models.inference.tiling import BATCH_PIXELS, FALLBACK_TILE, plan_tiles
from models.parts.checks import check_size, check_times
from models.parts.generator_layers import resize_flow
from models.parts.network import CorrectionNetwork, FrameBatch, Inference
from models.parts.padding import padded_scan
from models.parts.precision import autocast
from models.parts.settings import Blending, InferenceSettings, MotionEstimate
from models.progress import part_of, tell_share
from models.refiner.cues import cues_of
from utils.errors import InputError

DEFAULT_SETTINGS = InferenceSettings()
"""float32, for comparison with published results; tiles only if memory is short."""

AS_TRAINED = InferenceSettings(blending="average")
"""Frames as the objectives of training see them, with everything that the network learns."""


class Corrected(NamedTuple):
    """Frames and their flows to the inputs.

    Attributes:
        frames: (T, 3, H, W) RGB float32 in [0, 1].
        flows: (T, 2, 2, H, W) float32 displacement (dx, dy) in pixels from each frame to t2b, then
            to b2t; None unless asked for.
    """

    frames: Tensor
    flows: Tensor | None = None


class Correction(Protocol):
    """A method that makes the frames of a capture."""

    def __call__(
        self,
        pair: Tensor,
        times: Sequence[float],
        *,
        scan_time: Tensor | None = None,
        with_flows: bool = False,
        rows: Tensor | None = None,
        motion: MotionField | None = None,
    ) -> Corrected:
        """Make frames at T instants of one capture.

        Args:
            pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
            times: T instants in [0, 1].
            scan_time: (H,) exposure time of each t2b row; default: rows 0 to H - 1 in [0, 1].
            with_flows: whether to return the flows, too.
            rows: (T, H) bool, rows of each frame that are needed; a method may leave the others
                black. Default: all.
            motion: classical motion of the capture, if it is known; methods that start from it
                estimate it otherwise, other methods ignore it.
        """
        ...


def correct(
    network: CorrectionNetwork,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
    rows: Tensor | None = None,
    motion: MotionField | None = None,
    settings: InferenceSettings = DEFAULT_SETTINGS,
) -> Corrected:
    """Make global-shutter frames of one capture with a network, in as few passes as possible.

    If a GPU runs out of memory, all frames are made again in tiles.

    Args:
        network: runs on its own device; channels-last layout is fastest.
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; any H >= 2, any W >= 1.
        times: instants in [0, 1], in any order.
        scan_time: (H,) exposure time of each t2b row; default: rows 0 to H - 1 in [0, 1].
        with_flows: whether to return the network's finest flows, too.
        rows: (T, H) bool, rows of each frame that are needed; default: all.
        motion: classical motion of the capture, if it is known; used if the network takes cues.
        settings: precision, tiles and blending.

    Returns:
        Frames and flows on the network's device.

    Raises:
        InputError: the images have a single row, the network does not make three frames in a pass
            or none at these instants, or it produced NaN.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    height, width = check_size(pair)
    check_times(times)
    weight = next(network.parameters())
    scan = padded_scan(scan_time, height, height).to("cpu", weight.dtype)
    tile, note = plan_tiles(network, (height, width), len(times), settings.tile)
    if note:
        sys.stderr.write(f"{note}\n")
    batch_pixels = BATCH_PIXELS[weight.device.type == "cpu"]
    instants = tuple(map(float, times))
    inference = Inference(
        *(pair.to(weight), instants, scan, tile, batch_pixels, settings.blending, rows),
        motion_estimate=settings.motion_estimate,
    )
    if motion is not None and network.needs_cues:
        cues = cues_of(motion, instants, (height, width), rows).packed.to(weight)
        inference = inference._replace(cues=cues, noise=motion.noise)
    frames = weight.new_zeros((len(times), 3, height, width), dtype=torch.float32)
    flows = frames.new_zeros((len(times), 2, 2, height, width)) if with_flows else None

    done = 0  # pixels

    def collect(batch: FrameBatch) -> None:
        nonlocal done
        for frame, flow, t in zip(batch.frames, batch.flows, batch.times, strict=True):
            for index in (index for index, wanted in enumerate(times) if wanted == t):
                batch.tile.paste(frames[index], frame)
                if flows is not None:
                    full = resize_flow(flow.float(), 2)
                    full = full[..., : frame.shape[-2], : frame.shape[-1]]
                    batch.tile.paste(flows[index], full)
        done += len(batch.times) * batch.tile.area
        tell_share(done / (len(set(times)) * height * width))

    with torch.inference_mode(), autocast(settings.precision, weight.device):
        _infer(network, inference, collect, may_tile=settings.tile is not None)
    expect_finite(frames)
    return Corrected(frames, flows)


def expect_finite(frames: Tensor) -> None:
    """Refuse frames that are not pictures.

    Raises:
        InputError: some values are NaN.
    """
    if frames.isnan().any():
        raise InputError(
            "the network produced NaN: its weights are damaged or their training diverged; use "
            "other weights"
        )


def _infer(
    network: CorrectionNetwork,
    inference: Inference,
    collect: Callable[[FrameBatch], None],
    *,
    may_tile: bool,
) -> None:
    """Pass every batch to `collect`; if a GPU runs out of memory, all again in tiles."""
    try:
        for batch in network.infer(inference):
            collect(batch)
        return
    except torch.OutOfMemoryError:
        if inference.tile is not None or not may_tile:
            raise
    # Outside the handler, which would keep the failed pass in memory.
    height, width = inference.size
    sys.stderr.write(f"{width}x{height}: out of memory, again in tiles of {FALLBACK_TILE}\n")
    for batch in network.infer(inference._replace(tile=FALLBACK_TILE, batch_pixels=0)):
        collect(batch)


def correct_classically(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
    rows: Tensor | None = None,
    motion: MotionField | None = None,
    blending: Blending = "choose",
    motion_estimate: MotionEstimate = "auto",
) -> Corrected:
    """Make frames by sampling both inputs along motion estimated without learned weights.

    `blending`: whether a frame takes one of the views where they disagree, or their average.
    `motion_estimate`: where the motion is estimated, if it is not known; sampling is on the CPU.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    motion = motion or estimate_on_device(pair, scan_time, motion_estimate)
    frames, field = correct_with_field(
        pair, times, scan_time=scan_time, rows=rows, motion=motion, blending=blending
    )
    if not with_flows:
        return Corrected(frames)
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        flows = list(pool.map(lambda t: _classical_flow(field, t, pair.shape[-2:]), times))
    return Corrected(frames, torch.from_numpy(np.stack(flows)).to(pair.device))


def _classical_flow(field: MotionField, t: float, size: Sequence[int]) -> npt.NDArray[np.float32]:
    """Displacements (2, 2, H, W) from the frame at instant t to t2b and b2t."""
    rows, columns = field.velocity.shape[:2]
    x, y = cell_centres(rows, columns)
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    cells = np.stack([part for view in views for part in (view.x - x, view.y - y)], axis=-1)
    flow = enlarge_cells(cells, size).transpose(2, 0, 1).reshape(2, 2, *size)
    return np.ascontiguousarray(flow)


def _repeat(
    choose: Callable[[Tensor], Tensor], pair: Tensor, times: Sequence[float], **_: object
) -> Corrected:
    """Use one image (1, 3, H, W) of a pair as the frame at every instant, without flows."""
    return Corrected(choose(pair).repeat(len(times), 1, 1, 1))


CLASSICAL: Mapping[Blending, Correction] = {
    "choose": correct_classically,
    "average": partial(correct_classically, blending="average"),
}
"""The classical correction by how it joins both views."""

BASELINES: Mapping[str, Correction] = {
    "classical": CLASSICAL["choose"],
    # Neither lambdas nor nested functions: methods travel to worker processes.
    "t2b as it is": partial(_repeat, itemgetter(slice(1))),
    "b2t as it is": partial(_repeat, itemgetter(slice(1, 2))),
    "mean of both": partial(_repeat, partial(torch.mean, dim=0, keepdim=True)),
}
"""Methods without a network, by their names in tables."""


def self_ensemble(method: Correction) -> Correction:
    """Test-time augmentation: the mean over a capture and its mirrored, time-reversed version.

    The mirrored capture running backwards is another possible capture (`data.transforms`), of which
    a method makes the same frames with different errors.
    """
    return partial(_correct_both_ways, method)


def _correct_both_ways(
    method: Correction, pair: Tensor, times: Sequence[float], **options: Any
) -> Corrected:
    if options.get("motion") is not None:
        raise ValueError("a self-ensemble estimates the motion of both versions: give none")
    with part_of(0, 2):
        plain = method(pair, times, **options)
    with part_of(1, 2):
        mirrored = method(pair.flip(0, -1), [1 - t for t in times], **options)
    for frame, other in zip(plain.frames, mirrored.frames, strict=True):  # in place: memory
        frame.add_(other.flip(-1)).div_(2)
    if plain.flows is None or mirrored.flows is None:
        return plain
    signs = mirrored.flows.new_tensor((-1, 1))[:, None, None]  # mirroring negates dx
    flows = mirrored.flows.flip(1, -1) * signs
    return Corrected(plain.frames, (plain.flows + flows) / 2)


def instants_of(method: Correction) -> tuple[float, ...] | None:
    """The only instants at which a method makes frames; None: any in [0, 1]."""
    network = network_of(method)
    return None if network is None else network.instants


def network_of(method: Correction) -> CorrectionNetwork | None:
    """The network of a method, if it has one.

    It is the first argument of a `functools.partial`, even of a partial of a partial, as of
    `self_ensemble`.
    """
    while isinstance(method, partial) and method.args:
        first = method.args[0]
        if isinstance(first, CorrectionNetwork):
            return first
        method = first
    return None
