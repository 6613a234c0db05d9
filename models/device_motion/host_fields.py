"""Motion of a capture, estimated on its device, as arrays for code that works on the CPU."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import time_maps
from models.classical.field import MotionField
from models.device_motion.estimation import estimate_motions, takes_tensors
from models.measurement.arrays import Array
from models.measurement.flow_measurement import Measurement
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan
from models.parts.checks import check_scan, check_size
from models.parts.settings import MotionEstimate


def estimate_on_device(
    pair: Tensor, scan_time: Tensor | None, estimate: MotionEstimate
) -> MotionField | None:
    """Estimate the motion of a capture on its device; the field comes to the CPU as arrays.

    None where OpenCV shall estimate it.

    Args:
        pair: (2, 3, H, W) RGB in [0, 1]: t2b, b2t; H >= 2.
        scan_time: (H,) evenly spaced exposure times of t2b's rows; by default they fill the whole
            readout.
        estimate: what shall estimate the motion.

    Raises:
        InputError: the images have a single row.
        ValueError: another shape than stated.
    """
    if not takes_tensors(estimate, pair.device):
        return None
    height, _ = check_size(pair)
    if scan_time is not None:
        check_scan(scan_time, height)
    scan = time_maps.scan_time(height) if scan_time is None else scan_time
    scans = scan.to(pair.device, torch.float64, non_blocking=True)[None]
    with torch.autocast(pair.device.type, enabled=False):
        field: Any = estimate_motions(pair[None], scans)
    size = field.measurements[0].gap.shape[1:]
    measurements = tuple(
        Measurement(*(_first(part.expand(-1, *size, *part.shape[3:])) for part in measurement))
        for measurement in field.measurements
    )
    parallax = field.parallax
    middle, change = _first(torch.cat((parallax.middle, parallax.change), 1)).reshape(2, 2)
    numbers = torch.cat([*field.scan, field.readout, field.noise], 1)
    first, row_time, readout, noise = map(float, _first(numbers).ravel())
    return replace(
        field,
        velocity=_first(field.velocity),
        camera=_first(field.camera),
        deviation=_first(field.deviation),
        parallax=Parallax(middle, change, parallax.width),
        measurements=(measurements[0], measurements[1]),
        scan=Scan(first, row_time),
        readout=readout,
        noise=noise,
    )


def _first(values: Tensor) -> Array:
    """The array of a batch's first capture, waited for."""
    array: Array = np.ascontiguousarray(values[0].cpu().numpy())
    return array
