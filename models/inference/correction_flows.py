"""Corrections together with the flow fields they were made by, for people to look at."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classical.correction import correct_with_field
from models.classical.field import MotionField, cell_centres, enlarge_cells, sample_frame
from models.flow.dis import FlowSearch, search_both_ways, single_threaded_opencv
from models.inference.correction import IN_FLOAT32
from models.inference.passes import InferenceSettings, Pass, expect_numbers, run_passes
from models.networks import Corrector
from models.parts.generator_layers import resize_flow

Array = npt.NDArray[np.float32]


class CorrectionWithFlows(NamedTuple):
    """Frames, and where each of their pixels comes from.

    Attributes:
        frames: (T, 3, H, W) RGB float32 in [0, 1].
        flows: (T, 2, 2, H, W) float32 displacement (dx, dy) in pixels from each frame to t2b, then
            to b2t.
    """

    frames: Tensor
    flows: Tensor


class FlowMethod(Protocol):
    """A `models.inference.correction.Method` that gives its flow fields, too."""

    def __call__(
        self, pair: Tensor, times: Sequence[float], *, scan_time: Tensor | None = None
    ) -> CorrectionWithFlows:
        """Frames at T instants in [0, 1] of a pair (2, 3, H, W), with their flows."""
        ...


def correct_with_flows(
    generator: Corrector,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    settings: InferenceSettings = IN_FLOAT32,
) -> CorrectionWithFlows:
    """`models.inference.correction.correct`, and the finest flows of the network's same passes.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    device = next(generator.parameters()).device
    frames = torch.empty((len(times), *pair.shape[1:]), device=device)
    flows = torch.empty((len(times), 2, 2, *pair.shape[2:]), device=device)

    def take(made: Pass) -> None:
        for frame, flow, t in zip(made.frames, made.flows, made.times, strict=True):
            for index in (index for index, wanted in enumerate(times) if wanted == t):
                made.tile.paste(frames[index], frame)
                full = resize_flow(flow.float(), 2)
                made.tile.paste(flows[index], full[..., : frame.shape[-2], : frame.shape[-1]])

    run_passes(generator, pair, (times, scan_time), settings=settings, take=take)
    expect_numbers(frames)
    return CorrectionWithFlows(frames, flows)


def correct_classically_with_flows(
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    search: FlowSearch = search_both_ways,
) -> CorrectionWithFlows:
    """The classical correction, and the motion it samples the inputs along.

    Raises:
        InputError: the images have a single row.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    frames, field = correct_with_field(pair, times, scan_time=scan_time, search=search)
    with single_threaded_opencv(), ThreadPoolExecutor(os.cpu_count()) as pool:
        flows = list(pool.map(lambda t: _classical_flow(field, t, pair.shape[-2:]), times))
    return CorrectionWithFlows(frames, torch.from_numpy(np.stack(flows)).to(pair.device))


def _classical_flow(field: MotionField, t: float, size: Sequence[int]) -> Array:
    """(2, 2, H, W) displacements from the frame at instant t to t2b and b2t."""
    rows, columns = field.velocity.shape[:2]
    x, y = cell_centres(rows, columns)
    views = sample_frame(field, t, field.velocity, with_mismatch=False)
    cells = np.stack([part for view in views for part in (view.x - x, view.y - y)], axis=-1)
    flow = enlarge_cells(cells, size).transpose(2, 0, 1).reshape(2, 2, *size)
    return np.ascontiguousarray(flow)
