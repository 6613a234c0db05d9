"""Run a correction network over a capture, whole or in tiles."""

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.inference.tiling import BATCH_PIXELS, FALLBACK_TILE, plan_tiles
from models.parts.checks import check_size, check_times
from models.parts.network import CorrectionNetwork, FrameBatch, Inference, padded_scan
from models.parts.precision import autocast
from models.parts.settings import InferenceSettings
from utils.errors import InputError


def run_network(
    network: CorrectionNetwork,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None,
    settings: InferenceSettings,
    collect: Callable[[FrameBatch], None],
) -> None:
    """Make the frames of a pair and hand each batch of them to `collect`.

    If a GPU runs out of memory, everything is made again in tiles.

    Args:
        network: makes the frames.
        pair: (2, 3, H, W) RGB in [0, 1], any H >= 2, any W >= 1.
        times: instants in [0, 1].
        scan_time: (H,) exposure times of the t2b rows; a readout of exactly these rows by default.
        settings: precision and tiles.
        collect: called with every batch once, or again from the start.

    Raises:
        InputError: the images have a single row, or the network does not make three frames a pass.
        ValueError: no instants, an instant outside [0, 1], or another shape than stated.
    """
    size = check_size(pair)
    check_times(times)
    weight = next(network.parameters())
    scan = padded_scan(scan_time, size[0], size[0]).to("cpu", weight.dtype)
    plan = plan_tiles(network, size, len(times), settings.tile)
    if plan.note:
        sys.stderr.write(f"{plan.note}\n")
    batch_pixels = BATCH_PIXELS[weight.device.type == "cpu"]
    inference = Inference(pair.to(weight), tuple(map(float, times)), scan, plan.tile, batch_pixels)
    with torch.inference_mode(), autocast(settings.precision, weight.device):
        try:
            _collect_all(network, inference, collect)
            return
        except torch.OutOfMemoryError:
            if plan.tile is not None or settings.tile is None:
                raise
        sys.stderr.write(f"{size[1]}x{size[0]}: out of memory, again in tiles of {FALLBACK_TILE}\n")
        _collect_all(network, inference._replace(tile=FALLBACK_TILE, batch_pixels=0), collect)


def _collect_all(
    network: CorrectionNetwork, inference: Inference, collect: Callable[[FrameBatch], None]
) -> None:
    for batch in network.infer(inference):
        collect(batch)


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
