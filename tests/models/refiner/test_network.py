import numpy as np
import pytest
import torch
from torch import Tensor

from data.capture import CapturePair, collate
from data.simulator.settings import SceneSettings
from data.simulator.textures import load_textures
from data.time_maps import offset_maps
from data.training.crops import SimulatedTrainingSet, TrainingSetSettings
from models.objectives import SupervisedObjective
from models.refiner.cues import MotionCues, find_motion, find_training_cues
from models.refiner.network import Refiner
from tests.helpers.frames import classical_frames, network_frames, psnr
from tests.helpers.small_scene import TIMES, simulate_small_scene


@pytest.fixture(scope="module")
def capture() -> CapturePair:
    return simulate_small_scene()


@pytest.fixture(scope="module")
def offsets(capture: CapturePair) -> Tensor:
    maps = offset_maps(capture.scan_time[None], torch.tensor([TIMES]))
    return maps.expand(-1, -1, -1, capture.width)


def test_untrained_it_is_the_classical_correction(capture: CapturePair) -> None:
    times = (0.0, 0.25, 0.5, 1.0)
    refined = network_frames(Refiner(width=0.25).eval(), capture.pair, times)
    classical = classical_frames(capture.pair, times)
    # Bicubic kernels differ (a = -0.75 in both, but OpenCV rounds places to 1/32 px).
    assert psnr(refined, classical) > 35


def test_flow_levels_have_the_generators_layout_and_start_at_the_cues(
    capture: CapturePair, offsets: Tensor
) -> None:
    pair = torch.stack((capture.pair, capture.pair.flip(-1)))
    with torch.no_grad():
        output = Refiner(width=0.25)(pair, offsets.expand(2, -1, -1, -1))
    assert output.frames.shape == (2, 3, 3, 128, 160)
    assert [tuple(level.shape) for level in output.flows] == [(2, 12, 64, 80)] * 4
    cues = find_motion(pair, offsets.expand(2, -1, -1, -1))
    # Channels: dx, dy of each frame to t2b, then of each frame to b2t; at half size and half scale.
    coarse = torch.nn.functional.avg_pool2d(output.flows[0], 2) * 2
    expected = cues.local.unflatten(0, (2, 3))
    inner = (..., slice(2, -2), slice(2, -2))
    for frame in range(3):
        assert (coarse[:, 2 * frame : 2 * frame + 2] - expected[:, frame, :2])[
            inner
        ].abs().mean() < 0.1
        assert (coarse[:, 6 + 2 * frame : 8 + 2 * frame] - expected[:, frame, 2:])[
            inner
        ].abs().mean() < 0.1


def test_a_few_supervised_steps_lower_the_loss_of_one_batch() -> None:
    settings = SceneSettings(
        height=64, width=64, camera_motion=14, object_motion=20, acceleration=2
    )
    drawn = SimulatedTrainingSet(
        load_textures(None),
        settings,
        TrainingSetSettings(
            patch_size=64, with_truth=True, with_flows=True, find_cues=find_training_cues, seed=1
        ),
    )
    batch = collate([drawn[0], drawn[1]])
    torch.manual_seed(0)
    network, objective = Refiner(width=0.25), SupervisedObjective({"Charbonnier": 1, "Flow": 0.02})
    optimizer = torch.optim.AdamW(network.parameters(), 3e-4)
    totals = []
    for _ in range(10):
        total = objective(network, batch).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-2:]) < 0.97 * totals[0]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_frame_does_not_depend_on_which_others_are_asked_for(capture: CapturePair) -> None:
    torch.manual_seed(0)
    network = Refiner(width=0.25).eval()
    torch.nn.init.normal_(network.motion_head.weight, std=0.01)
    together = network_frames(network, capture.pair, (0.0, 0.3, 0.6, 1.0))
    alone = network_frames(network, capture.pair, (0.3,))
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(2, 1), (17, 33), (61, 90)])
def test_any_size(capture: CapturePair, size: tuple[int, int]) -> None:
    frames = network_frames(
        Refiner(width=0.25).eval(), capture.pair[..., : size[0], : size[1]], TIMES
    )
    assert frames.shape == (3, 3, *size)
    assert bool(frames.isfinite().all())


def test_wrong_arguments_are_refused(capture: CapturePair, offsets: Tensor) -> None:
    with pytest.raises(ValueError, match="channels must be 'rgb', got 'bgr'"):
        Refiner(channels="bgr")
    with pytest.raises(ValueError, match=r"offsets must be \(1, 4, 128, 160\)"):
        Refiner(width=0.25)(capture.pair[None], offsets[:, :5])
    with pytest.raises(ValueError, match=r"offsets must be \(1, 6, 120, 160\)"):
        Refiner(width=0.25)(capture.pair[None, ..., :120, :], offsets)


def test_parts_equal_the_whole_under_large_motion(capture: CapturePair) -> None:
    torch.manual_seed(2)
    network = Refiner(width=0.25).eval()
    torch.nn.init.normal_(network.fusion_net.head.weight, std=0.01)
    pair, cells = capture.pair[None], (1, 4, 32, 40)
    cues = MotionCues(60 * torch.randn(cells), *(torch.randn(1, c, 32, 40) for c in (4, 4, 2, 1)))
    with torch.no_grad():
        motion = network.refine_motion(network.encode(pair), cues)
        whole = network.fuse(motion, (0, 0, 128, 160))
        part = network.fuse(motion, (32, 64, 128, 144))
    inner = (..., slice(32, 96), slice(32, 48))
    torch.testing.assert_close(
        part.frames[inner], whole.frames[..., 32:, 64:144][inner], rtol=0, atol=1e-5
    )
