"""Motion of a capture, estimated on its device, as arrays for code that works on the CPU."""

from torch import Tensor

from data import time_maps
from models.classical.field import MotionField
from models.device_motion.estimation import estimate_one, takes_tensors
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
    return estimate_one(pair, scan).on_host
