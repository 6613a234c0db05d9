import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from data.time_maps import scan_time
from models.generator import Generator
from models.inference.correction import BASELINES
from models.parts.network import CorrectionNetwork, CorrectionOutput
from models.parts.settings import InferenceSettings
from tests.helpers.frames import network_frames
from utils.errors import InputError


class RecordingGenerator(CorrectionNetwork):
    """Frames whose value is the instant t of their pass: 10 + t at 0, t at t, 20 + t at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.offsets: list[Tensor] = []

    def encode(self, pair: Tensor) -> Tensor:
        assert pair.shape[-2] % 32 == 0 and pair.shape[-1] % 32 == 0
        assert not self.offsets  # once per capture
        return pair

    def decode(
        self, pair: Tensor, offsets: Tensor, wanted: Sequence[int] | None = None
    ) -> CorrectionOutput:
        assert wanted is not None
        assert offsets.shape == (1, 6, *pair.shape[-2:])
        assert not torch.is_grad_enabled()
        self.offsets.append(offsets)
        values = torch.tensor([10.0, 0.0, 20.0])[list(wanted)] + self.middles[-1]
        frames = values[:, None, None, None].expand(1, len(wanted), *pair.shape[-3:])
        flows = torch.zeros(1, 12, 1, 1).expand(-1, -1, pair.shape[-2] // 2, pair.shape[-1] // 2)
        return CorrectionOutput(frames, (flows,) * 4)

    @property
    def middles(self) -> list[float]:
        """The instant of each pass: row 0 of t2b is exposed at 0, so its offset is -t."""
        return [-float(offsets[0, 1, 0, 0]) for offsets in self.offsets]


def random_pair(height: int, width: int) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def recorded(times: Sequence[float], height: int = 5, width: int = 7) -> RecordingGenerator:
    generator = RecordingGenerator()
    network_frames(generator, random_pair(height, width), times)
    return generator


def values(times: Sequence[float]) -> list[float]:
    frames = network_frames(RecordingGenerator(), random_pair(5, 7), times)
    assert frames.shape == (len(times), 3, 5, 7)
    return [float(frame.mean()) for frame in frames]


@pytest.fixture(scope="module")
def tiny() -> Generator:
    torch.manual_seed(0)
    return Generator(n_feats=8, width=0.05).eval()


def test_one_pass_for_each_interior_instant() -> None:
    passes = recorded([index / 8 for index in range(9)]).middles
    assert sorted(passes) == [index / 8 for index in range(1, 8)]


def test_only_ends_take_a_single_pass_at_the_middle() -> None:
    assert recorded([0.0, 1.0]).middles == [0.5]
    assert recorded([1.0]).middles == [0.5]


def test_ends_come_from_the_pass_nearest_the_middle() -> None:
    times = [0.0, 0.125, 0.625, 0.75, 1.0]
    assert values(times) == [10.625, 0.125, 0.625, 0.75, 20.625]


def test_frames_follow_the_order_of_the_instants_and_may_repeat() -> None:
    assert values([1.0, 0.75, 0.25, 0.75, 0.0]) == [20.25, 0.75, 0.25, 0.75, 10.25]


def test_offsets_continue_past_the_last_row() -> None:
    offsets = recorded([0.5], height=5).offsets[0]
    rows = torch.arange(32) / 4
    torch.testing.assert_close(offsets[0, 1, :, 0], rows - 0.5)
    torch.testing.assert_close(offsets[0, 3, :, 0], 1 - rows)
    assert torch.equal(offsets, offsets[..., :1].expand_as(offsets))


def test_a_given_scan_is_continued_at_its_own_pace(tiny: Generator) -> None:
    pair = random_pair(10, 8)
    generator = RecordingGenerator()
    crop = scan_time(40, rows=10, top=20)
    network_frames(generator, pair, [0.25], scan_time=crop)
    expected = scan_time(40, rows=32, top=20)
    torch.testing.assert_close(generator.offsets[0][0, 0, :, 0], expected)
    whole = network_frames(tiny, pair, [0.25], scan_time=scan_time(10))
    torch.testing.assert_close(whole, network_frames(tiny, pair, [0.25]))
    with pytest.raises(ValueError, match=r"scan_time must be \(10,\)"):
        network_frames(tiny, pair, [0.25], scan_time=scan_time(11))


def test_weights_that_make_no_pictures_are_refused(tiny: Generator) -> None:
    damaged = copy.deepcopy(tiny)
    with torch.no_grad():
        next(damaged.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="the network produced NaN: its weights are damaged"):
        network_frames(damaged, random_pair(32, 64), [0.5])


def test_equals_the_generator_where_no_padding_is_needed(tiny: Generator) -> None:
    pair = random_pair(32, 64)
    s = scan_time(32)
    times = torch.tensor([0.0, 0.375, 1.0])
    offsets = torch.cat((s[None] - times[:, None], 1 - s[None] - times[:, None]))
    expected = tiny(pair[None], offsets[None, :, :, None].expand(-1, -1, -1, 64)).frames[0]
    torch.testing.assert_close(network_frames(tiny, pair, times.tolist()), expected.detach())


@pytest.mark.parametrize("size", [(2, 1), (3, 2), (33, 31), (45, 64)])
def test_any_size_comes_back_as_it_was(tiny: Generator, size: tuple[int, int]) -> None:
    frames = network_frames(tiny, random_pair(*size), [0.0, 0.3, 1.0])
    assert frames.shape == (3, 3, *size)
    assert frames.dtype == torch.float32
    assert frames.min() >= 0 and frames.max() <= 1
    assert not frames.requires_grad


def test_ultra_high_definition_is_padded_by_16_rows() -> None:
    generator = RecordingGenerator()
    pair = torch.zeros(2, 3, 1, 1).expand(2, 3, 2160, 3840)
    whole = InferenceSettings(tile=None)
    frames = network_frames(generator, pair, [0.5], settings=whole)
    assert frames.shape == (1, 3, 2160, 3840)
    assert generator.offsets[0].shape == (1, 6, 2176, 3840)


def test_float64_generators_take_float32_pairs(tiny: Generator) -> None:
    precise = Generator(n_feats=8, width=0.05).double().eval()
    precise.load_state_dict(tiny.state_dict())
    pair = random_pair(32, 32)
    frames = network_frames(precise, pair, [0.5])
    assert frames.dtype == torch.float32
    torch.testing.assert_close(frames, network_frames(tiny, pair, [0.5]), atol=1e-5, rtol=0)


def test_a_single_row_is_refused_with_the_reason(tiny: Generator) -> None:
    with pytest.raises(InputError, match="1 row x 9 columns have no rolling shutter"):
        network_frames(tiny, random_pair(1, 9), [0.5])


@pytest.mark.parametrize("times", [[], [0.5, 1.01], [-0.1], [float("nan")]])
def test_instants_outside_the_readout_are_refused(tiny: Generator, times: list[float]) -> None:
    with pytest.raises(ValueError, match=r"expected instants in \[0, 1\]"):
        network_frames(tiny, random_pair(4, 4), times)


def test_other_shapes_are_refused(tiny: Generator) -> None:
    with pytest.raises(ValueError, match=r"pair must be \(2, 3, H, W\)"):
        network_frames(tiny, torch.rand(3, 3, 8, 8), [0.5])


def test_baselines() -> None:
    pair = torch.tensor([0.2, 0.6]).view(2, 1, 1, 1).repeat(1, 3, 2, 2)
    results = {name: way(pair, [0.0, 0.5, 1.0]).frames for name, way in BASELINES.items()}
    assert {name: tuple(frames.shape) for name, frames in results.items()} == dict.fromkeys(
        ("classical", "t2b as it is", "b2t as it is", "mean of both"), (3, 3, 2, 2)
    )
    expected_levels = (("t2b as it is", 0.2), ("b2t as it is", 0.6), ("mean of both", 0.4))
    for name, expected in expected_levels:
        torch.testing.assert_close(results[name], torch.full((3, 3, 2, 2), expected))
