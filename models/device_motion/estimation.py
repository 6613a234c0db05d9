"""The motion of each capture of a batch, estimated on the device of the images.

The steps are those of `models.classical.estimation`, most of them by the same code. Only
`models.device_motion.feature_search` waits for the device: what one capture decides by a branch is
decided by masks elsewhere.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from models.classical.estimation import BLOCK, MAX_BLOCKS, add_local_motion, subtract_parallax
from models.classical.evidence import collect_evidence
from models.classical.field import CELL, MotionField, cell_centres
from models.classical.lost_objects import accept_objects, failed_flow
from models.device_motion.alignment import refine_camera_paths
from models.device_motion.camera_fit import Matches, fit_camera_paths
from models.device_motion.feature_search import match_features_of
from models.device_motion.inverse_search import search_flows
from models.device_motion.parallax import estimate_parallaxes
from models.device_motion.robust import masked_std
from models.measurement.flow_measurement import (
    NOISE_VARIANCES,
    Measurement,
    check_flow,
    compare_along_flow,
)
from models.measurement.flow_refinement import refine_flow
from models.measurement.sampling import SmoothedView, area_resize, pixel_grid
from models.measurement.scan import Scan
from models.measurement.tensor_sampling import masked_median, mean_in_cells
from models.parts.settings import MotionEstimate
from utils.errors import InputError


def takes_tensors(estimate: MotionEstimate, device: torch.device) -> bool:
    """Whether the motion of images on this device is estimated there, by tensors.

    Raises:
        InputError: it shall be, and the device lacks float64.
    """
    if estimate == "torch" and device.type == "mps":
        raise InputError(
            "motion_estimate: 'torch' computes in float64, which the device 'mps' lacks; set it to "
            "'opencv', or choose another device"
        )
    return estimate == "torch" or (estimate == "auto" and device.type == "cuda")


@torch.no_grad()
def estimate_motions(pairs: Tensor, scan_times: Tensor) -> MotionField:
    """Estimate the motion in each of B captures.

    Args:
        pairs: (B, 2, 3, H, W) RGB in [0, 1]: t2b, b2t; H >= 2.
        scan_times: (B, H) evenly spaced exposure times of the rows of t2b.

    Returns:
        The field of the batch, tensors on the device of the pairs.
    """
    height = pairs.shape[-2]
    pairs = pairs.detach().float()
    views: Any = to_lumas(pairs).unbind(1)
    scan = Scan.of_batch(scan_times)
    readout: Any = scan.readout(height)
    numbers: Any = scan.in_readouts(readout)
    scan = Scan(*(number.float() for number in numbers))
    measured = _measure(views, scan)
    differences = list(map(compare_along_flow, views, views[::-1], measured))
    masks: Any = tuple(map(failed_flow, differences, measured))
    with match_features_of(views, masks) as matching:
        still = _fit_cameras(views, measured, scan)
        noise = _measure_noise(differences[0], measured[0])
        still = replace(still, readout=readout.float(), noise=noise)
        evidence = collect_evidence(still, views)
        cells: Any = to_cells(pairs).unbind(1)
        field = add_local_motion(still, cells, evidence)
        proposed: Any = matching.propose_objects(field)
    if not proposed:
        return field
    return add_local_motion(still, cells, evidence, accept_objects(proposed, cells, field))


def estimate_one(pair: Tensor, scan_time: Tensor) -> MotionField:
    """`estimate_motions` of one capture (2, 3, H, W) with times (H,), inside autocast, too."""
    scans = scan_time.to(pair.device, torch.float64, non_blocking=True)[None]
    with torch.autocast(pair.device.type, enabled=False):
        return estimate_motions(pair[None], scans)


def to_lumas(images: Tensor) -> Tensor:
    """Luma (BT.601) of RGB images (..., 3, H, W) in [0, 1], in 8-bit levels: (..., H, W)."""
    red, green, blue = images.unbind(-3)
    return ((0.299 * red + 0.587 * green + 0.114 * blue) * 255).round().clamp(0, 255)


def to_cells(pairs: Tensor) -> Tensor:
    """Means (B, 2, h, w, 3) over the cells of pairs, whose border is repeated to whole cells."""
    return mean_in_cells(pairs.flatten(0, 1).movedim(1, -1), CELL).unflatten(0, (-1, 2))


def _measure(views: tuple[Tensor, Tensor], scan: Scan) -> tuple[Measurement, Measurement]:
    """Measurements of t2b and b2t by refined flow, parallax included."""
    both: Any = torch.cat(views)
    flow: Any = search_flows(both, torch.cat(views[::-1]))
    smoothed: Any = SmoothedView.of(both)
    others: Any = torch.cat(smoothed.level.chunk(2)[::-1])
    refined: Any = refine_flow(flow, smoothed, SmoothedView(others))
    forward, backward = refined.chunk(2)
    return check_flow(forward, backward, scan), check_flow(backward, forward, scan.reversed)


def _measure_noise(difference: Any, measurement: Any) -> Any:
    """(B, 1, 1) standard deviations of the views' noise in [0, 1], of `compare_along_flow`."""
    levels, trusted = difference.flatten(1), measurement.trusted.flatten(1)
    middle = masked_median(levels, trusted)[:, None]
    noise = masked_std(levels - middle, trusted) / math.sqrt(NOISE_VARIANCES) / 255
    return noise[:, None, None]


def _fit_cameras(
    views: tuple[Tensor, Tensor], measurements: tuple[Measurement, Measurement], scan: Scan
) -> MotionField:
    """The fields of captures in which only the camera moves; the scan counts readouts."""
    height, width = views[0].shape[-2:]
    columns, _ = pixel_grid((1, width), like=views[0])
    parallax = estimate_parallaxes(*measurements)
    sides = [_block_matches(part) for part in subtract_parallax(parallax.at(columns), measurements)]
    matches = Matches(*(torch.cat(parts, 1) for parts in zip(*sides, strict=True)))
    reach: Any = scan.reach(height)
    motion = fit_camera_paths(matches, (height, width), reach[:, 0, 0])
    motion, parallax = refine_camera_paths(motion, views, scan, parallax)
    by_motion = subtract_parallax(parallax.at(columns), measurements)
    centres: Any = cell_centres(-(-height // CELL), -(-width // CELL), like=views[0])
    found: Any = motion.motion(*centres)
    velocity, deviation = found
    return MotionField(velocity, velocity, deviation, parallax, by_motion, scan)


def _block_matches(measurement: Any) -> Matches:
    """Means over blocks of pixels, as `models.classical.estimation` takes them."""
    height, width = measurement.own.shape[-2:]
    enlarged = math.ceil(math.sqrt(height * width / MAX_BLOCKS) / BLOCK)
    side = min(BLOCK * enlarged, height, width)
    rows, columns = height // side, width // side
    means: Any = (
        area_resize(part[:, : rows * side, : columns * side], (columns, rows))
        for part in measurement
    )
    flow, own, gap, confidence = (part.flatten(1, 2) for part in means)
    x, y = pixel_grid((rows, columns), like=own)
    place = (torch.stack((x, y), -1).flatten(1, 2) * side + (side - 1) / 2).expand_as(flow)
    return Matches(place, own, place + flow, own + gap, confidence)
