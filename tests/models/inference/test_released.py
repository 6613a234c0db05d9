import pytest
import torch
from torch import Tensor

from data.time_maps import scan_time
from models.generator import Generator
from models.inference.correction import correct
from models.inference.released import Composition, correct_released
from models.parts.settings import frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_forward
from models.refiner.network import Refiner
from utils.errors import InputError

HEIGHT, WIDTH = 44, 60


@pytest.fixture(scope="module")
def generator() -> Generator:
    network = Generator(width=0.1).eval()
    fill_by_formula(network, 1, 1.0)
    return network


@pytest.fixture(scope="module")
def pair() -> Tensor:
    coarse = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)


def released_pass(generator: Generator, pair: Tensor, t: float, stage: int) -> Tensor:
    """Frames at 0, t, 1 by the reference network, padded by hand to 64x64."""
    scan = scan_time(HEIGHT)
    if stage == 1:
        rows = torch.cat((pair, pair[..., -1:, :].expand(-1, -1, 20, -1)), dim=-2)
        padded = torch.cat((rows, rows[..., -1:].expand(-1, -1, -1, 4)), dim=-1)
        scan = torch.cat((scan, scan[-1:].expand(20)))
    else:
        rows = torch.cat((pair, pair[..., :20, :]), dim=-2)
        padded = torch.cat((rows, rows[..., :4]), dim=-1)
        scan = torch.cat((scan, scan[:20]))
    maps = [scan - instant for instant in (0, t, 1)] + [1 - scan - instant for instant in (0, t, 1)]
    offsets = torch.stack(maps)[None, :, :, None].expand(-1, -1, -1, 64)
    with torch.no_grad():
        return plain_forward(generator, padded[None], offsets).frames[0, ..., :HEIGHT, :WIDTH]


@pytest.mark.parametrize("stage", [1, 2])
def test_ends_come_from_the_first_and_the_last_pass(
    generator: Generator, pair: Tensor, stage: int
) -> None:
    composition: Composition = "released_stage1" if stage == 1 else "released_stage2"
    times = frame_instants(5)
    made = correct_released(generator, pair, times, composition=composition)
    passes = [released_pass(generator, pair, t, stage) for t in (0.25, 0.5, 0.75)]
    expected = torch.stack([passes[0][0], *(frames[1] for frames in passes), passes[-1][2]])
    torch.testing.assert_close(made.frames, expected, atol=1e-5, rtol=0)


def test_only_the_ends_and_the_padding_differ_from_ours(generator: Generator, pair: Tensor) -> None:
    whole = pair[..., :32, :32]  # no padding
    times = frame_instants(5)
    ours = correct(generator, whole, times, with_flows=True)
    released = correct_released(
        generator, whole, times, composition="released_stage2", with_flows=True
    )
    torch.testing.assert_close(released.frames[1:-1], ours.frames[1:-1], atol=1e-5, rtol=0)
    assert not torch.allclose(released.frames[0], ours.frames[0], atol=1e-4)
    assert released.flows is not None and ours.flows is not None
    torch.testing.assert_close(released.flows[1:-1], ours.flows[1:-1], atol=1e-4, rtol=0)
    padded = [
        correct_released(generator, pair, times, composition=which).frames
        for which in ("released_stage1", "released_stage2")
    ]
    assert (padded[0] - padded[1]).abs().max() > 1e-3


def test_what_it_cannot_make_is_one_line(generator: Generator, pair: Tensor) -> None:
    with pytest.raises(
        InputError, match="one or more of them between 0 and 1, got 0, 1; ask for 3"
    ):
        correct_released(generator, pair, [0.0, 1.0], composition="released_stage1")
    with pytest.raises(InputError, match="expected a network that makes 3 frames in a pass, got 5"):
        five = Generator(num_frames=5, n_feats=8, width=0.05)
        correct_released(five, pair, [0.0, 0.5, 1.0], composition="released_stage1")
    with pytest.raises(ValueError, match="instants in"):
        correct_released(generator, pair, [0.5, 1.5], composition="released_stage1")


def test_networks_without_passes_are_refused(pair: Tensor) -> None:
    with pytest.raises(InputError, match="'refiner' does not work by passes at 0, t and 1"):
        correct_released(Refiner(width=0.25), pair, [0.0, 0.5, 1.0], composition="released_stage1")
