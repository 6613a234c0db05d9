import json
from pathlib import Path

import numpy as np
import pytest
import torch

from data.time_maps import offset_maps, scan_time
from models.generator import Generator
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_forward
from models.warping import prepare_canvas

REFERENCES = Path(__file__).parents[1] / "references"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return dict(np.load(REFERENCES / "generator.npz"))


@pytest.fixture(scope="module")
def released(arrays: dict[str, np.ndarray]) -> Generator:
    generator = Generator().eval()
    fill_by_formula(generator, int(arrays["seed"]), gain=1.0)
    return generator


def offsets_for(
    height: int, width: int, times: tuple[float, ...] = (0.0, 0.5, 1.0)
) -> torch.Tensor:
    maps = offset_maps(scan_time(height)[None], torch.tensor([times]))
    return maps.expand(-1, -1, -1, width)


def test_state_names_and_shapes_are_the_released_ones(released: Generator) -> None:
    expected = json.loads((REFERENCES / "generator_state.json").read_text())
    state = {name: list(value.shape) for name, value in released.state_dict().items()}
    assert state == expected["state"]
    assert sum(p.numel() for p in released.parameters()) == expected["parameters"] == 28759160


def test_frames_flows_and_velocity_match_the_reference(
    released: Generator, arrays: dict[str, np.ndarray]
) -> None:
    pair = torch.from_numpy(arrays["images"])
    offsets = torch.from_numpy(arrays["encoding"])[..., None].expand(-1, -1, -1, pair.shape[-1])
    with torch.inference_mode():
        frames, flows = released(pair, offsets)
        _, velocity = released.flow_net(pair, offsets, prepare_canvas(pair))
    np.testing.assert_allclose(frames.flatten(1, 2).numpy(), arrays["frames"], atol=1e-5, rtol=0)
    for level, flow in enumerate(flows, start=1):
        np.testing.assert_allclose(flow.numpy(), arrays[f"flow_{level}"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(velocity.numpy(), arrays["velocity"], atol=1e-5, rtol=0)


def test_bgr_weights_take_and_give_rgb() -> None:
    torch.manual_seed(0)
    plain, flipped = (
        Generator(n_feats=8, width=0.05, channels=channels).eval() for channels in ("rgb", "bgr")
    )
    flipped.load_state_dict(plain.state_dict())
    pair, offsets = torch.rand(1, 2, 3, 64, 64), offsets_for(64, 64)
    with torch.inference_mode():
        frames = plain(pair, offsets).frames
        swapped = flipped(pair.flip(2), offsets).frames
    assert torch.equal(swapped, frames.flip(2))
    assert not torch.equal(frames, frames.flip(2))


@pytest.mark.parametrize(("width", "parameters"), [(0.25, 1888112), (0.5, 7271448)])
def test_width_scales_the_network(width: float, parameters: int) -> None:
    generator = Generator(width=width)
    assert sum(p.numel() for p in generator.parameters()) == parameters
    frames, flows = generator(torch.rand(1, 2, 3, 32, 64), offsets_for(32, 64))
    assert frames.shape == (1, 3, 3, 32, 64)
    assert [tuple(flow.shape) for flow in flows] == [(1, 12, 16, 32)] * 4


def test_other_frame_counts() -> None:
    offsets = offsets_for(32, 32, (0.0, 0.25, 0.5, 0.75, 1.0))
    frames, flows = Generator(num_frames=5, width=0.25)(torch.rand(1, 2, 3, 32, 32), offsets)
    assert frames.shape == (1, 5, 3, 32, 32)
    assert flows[-1].shape == (1, 20, 16, 16)


def test_no_time_no_motion_gives_constant_flow() -> None:
    """Zero offsets leave each level only its bias, whatever the images."""
    generator = Generator(width=0.25)
    flows = generator(torch.rand(1, 2, 3, 64, 64), torch.zeros(1, 6, 64, 64)).flows
    for flow, level in zip(flows, range(4), strict=True):
        bias = generator.get_submodule(f"flow_net.conv{level}")[0].bias
        torch.testing.assert_close(flow, bias[None, :, None, None].expand_as(flow))


def test_captures_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    generator = Generator(width=0.25).eval()
    pair = torch.rand(2, 2, 3, 32, 64)
    offsets = offsets_for(32, 64).expand(2, -1, -1, -1)
    with torch.inference_mode():
        together = generator(pair, offsets).frames
        alone = torch.cat([generator(pair[i : i + 1], offsets[i : i + 1]).frames for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_autocast_keeps_flows_in_float32() -> None:
    generator = Generator(width=0.25).eval()
    pair, offsets = torch.rand(1, 2, 3, 64, 64), offsets_for(64, 64)
    with torch.inference_mode():
        exact = generator(pair, offsets)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = generator(pair, offsets)
    assert rounded.flows[-1].dtype == torch.float32
    assert float((rounded.frames - exact.frames).abs().max()) < 0.05


def test_bad_arguments_name_what_is_expected() -> None:
    generator = Generator(width=0.25)
    with pytest.raises(ValueError, match=r"pair must be \(B, 2, 3, H, W\), got \(1, 3, 32, 32\)"):
        generator(torch.rand(1, 3, 32, 32), offsets_for(32, 32))
    with pytest.raises(ValueError, match="multiples of 32, got 48x64"):
        generator(torch.rand(1, 2, 3, 48, 64), offsets_for(48, 64))
    with pytest.raises(ValueError, match=r"offsets must be \(1, 6, 32, 32\), got \(1, 4, 32, 32\)"):
        generator(torch.rand(1, 2, 3, 32, 32), torch.zeros(1, 4, 32, 32))
    with pytest.raises(ValueError, match="must be positive, got num_frames=3, n_feats=32, width=0"):
        Generator(width=0)
    with pytest.raises(ValueError, match="'rgb' or 'bgr', got 'hsv'"):
        Generator(channels="hsv")  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "batch"), [((32, 32), 1), ((64, 96), 2), ((96, 768), 1)])
def test_equals_the_plain_path(size: tuple[int, int], batch: int) -> None:
    """The largest size is convolved in strips."""
    torch.manual_seed(0)
    generator = Generator(width=0.25, channels="bgr").eval()
    pair = torch.rand(batch, 2, 3, *size)
    offsets = offsets_for(*size).expand(batch, -1, -1, -1)
    with torch.inference_mode():
        expected, made = plain_forward(generator, pair, offsets), generator(pair, offsets)
    for flow, plain in zip(made.flows, expected.flows, strict=True):
        torch.testing.assert_close(flow, plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(made.frames, expected.frames, rtol=0, atol=1e-4)


def test_gradients_are_those_of_the_plain_path() -> None:
    torch.manual_seed(0)
    generator = Generator(n_feats=8, width=0.05).double()
    pair, offsets = torch.rand(1, 2, 3, 32, 64).double(), offsets_for(32, 64).double()
    target = torch.rand(1, 3, 3, 32, 64).double()
    found = []
    for made in (generator(pair, offsets), plain_forward(generator, pair, offsets)):
        loss = (made.frames - target).square().mean() + made.flows[0].square().mean()
        found.append(torch.autograd.grad(loss, list(generator.parameters())))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


def test_an_encoding_serves_every_instant_and_batch() -> None:
    torch.manual_seed(0)
    generator = Generator(n_feats=8, width=0.05).eval()
    pair = torch.rand(1, 2, 3, 64, 32)
    offsets = torch.cat([offsets_for(64, 32, (0.0, t, 1.0)) for t in (0.25, 0.5)])
    with torch.inference_mode():
        encoded = generator.encode(pair)
        together = generator.decode(encoded, offsets)
        middle = generator.decode(encoded, offsets, [1]).frames
        alone = torch.cat([generator(pair, one[None]).frames for one in offsets])
    assert middle.shape == (2, 1, 3, 64, 32)
    torch.testing.assert_close(together.frames, alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(middle, together.frames[:, 1:2], rtol=0, atol=1e-5)
