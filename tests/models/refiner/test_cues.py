from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from data.capture import CapturePair
from data.time_maps import offset_maps, scan_time
from data.transforms import crop
from models.camera.path import DEVIATION_TERMS
from models.classical.estimation import estimate_motion
from models.classical.field import CELL, MotionField, cell_centres
from models.measurement.flow_measurement import Measurement, to_pixels
from models.measurement.parallax import Parallax
from models.measurement.scan import Scan
from models.refiner import cues as motion_cues
from models.refiner.cues import (
    CONTEXT,
    MotionCues,
    cues_of,
    cues_of_batch,
    find_batch_cues,
    find_motion,
    find_training_cues,
    measure_motion,
    measure_on_device,
)
from tests.helpers.batches import batch_field
from tests.helpers.small_scene import TIMES, simulate_small_scene


@pytest.fixture(scope="module")
def capture() -> CapturePair:
    return simulate_small_scene()


@pytest.fixture(scope="module")
def offsets(capture: CapturePair) -> Tensor:
    return offset_maps(capture.scan_time[None], torch.tensor([TIMES]))


def test_cues_of_an_exact_pair_agree_with_the_simulator(
    capture: CapturePair, offsets: Tensor
) -> None:
    cues = find_motion(capture.pair[None], offsets)
    assert capture.truth_flows is not None
    truth = torch.nn.functional.avg_pool2d(capture.truth_flows.flatten(1, 2), 4)
    error = (cues.local - truth).unflatten(1, (2, 2)).norm(dim=2)
    still = truth.unflatten(1, (2, 2)).norm(dim=2)
    assert error.mean() < 0.3 * still.mean()
    # Offsets are those at the exposures: exact in rows exposed at the frame's time, and changed by
    # the vertical motion elsewhere.
    assert torch.allclose(cues.offset[:, 0], offsets[0, :3, ::4, ::4], atol=0.2)


def test_time_is_recovered_from_the_offset_maps(capture: CapturePair) -> None:
    late = offset_maps(capture.scan_time[None], torch.tensor([[0.9, 0.9, 0.9]]))
    cues = find_motion(capture.pair[None], late)
    # t2b row 115 of 128 is exposed at t = 0.9: there a frame at 0.9 is that input itself.
    assert cues.local[:, :2, 115 // 4].abs().max() < 1
    assert (cues.preference[:, 0, 115 // 4] > 3).all()


def test_offsets_are_in_frame_intervals(capture: CapturePair) -> None:
    ratio = 0.25
    scan = 0.5 + (capture.scan_time - 0.5) * ratio
    maps = offset_maps(scan[None], 0.5 + (torch.tensor([TIMES]) - 0.5) * ratio)
    found = find_motion(capture.pair[None], maps)
    expected = find_motion(
        capture.pair[None], offset_maps(capture.scan_time[None], torch.tensor([TIMES]))
    )
    torch.testing.assert_close(found.offset, ratio * expected.offset, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.local, expected.local, atol=0.02, rtol=0)


def test_local_and_camera_motion_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow is zero, the camera moves things by 4 px to the right, the local motion is 8 px down."""
    height, width, t = 64, 48, 0.25
    x, y = cell_centres(height // 4, width // 4)
    rows = np.mgrid[:height, :width][0].astype(np.float32)
    own = rows / np.float32(height - 1)
    flow = np.zeros((height, width, 2), np.float32)
    still = [Measurement(flow, s, 1 - 2 * s, np.ones_like(s)) for s in (own, 1 - own)]
    local, camera = (np.full((*x.shape, 2), motion, np.float32) for motion in ((0, 8), (4, 0)))
    deviation = np.zeros((*x.shape, 2, DEVIATION_TERMS), np.float32)
    field = MotionField(
        local, camera, deviation, Parallax.none(width), (still[0], still[1]), Scan.of(None, height)
    )
    monkeypatch.setattr(motion_cues, "estimate_motion", lambda *_, **__: field)
    maps = offset_maps(scan_time(height)[None], torch.tensor([[t]]))
    cues = find_motion(torch.zeros(1, 2, 3, height, width), maps)
    exposed = torch.from_numpy(y / (height - 1))
    # Along the camera's motion rows keep their instants: s in t2b, 1 - s in b2t.
    for view, elapsed in enumerate((exposed - t, 1 - exposed - t)):
        torch.testing.assert_close(cues.camera[0, 2 * view], 4 * elapsed, atol=1e-3, rtol=0)
        assert not cues.camera[0, 2 * view + 1].any() and not cues.local[0, 2 * view].any()
        torch.testing.assert_close(
            cues.local[0, 2 * view + 1], 8 * cues.offset[0, view], atol=1e-3, rtol=0
        )
    of_local, of_camera = cues.mismatch[0, :2], cues.mismatch[0, 2:]
    # Both predict motion that flow does not show, the local one twice as much.
    top = (slice(None), slice(2, 4), slice(2, -2))
    gap = (1 - 2 * exposed)[2:4, 2:-2]
    torch.testing.assert_close(
        of_camera[top], (torch.log1p(4 * gap) / np.log1p(4)).expand(2, -1, -1), atol=0.02, rtol=0
    )
    assert (of_local[top] > 1.2 * of_camera[top]).all()


def test_preference_is_for_the_view_exposed_nearer_in_time(
    capture: CapturePair, offsets: Tensor
) -> None:
    cues = find_motion(capture.pair[None], offsets)
    top, bottom = cues.preference[:, 0, :4], cues.preference[:, 0, -4:]
    assert (top[0] > 0).all() and (bottom[0] < 0).all()  # the frame at t = 0
    assert (top[2] < 0).all() and (bottom[2] > 0).all()  # at t = 1
    assert cues.preference.abs().max() <= 8


def test_packing_and_unpacking_keeps_the_cues(capture: CapturePair, offsets: Tensor) -> None:
    cues = find_motion(
        torch.stack((capture.pair, capture.pair.flip(-1))), offsets.repeat(2, 1, 1, 1)
    )
    packed = cues.packed
    assert packed.shape == (6, 15, 32, 40)
    again = MotionCues.of_samples(packed.unflatten(0, (2, 3)))
    for part, same in zip(again, cues, strict=True):
        assert torch.equal(part, same)


def test_cues_of_a_batch_of_samples(capture: CapturePair) -> None:
    small = [crop(capture, top=top, left=40, height=40, width=48) for top in (0, 48)]
    pair, scan = (
        torch.stack(part) for part in zip(*((c.pair, c.scan_time) for c in small), strict=True)
    )
    times = torch.tensor([[0.0, 0.25, 1.0], [0.0, 0.75, 1.0]])
    found = find_batch_cues(pair, scan, times, "torch")
    cues, _ = measure_on_device(pair, scan.double(), times)
    assert found.shape == (2, 3, 15, 10, 12) and not found.requires_grad
    assert torch.equal(found.flatten(0, 1), cues.packed)
    # Times recovered from offset maps are rounded.
    recovered, _ = measure_motion(pair, offset_maps(scan, times), "torch")
    assert (found.flatten(0, 1) - recovered.packed).abs().mean() < 1e-3
    # With OpenCV they are those that a loader finds sample by sample.
    for estimate in ("opencv", "auto"):
        by_opencv = find_batch_cues(pair, scan, times, estimate)
        for own, sample, t in zip(by_opencv, small, (0.25, 0.75), strict=True):
            assert torch.equal(own, find_training_cues(sample, t))
    assert not torch.equal(found, by_opencv)


class Operations(TorchDispatchMode):
    """Collects the names of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_tensors_give_the_same_cues_as_arrays(capture: CapturePair) -> None:
    t2b, b2t = to_pixels(capture.pair)
    field = estimate_motion(t2b, b2t, Scan.of(capture.scan_time, len(t2b)))
    expected = cues_of(field, TIMES, t2b.shape[:2])
    with Operations() as seen:
        found = cues_of_batch(batch_field(field), torch.tensor([TIMES]), t2b.shape[:2])
    # Nothing reads a value back, or has an output whose size depends on values.
    assert "grid_sampler_2d" in seen.names
    assert not seen.names & {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select"}
    for part, same in zip(found, expected, strict=True):
        assert part.shape == same.shape
        # OpenCV samples at 32nds of a pixel, PyTorch at any place.
        difference = (part - same).abs()
        assert difference.mean() < 2e-3 and difference.max() < 0.25


def test_cues_far_from_needed_rows_are_left_out_and_the_others_the_same(
    capture: CapturePair,
) -> None:
    t2b, b2t = to_pixels(capture.pair)
    field = estimate_motion(t2b, b2t, Scan.of(capture.scan_time, len(t2b)))
    needed = torch.zeros(len(TIMES), len(t2b), dtype=torch.bool)
    needed[0, 10], needed[1, -1] = True, True
    whole = cues_of(field, TIMES, t2b.shape[:2])
    reach = CONTEXT // CELL
    for part, same in zip(cues_of(field, TIMES, t2b.shape[:2], needed), whole, strict=True):
        last = 10 // CELL + reach
        assert torch.equal(part[0, :, : last + 1], same[0, :, : last + 1])
        assert not part[0, :, last + 1 :].any()
        first = part.shape[2] - 1 - reach
        assert torch.equal(part[1, :, first:], same[1, :, first:])
        assert not part[1, :, :first].any() and not part[2].any()
