import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.time_maps import offset_maps, scan_time
from models.architecture import Architecture, expect_architecture, load_network
from models.flow.networks import load_flow
from models.inference.correction import correct, self_ensemble
from models.inference.tiling import estimate_memory
from models.parts.settings import InferenceSettings
from models.plusplus import volumes
from models.plusplus.network import SelfDRSCPlusPlus
from models.reference.formula_weights import fill_by_formula
from utils.checkpoint import save_weights
from utils.errors import InputError

REFERENCES = Path(__file__).parents[2] / "references"
TIMES = (0.0, 0.25, 1.0)


def load(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(REFERENCES / f"{name}.npz"))


def filled(arrays: dict[str, np.ndarray]) -> SelfDRSCPlusPlus:
    network = SelfDRSCPlusPlus().eval()
    fill_by_formula(network, int(arrays["seed"]), float(arrays["gain"]))
    return network


def reference_inputs(arrays: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    pair = torch.from_numpy(arrays["images"]).float() / 255
    rows = torch.from_numpy(arrays["offsets"])[None, ..., None]
    return pair, rows.expand(-1, -1, -1, pair.shape[-1])


def close(tensor: Tensor, expected: np.ndarray, bound: float) -> None:
    np.testing.assert_allclose(tensor.numpy(), expected, atol=bound, rtol=0)


@pytest.fixture
def tiny() -> SelfDRSCPlusPlus:
    torch.manual_seed(0)
    return SelfDRSCPlusPlus(n_feats=8, width=0.5).eval()


def random_inputs(
    height: int, width: int, times: tuple[float, ...] = TIMES
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    maps = offset_maps(scan_time(height)[None], torch.tensor([times]))
    pair = torch.rand(1, 2, 3, height, width, generator=generator)
    return pair, maps.expand(-1, -1, -1, width)


def test_state_names_and_shapes_are_the_released_ones() -> None:
    network = SelfDRSCPlusPlus()
    expected = json.loads((REFERENCES / "plusplus_state.json").read_text())
    state = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert state == expected["state"]
    assert sum(p.numel() for p in network.parameters()) == expected["parameters"] == 2_991_551


def test_frames_flows_and_volumes_match_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = load("plusplus_even")
    network, (pair, offsets) = filled(arrays), reference_inputs(arrays)
    looked_up, look_up = [], volumes.look_up
    monkeypatch.setattr(
        "models.plusplus.network.look_up",
        lambda *inputs: looked_up.append(look_up(*inputs)) or looked_up[-1],
    )
    with torch.inference_mode():
        close(network(pair, offsets).frames, arrays["frames"], 1e-5)
        encoded = network.encode(pair)
        looked_up.clear()
        motion = network.decode_motion(encoded, torch.stack((offsets[:, 1], offsets[:, 4]), 1))
    for level, flow in zip((4, 3, 2), motion.flows, strict=True):
        close(flow, arrays[f"flow_{level}"], 1e-4)
    for level, values in zip((4, 3, 2), looked_up, strict=True):
        close(values.mean(dim=(2, 3)), arrays[f"lookup_mean_{level}"], 1e-3)
    close(looked_up[0][:, :, 5, ::3], arrays["lookup_4_rows"], 1e-3)
    close(motion.feature.mean(dim=(2, 3)), arrays["updated_feature_mean_2"], 1e-4)
    for view in (0, 1):
        features = encoded.volumes[view].queries * 84**0.5
        close(features.mean(dim=(2, 3)), arrays[f"matching_mean_{view}"], 1e-4)
        for level, canvas in enumerate(encoded.levels, start=1):
            means = canvas.ground[:, view].mean(dim=(2, 3))
            close(means, arrays[f"pyramid_mean_{view}_{level}"], 1e-4)


def test_any_size_matches_the_reference() -> None:
    arrays = load("plusplus_odd")
    network, (pair, _) = filled(arrays), reference_inputs(arrays)
    frames = correct(network, pair[0], np.linspace(0, 1, 5)).frames
    close(frames[..., 1::2, ::2], arrays["frames_sub"][0], 1e-5)
    close(frames.mean(dim=(1, 2, 3)), arrays["frame_means"][0], 1e-5)


def test_frames_do_not_depend_on_the_others(tiny: SelfDRSCPlusPlus) -> None:
    pair, offsets = random_inputs(128, 160, (0.0, 0.3, 0.6, 1.0))
    with torch.inference_mode():
        together = tiny(pair, offsets)
        alone = tiny(pair, offsets[:, [1, 5]])
        chosen = tiny.decode(tiny.encode(pair), offsets, [1]).frames
    torch.testing.assert_close(alone.frames, together.frames[:, 1:2], rtol=0, atol=1e-5)
    assert torch.equal(chosen, together.frames[:, 1:2])
    assert [tuple(flow.shape) for flow in together.flows] == [(1, 16, 64, 80)] * 4
    # Of the frame at 0.3: (dx, dy) to t2b, then to b2t.
    torch.testing.assert_close(alone.flows[-1], together.flows[-1][:, [2, 3, 10, 11]])


def test_pairs_of_a_batch_do_not_mix(tiny: SelfDRSCPlusPlus) -> None:
    pair = torch.cat([random_inputs(128, 128)[0] * share for share in (1, 0.5)])
    offsets = random_inputs(128, 128)[1].expand(2, -1, -1, -1)
    with torch.inference_mode():
        together = tiny(pair, offsets)
        alone = [tiny(pair[i : i + 1], offsets[i : i + 1]) for i in range(2)]
    for i, one in enumerate(alone):
        torch.testing.assert_close(one.frames[0], together.frames[i], rtol=0, atol=1e-5)
        torch.testing.assert_close(one.flows[-1][0], together.flows[-1][i], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(2, 1), (33, 70), (130, 257)])
def test_small_sizes_are_padded(tiny: SelfDRSCPlusPlus, size: tuple[int, int]) -> None:
    pair, offsets = random_inputs(*size)
    frames = correct(tiny, pair[0], TIMES, with_flows=True).frames
    assert frames.shape == (3, 3, *size)
    with torch.inference_mode():
        torch.testing.assert_close(frames, tiny(pair, offsets).frames[0], rtol=0, atol=1e-5)


def test_frames_do_not_depend_on_tiles_or_memory(
    tiny: SelfDRSCPlusPlus, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = random_inputs(136, 180)[0][0]
    whole = correct(tiny, pair, TIMES, with_flows=True)
    monkeypatch.setattr(volumes, "STORED_BYTES", 0)
    monkeypatch.setattr("models.plusplus.blocks._STRIP", 1 << 12)
    settings = InferenceSettings(tile=64)
    tiled = correct(tiny, pair, TIMES, with_flows=True, settings=settings)
    torch.testing.assert_close(tiled.frames, whole.frames, rtol=0, atol=1e-5)
    assert tiled.flows is not None
    torch.testing.assert_close(tiled.flows, whole.flows, rtol=0, atol=1e-4)


def test_bgr_weights_take_and_give_rgb(tiny: SelfDRSCPlusPlus) -> None:
    flipped = SelfDRSCPlusPlus(n_feats=8, width=0.5, channels="bgr").eval()
    flipped.load_state_dict(tiny.state_dict())
    pair = random_inputs(64, 64)[0][0]
    frames = correct(tiny, pair, TIMES).frames
    swapped = correct(flipped, pair.flip(1), TIMES).frames
    torch.testing.assert_close(swapped, frames.flip(1), rtol=0, atol=1e-6)
    assert not torch.equal(frames, frames.flip(1))


def test_bfloat16_keeps_flows_in_float32(tiny: SelfDRSCPlusPlus) -> None:
    pair = random_inputs(64, 96)[0][0]
    exact = correct(tiny, pair, TIMES).frames
    rounded = correct(tiny, pair, TIMES, settings=InferenceSettings("bfloat16")).frames
    assert 0 < float((rounded - exact).abs().max()) < 0.05
    assert rounded.dtype == torch.float32


def test_other_precisions_of_the_weights(tiny: SelfDRSCPlusPlus) -> None:
    pair, offsets = random_inputs(128, 128)
    with torch.inference_mode():
        frames = tiny(pair, offsets).frames
        exact = tiny.double()(pair.double(), offsets.double()).frames
        rounded = tiny.bfloat16()(pair.bfloat16(), offsets.bfloat16()).frames
    assert exact.dtype == torch.float64
    torch.testing.assert_close(frames.double(), exact, rtol=0, atol=1e-5)
    assert rounded.dtype == torch.bfloat16 and rounded.isfinite().all()


def test_self_ensemble_and_camera_timing(tiny: SelfDRSCPlusPlus) -> None:
    pair = random_inputs(64, 96)[0][0]

    def method(pair: Tensor, times: tuple[float, ...], **options: object):  # type: ignore[no-untyped-def]
        return correct(tiny, pair, times, **options)  # type: ignore[arg-type]

    plain = correct(tiny, pair, TIMES).frames
    assert not torch.equal(self_ensemble(method)(pair, TIMES).frames, plain)
    slow = correct(tiny, pair, TIMES, scan_time=scan_time(64) * 0.5 + 0.2).frames
    assert not torch.allclose(slow, plain)


def test_released_files_are_recognised_by_their_tensors(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = SelfDRSCPlusPlus().state_dict()
    for name, content in (("150000_G.pth", state), ("model.pkl", {"params": state})):
        torch.save(content, tmp_path / name)
        network = load_network(tmp_path / name)
        assert Architecture.of(network) == Architecture(32, 1.0, 3, "bgr", "selfdrsc_plusplus")
        assert torch.equal(network.state_dict()["comb_block.2.bias"], state["comb_block.2.bias"])
    with pytest.raises(InputError, match="expected net_type generator, got selfdrsc_plusplus"):
        found = vars(Architecture.of(network))
        expect_architecture(found, found | {"net_type": "generator"}, "a.pth")
    with pytest.raises(InputError, match=r"of SelfDRSC\+\+, which goes to path.pretrained_netG"):
        load_flow(str(tmp_path / "model.pkl"))
    del state["comb_block.2.bias"]
    torch.save(state, tmp_path / "damaged.pth")
    with pytest.raises(InputError, match=r"1 missing \(comb_block.2.bias\)"):
        load_network(tmp_path / "damaged.pth")


def test_our_files_state_the_network(tiny: SelfDRSCPlusPlus, tmp_path: Path) -> None:
    save_weights(tmp_path / "tiny.safetensors", tiny)
    loaded = load_network(tmp_path / "tiny.safetensors")
    assert Architecture.of(loaded) == Architecture(8, 0.5, 3, "rgb", "selfdrsc_plusplus")


def test_every_weight_has_a_gradient(tiny: SelfDRSCPlusPlus) -> None:
    pair, offsets = random_inputs(64, 64)
    tiny(pair, offsets).frames.square().sum().backward()
    assert [name for name, weight in tiny.named_parameters() if weight.grad is None] == []


def test_the_memory_of_large_images_is_known() -> None:
    """One frame of 960x540 takes 1.7 GB, measured with `width` 1."""
    network = SelfDRSCPlusPlus()
    assert 1.4e9 < estimate_memory(network, (540, 960), 9) < 2e9
    assert 2.5e9 < estimate_memory(network, (2160, 3840), 1) < 4e9


def test_bad_arguments_name_what_is_expected(tiny: SelfDRSCPlusPlus) -> None:
    pair, offsets = random_inputs(64, 64)
    with pytest.raises(ValueError, match=r"offsets must be \(1, 6, 64, 64\), got \(1, 6, 32, 64\)"):
        tiny(pair, offsets[..., :32, :])
    with pytest.raises(ValueError, match=r"pair must be \(B, 2, 3, H, W\)"):
        tiny(pair[0], offsets)
