"""IFED equals the released network, and makes frames only at the instants that it learned."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from data.time_maps import offset_maps, scan_time
from models.architecture import Architecture, load_network
from models.generator import Generator
from models.ifed import IFED
from models.inference.correction import correct, self_ensemble
from models.inference.released import correct_released
from models.losses.terms import Perceptual, charbonnier, flow_variation
from models.parts.generator_layers import resize_flow
from models.parts.padding import pad_to_multiple
from models.parts.settings import InferenceSettings
from models.reference.formula_weights import fill_by_formula
from models.warping import prepare_canvas
from tests.helpers.frames import network_frames
from utils.checkpoint import save_weights
from utils.errors import InputError

REFERENCES = Path(__file__).parents[1] / "references"
INSTANTS = {1: (0.5,), 3: (0.0, 0.5, 1.0), 5: (0.0, 0.25, 0.5, 0.75, 1.0)}
TINY = {"n_feats": 8, "width": 0.05}


class Case(NamedTuple):
    network: IFED
    arrays: dict[str, Any]
    pair: Tensor


@pytest.fixture(scope="module", params=[1, 5, pytest.param(3, marks=pytest.mark.slow)])
def case(request: pytest.FixtureRequest) -> Case:
    arrays = dict(np.load(REFERENCES / f"ifed_{request.param}.npz"))
    network = IFED(request.param).eval()
    fill_by_formula(network, int(arrays["seed"]), float(arrays["gain"]))
    return Case(network, arrays, torch.from_numpy(arrays["images"]).float() / 255)


def tiny(num_frames: int = 5) -> IFED:
    torch.manual_seed(0)
    return IFED(num_frames, **TINY).eval()


def smooth_pair(height: int = 44, width: int = 60) -> Tensor:
    coarse = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_names_and_shapes_are_the_released_ones(count: int) -> None:
    expected = json.loads((REFERENCES / f"ifed_state_{count}.json").read_text())
    with torch.device("meta"):
        network = IFED(count)
    assert {k: list(value.shape) for k, value in network.state_dict().items()} == expected["state"]
    assert sum(weight.numel() for weight in network.parameters()) == expected["parameters"]


def test_frames_are_those_of_the_released_test(case: Case) -> None:
    assert case.network.instants == INSTANTS[case.network.num_frames]
    frames = network_frames(case.network, case.pair, case.network.instants)
    np.testing.assert_allclose(frames.numpy(), case.arrays["frames"][0], atol=1e-5, rtol=0)


def test_flows_losses_and_gradients_match_the_reference(case: Case) -> None:
    network, arrays = case.network, case.arrays
    pair = pad_to_multiple(case.pair, 32)[None]
    maps = torch.from_numpy(arrays["offsets"])[None, ..., None]
    offsets = maps.expand(-1, -1, -1, pair.shape[-1])
    output = network(pair, offsets)
    with torch.no_grad():
        _, velocity = network.flow_net(pair, offsets, prepare_canvas(pair))
    for name, found in (("flow_sub", output.flows[-1].detach()), ("velocity_sub", velocity)):
        values = resize_flow(found, 2).unflatten(1, (-1, 2))[..., ::4, ::4]
        np.testing.assert_allclose(values.numpy(), arrays[name], atol=1e-4, rtol=0)
    perceptual = Perceptual()
    fill_by_formula(perceptual, int(arrays["vgg_seed"]), 2**0.5)
    truth = pad_to_multiple(torch.from_numpy(arrays["truth"]).float() / 255, 32)[None]
    terms = {
        "charbonnier": charbonnier(output.frames, truth, 1e-6),
        "perceptual": 0.1 * perceptual(output.frames, truth),
        "variation": 0.1 * flow_variation(output.flows),
    }
    total = torch.stack(list(terms.values())).sum()
    for name, value in {**terms, "total": total}.items():
        assert value.item() == pytest.approx(float(arrays[name]), rel=1e-4), name
    total.backward()
    weights = dict(network.named_parameters())
    gradients = [weights[name].grad for name in arrays["grad_names"]]
    norms = np.array([float(gradient.norm()) for gradient in gradients if gradient is not None])
    network.zero_grad()
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=1e-2, atol=1e-5)


def test_more_frames_need_more_memory() -> None:
    one, three, nine = (tiny(count).inference_bytes((540, 960), 9, None, 0) for count in (1, 3, 9))
    assert one == pytest.approx(three, rel=0.01)
    assert nine == pytest.approx(2.3 * three, rel=0.01)


def test_rows_below_the_image_have_the_time_of_its_last_row() -> None:
    network, pair = tiny(3), smooth_pair()
    scan = torch.cat((scan_time(44), torch.ones(20)))
    maps = offset_maps(scan[None], torch.tensor([network.instants])).expand(-1, -1, -1, 64)
    with torch.no_grad():
        expected = network(pad_to_multiple(pair, 32)[None], maps).frames[0, ..., :44, :60]
    assert torch.equal(network_frames(network, pair, network.instants), expected)


def test_some_of_the_instants_in_any_order_with_their_flows() -> None:
    network, pair = tiny(), smooth_pair()
    whole = correct(network, pair, network.instants, with_flows=True)
    some = correct(network, pair, (1.0, 0.25), with_flows=True)
    torch.testing.assert_close(some.frames, whole.frames[[4, 1]])
    assert some.flows is not None and whole.flows is not None
    torch.testing.assert_close(some.flows, whole.flows[[4, 1]])
    assert whole.flows[0].abs().sum() > 0


def test_tiles_and_the_self_ensemble_make_the_same_instants() -> None:
    network, pair = tiny(3), smooth_pair(64, 700)
    whole = network_frames(network, pair, network.instants)
    tiled = network_frames(network, pair, network.instants, settings=InferenceSettings(tile=64))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-2)  # the context is wider than a tile
    both = self_ensemble(lambda *given, **more: correct(network, *given, **more))
    assert both(pair[..., :96], network.instants).frames.shape == (3, 3, 64, 96)


@pytest.mark.parametrize("asked", [(0.0, 0.125, 1.0), (0.3,)])
def test_other_instants_are_refused(asked: tuple[float, ...]) -> None:
    wrong = "0.125" if 0.125 in asked else "0.3"
    expected = rf"'ifed', num_frames 5, makes only t = 0, 0.25, 0.5, 0.75, 1, got t = {wrong};"
    with pytest.raises(InputError, match=expected):
        correct(tiny(), smooth_pair(), asked)


def test_the_tests_of_selfdrsc_do_not_compose_its_frames() -> None:
    with pytest.raises(InputError, match="'ifed' does not work by passes at 0, t and 1"):
        correct_released(tiny(3), smooth_pair(), (0, 0.5, 1), composition="released_stage1")


def released_file(path: Path, network: Generator, prefix: str, **more: Any) -> Path:
    """A file as the authors' training writes it."""
    state = {prefix + name: value for name, value in network.state_dict().items()}
    content = {"epoch": 499, "state_dict": state, "register_dict": {"best": 30.1, "epoch": 3}}
    torch.save(content | {"optimizer": {"state": {}, "param_groups": []}} | more, path)
    return path


@pytest.mark.parametrize(
    ("count", "prefix", "more", "net_type"),
    [
        (5, "module.model.", {"model": "IFED"}, "ifed"),
        (3, "module.model.", {}, "ifed"),
        (3, "model.", {}, "ifed"),
        (3, "module.", {"model": "IFED"}, "ifed"),
        (1, "module.", {}, "ifed"),
        (9, "", {}, "ifed"),
        (3, "module.", {}, "generator"),
    ],
)
def test_released_files_are_recognised_by_their_tensors(
    tmp_path: Path, count: int, prefix: str, more: dict[str, str], net_type: str
) -> None:
    saved = IFED(count, **TINY)
    loaded = load_network(released_file(tmp_path / "model_best.pth.tar", saved, prefix, **more))
    assert (loaded.net_type, loaded.num_frames, loaded.channels) == (net_type, count, "bgr")
    assert all(
        torch.equal(value, saved.state_dict()[name]) for name, value in loaded.state_dict().items()
    )


def test_our_own_files_name_the_network(tmp_path: Path) -> None:
    saved = IFED(3, **TINY, channels="bgr")
    save_weights(tmp_path / "a.safetensors", saved)
    loaded = load_network(tmp_path / "a.safetensors")
    assert isinstance(loaded, IFED) and Architecture.of(loaded) == Architecture.of(saved)


def test_files_without_the_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"
    torch.save({"teacher": tiny(3).state_dict()}, path)
    with pytest.raises(InputError, match="expected named tensors, got a dict with teacher"):
        load_network(path)
    torch.save({"state_dict": {"module.model.encoder.weight": torch.zeros(2)}}, path)
    with pytest.raises(InputError, match="not a generator of this method: .* got encoder.weight"):
        load_network(path)
