from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from data.time_maps import scan_time
from models.generator import Generator
from models.inference.correction import correct, correct_classically
from models.measurement.scan import Scan
from models.parts.network import CorrectionNetwork, CorrectionOutput
from models.refiner.network import Refiner
from tests.helpers.moving_texture import Pan
from utils.errors import InputError

TIMES = (0.5, 0.0, 0.25, 1.0)
VELOCITY = (8.0, 3.0)
SIZE = (97, 130)


def exact_flows(t: float) -> Tensor:
    """(2, 2, H, W) of a uniform pan: a point at row y at t meets the scan at s = y + vy (s - t)."""
    height, width = SIZE
    x_speed, y_speed = VELOCITY
    y = torch.arange(height, dtype=torch.float32)
    downward = (y - y_speed * t) / (height - 1 - y_speed)
    upward = (height - 1 - y + y_speed * t) / (height - 1 + y_speed)
    elapsed = torch.stack((downward, upward)) - t
    flow = torch.stack((elapsed * x_speed, elapsed * y_speed), dim=1)
    return flow[..., None].expand(-1, -1, -1, width)


class CountingGenerator(CorrectionNetwork):
    """Frames and half-size flows that tell the instant t of each pass.

    Flow to t2b is (t, 1), to b2t (t, 2), plus 10 for the frame at 0 and 20 for that at 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def decode(
        self, pair: Tensor, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> CorrectionOutput:
        height, width = pair.shape[-2:]
        middle = -float(offsets[0, 1, 0, 0])
        values = torch.tensor([10.0, 0.0, 20.0]) + middle
        frames = values[None, wanted, None, None, None].expand(1, -1, 3, height, width)
        flow = torch.stack([torch.stack((values, torch.full((3,), n))) for n in (1.0, 2.0)])
        flow = flow.transpose(1, 2).reshape(1, 12, 1, 1).expand(-1, -1, height // 2, width // 2)
        return CorrectionOutput(frames, (flow,) * 4)


def test_flows_belong_to_the_frames_at_any_order_of_instants() -> None:
    generator = CountingGenerator()
    times = [1.0, 0.25, 0.0, 0.5, 0.25]
    result = correct(generator, torch.rand(2, 3, 7, 5), times, with_flows=True)
    assert result.flows.shape == (5, 2, 2, 7, 5)
    told = result.frames.mean(dim=(1, 2, 3))
    assert told.tolist() == [20.5, 0.25, 10.5, 0.5, 0.25]
    for view in (0, 1):  # twice as long at full size
        assert torch.equal(result.flows[:, view, 0].amax(dim=(1, 2)), 2 * told)
        assert (result.flows[:, view, 1] == 2 * (view + 1)).all()


@pytest.mark.parametrize("network", [Refiner(width=0.25), Generator(n_feats=8, width=0.05)])
def test_frames_are_those_without_flows(network: Refiner | Generator) -> None:
    pair = torch.rand(2, 3, 37, 45, generator=torch.Generator().manual_seed(0))
    result = correct(network.eval(), pair, TIMES, with_flows=True)
    assert torch.equal(result.frames, correct(network, pair, TIMES).frames)
    assert result.flows.shape == (4, 2, 2, 37, 45) and result.flows.isfinite().all()


def test_flows_of_a_pan_lead_to_where_each_point_was_exposed() -> None:
    pan = Pan(VELOCITY, SIZE)
    expected = torch.stack([exact_flows(t) for t in TIMES])
    refined = correct(Refiner(width=0.25).eval(), pan.pair(), TIMES, with_flows=True)
    classical = correct_classically(pan.pair(), TIMES, with_flows=True)
    assert torch.equal(classical.frames, correct_classically(pan.pair(), TIMES).frames)
    for flows in (refined.flows, classical.flows):
        error = (flows - expected).norm(dim=2)  # of the estimate, which is not under test here
        assert error.mean() < 0.12 * expected.norm(dim=2).mean()


def test_the_scan_is_that_of_the_capture() -> None:
    # The rows of a crop: exposed from 0.25 to 0.75.
    height, width = SIZE
    scan = 0.25 + 0.5 * scan_time(height)
    pan = Pan((12.0, 0.0), SIZE, scan=Scan(0.25, 0.5 / (height - 1)))
    for result in (
        correct_classically(pan.pair(), [0.5], scan_time=scan, with_flows=True),
        correct(
            Refiner(width=0.25).eval(),
            pan.pair(),
            [0.5],
            scan_time=scan,
            with_flows=True,
        ),
    ):
        expected = 12 * (torch.stack((scan, 1 - scan)) - 0.5)
        found = result.flows[0, :, 0].mean(dim=-1)
        assert (found - expected).abs().mean() < 0.15 * expected.abs().mean()


def test_a_single_row_is_bad_input() -> None:
    with pytest.raises(InputError, match="no rolling shutter to correct"):
        correct_classically(torch.rand(2, 3, 1, 8), [0.5])
