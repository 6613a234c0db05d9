"""Motion of a capture on a device, as arrays for the classical correction."""

import numpy as np
import pytest
import torch

from models.classical.correction import correct_with_field
from models.classical.estimation import estimate_motion
from models.device_motion.host_fields import estimate_on_device
from models.inference.correction import correct_classically
from models.measurement.flow_measurement import to_pixels
from models.measurement.scan import Scan
from tests.helpers.frames import psnr
from tests.helpers.small_scene import TIMES, simulate_small_scene
from utils.errors import InputError


def test_the_classical_correction_takes_it() -> None:
    capture = simulate_small_scene()
    field = estimate_on_device(capture.pair, capture.scan_time, "torch")
    assert field is not None and capture.truth is not None
    t2b, b2t = to_pixels(capture.pair)
    expected = estimate_motion(t2b, b2t, Scan.of(capture.scan_time, len(t2b)))
    assert field.scan == pytest.approx(expected.scan) and field.readout == expected.readout
    for name in ("velocity", "camera", "deviation"):
        found, same = (getattr(given, name) for given in (field, expected))
        assert found.shape == same.shape and found.dtype == same.dtype
        assert np.abs(found - same).mean() < 0.3
    for found, same in zip(field.measurements[1], expected.measurements[1], strict=True):
        assert found.shape == same.shape and found.flags.c_contiguous
    frames = correct_classically(
        capture.pair, TIMES, scan_time=capture.scan_time, motion_estimate="torch"
    ).frames
    assert torch.equal(frames, correct_with_field(capture.pair, TIMES, motion=field)[0])
    plain = correct_classically(capture.pair, TIMES, scan_time=capture.scan_time).frames
    for frame, other, truth in zip(frames, plain, capture.truth, strict=True):
        assert psnr(frame, truth) > psnr(other, truth) - 0.3  # one small scene: dB


def test_opencv_is_left_to_do_it() -> None:
    pair = torch.rand(2, 3, 16, 16)
    assert estimate_on_device(pair, None, "auto") is None
    assert estimate_on_device(pair, None, "opencv") is None


def test_bad_images_are_refused_before_the_estimate() -> None:
    with pytest.raises(InputError, match="row"):
        estimate_on_device(torch.rand(2, 3, 1, 16), None, "torch")
    with pytest.raises(ValueError, match="scan_time"):
        estimate_on_device(torch.rand(2, 3, 16, 16), torch.rand(9), "torch")
