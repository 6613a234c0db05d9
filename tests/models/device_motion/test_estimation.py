"""Motion estimated by tensors: as good as on the CPU, almost without waiting for the device."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from data.capture import CapturePair, TrainingSample
from data.time_maps import offset_maps
from models.classical.field import MotionField
from models.device_motion import estimation
from models.device_motion.estimation import estimate_motions, takes_tensors
from models.device_motion.feature_search import Matching
from models.objectives import SupervisedObjective
from models.refiner.cues import MotionCues, find_batch_cues, measure_motion, measure_on_device
from models.refiner.network import Refiner
from tests.helpers.device_work import WAITING, Operations, Reads
from tests.helpers.frames import psnr
from tests.helpers.moving_texture import Pan
from tests.helpers.small_scene import TIMES, simulate_small_scene
from utils.errors import InputError


@pytest.fixture(scope="module")
def capture() -> CapturePair:
    return simulate_small_scene()


def given(capture: CapturePair, *, count: int = 1) -> tuple[Tensor, Tensor]:
    """Pairs, shifted by some pixels from one to the next, and their offset maps."""
    pair = torch.stack([capture.pair.roll(5 * number, -1) for number in range(count)])
    offsets = offset_maps(capture.scan_time[None], torch.tensor([TIMES]))
    return pair, offsets.expand(count, -1, -1, -1)


def frames(capture: CapturePair, cues: MotionCues) -> Tensor:
    """Those of the untrained refiner, which are the classical ones."""
    torch.manual_seed(0)
    network = Refiner(num_frames=3, n_feats=8).eval()
    pair, offsets = given(capture)
    with torch.no_grad():
        maps = offsets.expand(-1, -1, -1, capture.width)
        return network(pair, maps, cues.packed[None]).frames[0]


def test_frames_are_as_good_as_with_opencv(capture: CapturePair) -> None:
    by_opencv, expected_noise = measure_motion(*given(capture), "opencv")
    by_torch, noise = measure_motion(*given(capture), "torch")
    assert capture.truth is not None
    for found, expected, truth in zip(
        frames(capture, by_torch), frames(capture, by_opencv), capture.truth, strict=True
    ):
        assert psnr(found, truth) > psnr(expected, truth) - 0.3  # one small scene: dB
    assert float(noise[0]) == pytest.approx(float(expected_noise[0]), abs=1e-3)


def test_nothing_is_read_back_but_the_masks_of_failed_flow() -> None:
    scan = torch.linspace(0, 1, 96, dtype=torch.float64)[None]
    pair = Pan((2.0, -1.0), (96, 128)).pair()[None]
    with Operations() as seen, Reads() as reads:
        estimate_motions(pair, scan)
    assert reads.counts == {"cpu": 1}
    assert seen.counts["grid_sampler_2d"] and not WAITING & set(seen.counts)
    # On a GPU starting them takes the time: three levels of the flow's pyramid here, not five.
    assert seen.total < 12_500


@pytest.mark.slow
def test_all_stays_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fake tensors have a device and a shape but no values: they refuse operations on tensors of
    # different devices, and need no GPU. Only masks of failed flow are read, by what is replaced.
    nothing = nullcontext(Matching([]))
    monkeypatch.setattr(estimation, "match_features_of", lambda *_: nothing)
    with FakeTensorMode():
        pair = torch.empty(2, 2, 3, 96, 128, device="cuda")
        cues, noise = measure_on_device(pair, torch.empty(2, 96).double(), torch.empty(2, 3))
        with pytest.raises(RuntimeError, match="device"):
            pair + torch.empty(96, 128)
    assert {part.device.type for part in (*cues, noise)} == {"cuda"}
    assert cues.packed.shape == (6, 15, 24, 32)


@pytest.mark.slow
def test_the_loss_of_a_training_step_stays_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = nullcontext(Matching([]))
    monkeypatch.setattr(estimation, "match_features_of", lambda *_: nothing)
    objective = SupervisedObjective({"Charbonnier": 1.0, "Variation": 0.1})
    objective.find_cues = partial(find_batch_cues, estimate="auto")
    with FakeTensorMode(), Reads() as reads:
        with torch.device("cuda"):
            network = Refiner(n_feats=8, width=0.25)
        pair, truth = (torch.empty(2, n, 3, 96, 128, device="cuda") for n in (2, 3))
        scan, t = torch.empty(2, 96, device="cuda"), torch.empty(2, device="cuda")
        total, terms = objective(network, TrainingSample(pair, scan, t, truth))
    assert not reads.counts
    assert {part.device.type for part in (total, *terms.values())} == {"cuda"}
    assert total.requires_grad  # to go back needs a device


@pytest.mark.slow
def test_operations_of_training_cues_do_not_grow_with_the_batch() -> None:
    counts = []
    for count in (1, 3):
        pair = Pan((2.0, -1.0), (32, 32)).pair().expand(count, -1, -1, -1, -1)
        scan, times = torch.linspace(0, 1, 32).expand(count, -1), torch.tensor([[0.0, 0.5, 1.0]])
        with Operations() as seen:
            find_batch_cues(pair, scan, times.expand(count, -1), "torch")
        counts.append(seen.total)
    assert counts[1] < 1.01 * counts[0]


def test_where_flow_fails_views_and_motion_are_read_back_too(capture: CapturePair) -> None:
    pair, _ = given(capture)
    pair[:, 1, :, 20:100, 30:120] = pair[:, 1, :, 20:100, 60:150].flip(-1, -2)
    with Operations() as seen, Reads() as reads:
        estimate_motions(pair, capture.scan_time.double()[None])
    # Masks and views; the field's velocity and numbers if any features match.
    assert set(reads.counts) == {"cpu"} and 2 <= reads.counts["cpu"] <= 4
    assert not WAITING & set(seen.counts)


def test_a_batch_equals_its_captures_alone(capture: CapturePair) -> None:
    pairs, offsets = given(capture, count=2)
    pairs, offsets = pairs[..., :64, :96], offsets[:, :, :64]
    together, noise = measure_motion(pairs, offsets, "torch")
    for number in range(2):
        one = slice(number, number + 1)
        alone, noise_alone = measure_motion(pairs[one], offsets[one], "torch")
        torch.testing.assert_close(noise[number], noise_alone[0])
        for found, expected in zip(together, alone, strict=True):
            difference = (found.unflatten(0, (2, 3))[number] - expected).abs()
            # Sums of another order change the last bits; a step of a search may then be refused.
            assert difference.mean() < 5e-3


def test_a_steady_pan_is_found() -> None:
    pan = Pan((12.0, -5.0), (96, 128))
    scan = torch.linspace(0, 1, 96, dtype=torch.float64)[None]
    field: MotionField = estimate_motions(pan.pair()[None], scan)
    velocity = torch.as_tensor(field.velocity)[0]
    expected = torch.tensor(pan.velocity).expand_as(velocity)
    error = (velocity - expected).norm(dim=-1)
    assert error.mean() < 0.3 and error.max() < 1.5


@pytest.mark.parametrize(("height", "width"), [(2, 1), (3, 64), (64, 11), (17, 33)])
def test_any_size(height: int, width: int) -> None:
    pair = torch.rand(1, 2, 3, height, width, generator=torch.Generator().manual_seed(0))
    scan = torch.linspace(0, 1, height)[None]
    maps = offset_maps(scan, torch.tensor([[0.0, 0.5, 1.0]]))
    cues, noise = measure_motion(pair, maps, "torch")
    assert cues.packed.shape == (3, 15, -(-height // 4), -(-width // 4))
    assert cues.packed.isfinite().all() and torch.as_tensor(noise).isfinite().all()


def test_tensors_are_chosen_on_cuda_or_where_asked_for() -> None:
    cpu, cuda, mps = map(torch.device, ("cpu", "cuda", "mps"))
    assert takes_tensors("auto", cuda) and takes_tensors("torch", cpu)
    assert not any(takes_tensors("auto", other) for other in (cpu, mps))
    assert not takes_tensors("opencv", cuda) and not takes_tensors("opencv", mps)
    with pytest.raises(InputError, match="motion_estimate: 'torch' computes in float64, which the"):
        takes_tensors("torch", mps)
