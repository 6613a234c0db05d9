import dataclasses

import pytest
import torch

from data.capture import CapturePair, TrainingSample, collate, to_device
from data.time_maps import scan_time


def make_capture(**changes):
    fields = {
        "t2b": torch.zeros(3, 4, 5),
        "b2t": torch.ones(3, 4, 5),
        "scan_time": scan_time(4),
        "name": "seq/00000007",
        "truth": torch.zeros(3, 3, 4, 5),
        "truth_times": torch.tensor([0.0, 0.5, 1.0]),
        "truth_flows": torch.zeros(3, 2, 2, 4, 5),
    }
    return CapturePair(**{**fields, **changes})


def test_sizes_and_pair():
    capture = make_capture()
    assert (capture.height, capture.width) == (4, 5)
    assert torch.equal(capture.pair, torch.stack((capture.t2b, capture.b2t)))


def test_truth_is_optional():
    capture = make_capture(truth=None, truth_times=None, truth_flows=None)
    assert capture.truth is None


def test_captures_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_capture().name = "other"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t2b": torch.zeros(4, 5)}, r"t2b must be \(3, H, W\) torch.float32, got \(4, 5\)"),
        ({"t2b": torch.zeros(3, 4, 5).double()}, "t2b must be .* got .* torch.float64"),
        ({"t2b": torch.full((3, 4, 5), 2.0)}, r"t2b must lie in \[0, 1\], got \[2, 2\]"),
        ({"t2b": torch.full((3, 4, 5), torch.nan)}, r"t2b must lie in \[0, 1\]"),
        ({"b2t": torch.zeros(3, 4, 6)}, r"b2t must be \(3, 4, 5\), got \(3, 4, 6\)"),
        ({"scan_time": scan_time(5)}, r"scan_time must be \(4,\), got \(5,\)"),
        ({"truth_times": None}, "truth and truth_times go together"),
        ({"truth_times": torch.tensor([0.0, 1.0])}, r"truth must be \(2, 3, 4, 5\)"),
        ({"truth_flows": torch.zeros(3, 2, 4, 5)}, r"truth_flows must be \(3, 2, 2, 4, 5\)"),
        ({"truth_flows": torch.zeros(3, 2, 2, 2, 3)}, r"truth_flows must be \(3, 2, 2, 4, 5\)"),
    ],
)
def test_wrong_fields_are_named(changes, message):
    with pytest.raises(ValueError, match=f"seq/00000007: {message}"):
        make_capture(**changes)


def make_sample(value, *, with_truth):
    return TrainingSample(
        pair=torch.full((2, 3, 4, 5), value),
        scan_time=scan_time(4),
        t=torch.tensor(value),
        truth=torch.full((3, 3, 4, 5), value) if with_truth else None,
    )


def test_collate_stacks_every_field():
    batch = collate([make_sample(0.25, with_truth=True), make_sample(0.75, with_truth=True)])
    assert batch.pair.shape == (2, 2, 3, 4, 5)
    assert batch.scan_time.shape == (2, 4)
    assert batch.t.tolist() == [0.25, 0.75]
    assert batch.truth[1].unique().tolist() == [0.75]
    assert batch.truth_flows is None


def test_collate_drops_a_field_that_any_sample_lacks():
    batch = collate([make_sample(0.25, with_truth=True), make_sample(0.75, with_truth=False)])
    assert batch.truth is None
    assert batch.t.tolist() == [0.25, 0.75]


def test_to_device_moves_tensors_and_keeps_absent_fields():
    moved = to_device(make_sample(0.25, with_truth=False), torch.device("meta"))
    assert moved.pair.device.type == moved.t.device.type == "meta"
    assert moved.truth is None
