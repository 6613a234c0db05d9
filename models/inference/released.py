"""Frames composed from passes as the released test scripts compose them.

Published scores of SelfDRSC weights were made this way. Ours (`models.parts.network`) takes the
frames at 0 and 1 from the pass nearest the middle, and continues the scan below the image.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from data.time_maps import offset_maps
from data.time_maps import scan_time as whole_scan
from models.inference.correction import Corrected, expect_finite
from models.parts.checks import check_scan, check_size, check_times
from models.parts.generator_layers import resize_flow
from models.parts.network import CorrectionNetwork
from models.parts.padding import round_up
from models.parts.precision import autocast
from models.parts.settings import SIZE_MULTIPLE, Precision
from utils.errors import InputError

Composition = Literal["released_stage1", "released_stage2"]
"""How images and time maps are padded: stage 1's test repeats the last row and column, stage 2's
goes on with the first ones."""


def correct_released(
    network: CorrectionNetwork,
    pair: Tensor,
    times: Sequence[float],
    *,
    scan_time: Tensor | None = None,
    with_flows: bool = False,
    composition: Composition,
    precision: Precision = "float32",
) -> Corrected:
    """Frames of one capture, as the released test of a stage makes them.

    There is one pass for each instant strictly between 0 and 1, in order. The frame at 0 is taken
    from the first pass and the frame at 1 from the last. Images and time maps are padded at the
    bottom and right to multiples of 32.

    Args:
        network: makes frames at 0, t and 1.
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t.
        times: instants in [0, 1], in ascending order, at least one of them inside.
        scan_time: (H,) exposure time of each t2b row; a readout of exactly these rows by default.
        with_flows: whether to return the finest flows, too.
        composition: which test's padding.
        precision: of the convolutions.

    Raises:
        InputError: no instant lies between 0 and 1, the network makes other than three frames, or
            it produced NaN.
        ValueError: an instant outside [0, 1], or another shape than stated.
    """
    height, width = check_size(pair)
    check_times(times)
    inner = [t for t in times if 0 < t < 1]
    if not inner or list(times) != sorted(set(times)):
        raise InputError(
            f"{composition}: expected ascending instants, one or more of them between 0 and 1, got "
            f"{', '.join(f'{t:g}' for t in times)}; ask for 3 frames or more"
        )
    if type(network).infer is not CorrectionNetwork.infer:
        raise InputError(
            f"{composition}: the network '{network.net_type}' does not work by passes at 0, t and 1"
        )
    if network.num_frames != 3:
        raise InputError(
            f"{composition}: expected a network that makes 3 frames in a pass, got "
            f"{network.num_frames}"
        )
    scan = whole_scan(height) if scan_time is None else scan_time
    check_scan(scan, height)
    weight = next(network.parameters())
    rows, columns = (_padded_index(side, composition).to(weight.device) for side in (height, width))
    padded = pair.to(weight)[..., rows, :][..., columns]
    scan = scan.to(weight)[rows]
    frames = torch.empty((len(times), *pair.shape[1:]), device=weight.device)
    flows = frames.new_empty((len(times), 2, 2, height, width)) if with_flows else None
    with torch.inference_mode(), autocast(precision, weight.device):
        encoded = network.encode(padded[None])
        for t in inner:
            ends = {0: (0.0, t == inner[0]), 2: (1.0, t == inner[-1])}
            chosen = {index: end for index, (end, here) in ends.items() if here and end in times}
            chosen[1] = t
            maps = offset_maps(scan[None], scan.new_tensor([(0, t, 1)]))
            maps = maps.expand(-1, -1, -1, padded.shape[-1])
            made = network.decode(encoded, maps, list(chosen))
            for frame, (index, instant) in zip(made.frames[0], chosen.items(), strict=True):
                place = times.index(instant)
                frames[place] = frame[:, :height, :width]
                if flows is not None:
                    by_view = made.flows[-1][0].float().unflatten(0, (2, 3, 2))[:, index]
                    flows[place] = resize_flow(by_view, 2)[..., :height, :width]
    expect_finite(frames)
    return Corrected(frames, flows)


def _padded_index(side: int, composition: Composition) -> Tensor:
    """Which row or column stands at each place of the padded image."""
    index = torch.arange(round_up(side, SIZE_MULTIPLE))
    return index % side if composition == "released_stage2" else index.clamp(max=side - 1)
