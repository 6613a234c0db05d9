import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.flow_pwc import Decoder, PWCNet, load_pwc
from models.reference.formula_weights import fill_by_formula
from utils.errors import InputError

REFERENCES = Path(__file__).parents[1] / "references"
RELEASED = json.loads((REFERENCES / "pwcnet_state.json").read_text())


@pytest.fixture(scope="module")
def reference():
    arrays = np.load(REFERENCES / "pwcnet.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def released(reference):
    network = PWCNet("released").eval().requires_grad_(False)
    fill_by_formula(network, int(reference["seed"]), 2**0.5)
    return network


def constant_network(dx, dy, **settings):
    """A network that answers (dx, dy) times 20 at the size it works at, whatever it sees."""
    network = PWCNet(**settings).requires_grad_(False)
    for parameter in network.parameters():
        parameter.zero_()
    network.moduleRefiner.moduleMain[-1].bias.copy_(torch.tensor([dx, dy]))
    return network


def features_of(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cost_of_no_displacement(decoder, first, second):
    """Centre channel of the cost volume that the decoder's dense layers see, (h, w)."""
    above = torch.zeros(1, 2, 4, 5), torch.zeros(1, decoder.moduleUpfeat.in_channels, 4, 5)
    _, features = decoder(first, second, above)
    matched = features[:, -(81 + first.shape[1] + 4) :]
    return matched[0, 40]


def shifting_decoder(dx, dy, sampling):
    """A level-5 decoder whose upsampled flow is (dx, dy) pixels of its level everywhere."""
    decoder = Decoder(5, sampling).requires_grad_(False)
    decoder.moduleUpflow.weight.zero_()
    bias = torch.tensor([dx, dy]) / decoder.pixels_per_unit
    decoder.moduleUpflow.bias.copy_(bias)
    return decoder


def test_names_and_shapes_are_the_released_ones():
    state = PWCNet().state_dict()
    assert {name: list(value.shape) for name, value in state.items()} == RELEASED["state"]
    assert sum(value.numel() for value in state.values()) == RELEASED["parameters"]


def test_released_flow(released, reference):
    flow = released(reference["first"], reference["second"])
    torch.testing.assert_close(flow, reference["flow"], rtol=0, atol=1e-3)


def test_images_of_a_batch_are_independent(released):
    first, second = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    together = released(first, second)
    torch.testing.assert_close(together[1:], released(first[1:], second[1:]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (37, 64), (50, 70), (64, 129)])
def test_flow_is_rescaled_to_any_size(height, width):
    network = constant_network(0.5, -0.25)
    image = torch.rand(1, 3, height, width)
    rows, columns = 64 * -(-height // 64), 64 * -(-width // 64)
    expected = torch.tensor([10 * width / columns, -5 * height / rows])
    flow = network(image, image)
    assert flow.shape == (1, 2, height, width)
    torch.testing.assert_close(flow, expected.reshape(1, 2, 1, 1).expand_as(flow))


def test_aligned_warp_undoes_a_whole_pixel_shift_up_to_the_border():
    first = features_of(0, 1, 128, 8, 10)
    second = first.roll((-1, 2), dims=(2, 3))  # first(x, y) is at second(x + 2, y - 1)
    cost = cost_of_no_displacement(shifting_decoder(2.0, -1.0, "aligned"), first, second)
    expected = first.square().mean(dim=1)[0]
    expected[0], expected[:, 8:] = 0, 0  # their match lies outside: zero features
    torch.testing.assert_close(cost, expected)


def test_aligned_keeps_the_outermost_ring_that_released_blacks_out():
    first = features_of(1, 1, 128, 8, 10)
    energy = first.square().mean(dim=1)[0]
    aligned = cost_of_no_displacement(shifting_decoder(0.0, 0.0, "aligned"), first, first)
    released = cost_of_no_displacement(shifting_decoder(0.0, 0.0, "released"), first, first)
    torch.testing.assert_close(aligned, energy)
    ring = torch.ones(8, 10, dtype=torch.bool)
    ring[1:-1, 1:-1] = False
    assert not released[ring].any()
    assert released[~ring].ne(0).all()


def test_bgr_weights_see_turned_channels(released, reference):
    turned = PWCNet("released", channels="bgr").requires_grad_(False)
    turned.load_state_dict(released.state_dict())
    first, second = reference["first"][:1], reference["second"][:1]
    flow = turned(first.flip(1), second.flip(1))
    torch.testing.assert_close(flow, reference["flow"][:1], rtol=0, atol=1e-3)


def test_gradient_reaches_both_images_through_the_frozen_network(released):
    first = torch.rand(1, 3, 64, 64, requires_grad=True)
    second = torch.rand(1, 3, 64, 64, requires_grad=True)
    released(first, second).square().sum().backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in released.parameters())


def test_double_precision_agrees(released):
    first, second = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    double = PWCNet("released").double().requires_grad_(False)
    double.load_state_dict(released.state_dict())
    flow = double(first.double(), second.double())
    assert flow.dtype == torch.float64
    torch.testing.assert_close(released(first, second).double(), flow, rtol=0, atol=1e-2)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (3, 64, 64), (1, 3, 64, 65)])
def test_refuses_what_is_not_two_images_of_one_shape(released, shape):
    with pytest.raises(ValueError, match=r"images must both be \(B, 3, H, W\)"):
        released(torch.zeros(1, 3, 64, 64), torch.zeros(shape))


@pytest.mark.parametrize(
    ("suffix", "prefix"),
    [
        (".pth", ""),
        (".pytorch", ""),
        (".safetensors", ""),
        (".pth", "flow.pwc."),
        (".pth", "netG."),
    ],
)
@pytest.mark.parametrize("style", ["module", "net"])
def test_loads_both_name_styles_of_every_file_kind(tmp_path, released, suffix, style, prefix):
    path = tmp_path / f"network-default{suffix}"
    state = {
        prefix + re.sub("module", style, name): value
        for name, value in released.state_dict().items()
    }
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    network = load_pwc(path, "released")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in released.state_dict().items())


def test_sampling_is_as_asked_and_channels_as_the_kind_of_file_has_them(tmp_path, released):
    torch.save(released.state_dict(), tmp_path / "pwc.pth")
    save_file(released.state_dict(), tmp_path / "pwc.safetensors")
    theirs = load_pwc(tmp_path / "pwc.pth")
    assert (theirs.moduleTwo.sampling, theirs.channels) == ("aligned", "bgr")
    ours = load_pwc(tmp_path / "pwc.safetensors")
    assert (ours.moduleTwo.sampling, ours.channels) == ("aligned", "rgb")
    assert load_pwc(tmp_path / "pwc.pth", "released").moduleTwo.sampling == "released"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_may_say_how_its_weights_match(tmp_path, released, suffix):
    path = tmp_path / f"pwc{suffix}"

    def write(**architecture):
        if suffix == ".safetensors":
            save_file(released.state_dict(), path, architecture)
        else:
            content = {"generator": released.state_dict(), "architecture": architecture}
            torch.save(content, path)

    write(matching="cosine", channels="rgb")
    network = load_pwc(path)
    assert (network.matching, network.channels) == ("cosine", "rgb")
    assert network.architecture == {
        "net_type": "pwcnet",
        "channels": "rgb",
        "matching": "cosine",
    }
    write(matching="distance")
    with pytest.raises(InputError, match="expected .*'product' or 'cosine', got 'distance'"):
        load_pwc(path)


def test_cosines_do_not_depend_on_contrast(released):
    network = PWCNet(matching="cosine").requires_grad_(False)
    network.load_state_dict(released.state_dict())
    first, second = features_of(4, 2, 196, 3, 4)[:, None]
    second = second * torch.linspace(0.1, 10, 4)  # another contrast in every column
    costs = network(torch.zeros(1, 3, 192, 256), torch.zeros(1, 3, 192, 256), down_to=5)[0].costs
    assert costs.shape == (1, 81, 3, 4)
    compared = network.moduleSix._compare(first, second)[0, 40]
    expected = torch.cosine_similarity(first, second)[0]
    expected = torch.where(expected < 0, expected * 0.1, expected)
    torch.testing.assert_close(compared, expected, rtol=1e-4, atol=1e-5)


def test_levels_for_training_are_those_of_inference(released, reference):
    first, second = reference["first"][:1], reference["second"][:1]
    levels = released(first, second, down_to=2)
    height, width = first.shape[-2:]
    rows, columns = (-(-side // 64) * 64 for side in (height, width))
    assert [level.flow.shape[-2:] for level in levels] == [
        (rows // 2**number, columns // 2**number) for number in (6, 5, 4, 3, 2)
    ]
    finest = torch.nn.functional.interpolate(
        levels[-1].flow, (height, width), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(finest, released(first, second), rtol=0, atol=1e-3)
    assert not levels[0].start.any()
    coarse = released(first, second, down_to=4)
    for short, whole in zip(coarse, levels[:3], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(short, whole, strict=True))


def test_a_level_starts_from_the_coarser_one_s_flow(released):
    images = torch.rand(2, 1, 3, 64, 128, generator=torch.Generator().manual_seed(5))
    coarse, fine = released(images[0], images[1], down_to=5)
    enlarged = released.moduleFiv.moduleUpflow(coarse.flow / 20) * 20
    torch.testing.assert_close(fine.start, enlarged, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("level", "left_out"), [(5, 4), (3, 2), (2, 0)])
def test_parts_beyond_a_level_get_no_gradient(level, left_out):
    network = PWCNet()
    images = torch.rand(2, 1, 3, 64, 64)
    network(images[0], images[1], down_to=level)[-1].flow.sum().backward()
    beyond = network.beyond(level)
    assert len(beyond) == left_out
    unused = {id(parameter) for part in beyond for parameter in part.parameters()}
    for parameter in network.parameters():
        assert (parameter.grad is None) == (id(parameter) in unused)


def test_another_network_is_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError) as caught:
        load_pwc(tmp_path / "other.pth")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/other.pth: not weights of this PWCNet: ")
    missing = len(RELEASED["state"])
    assert f"{missing} missing (moduleExtractor.moduleOne.0.weight, " in message
    assert message.endswith("; 1 unexpected (conv.weight)")


def test_missing_layer_and_wrong_width_are_named(tmp_path, released):
    state = released.state_dict()
    del state["moduleSix.moduleSix.0.bias"]
    state["moduleRefiner.moduleMain.12.weight"] = torch.zeros(2, 16, 3, 3)
    torch.save(state, tmp_path / "pwc.pth")
    with pytest.raises(InputError) as caught:
        load_pwc(tmp_path / "pwc.pth")
    assert "1 missing (moduleSix.moduleSix.0.bias)" in str(caught.value)
    shapes = "moduleRefiner.moduleMain.12.weight: expected (2, 32, 3, 3), got (2, 16, 3, 3)"
    assert f"1 of another shape ({shapes})" in str(caught.value)


class RunsCode:
    def __reduce__(self):
        return os.getpid, ()


def test_missing_truncated_and_code_running_files_are_refused(tmp_path, released):
    with pytest.raises(InputError, match="no such file"):
        load_pwc(tmp_path / "none.pth")
    path = tmp_path / "pwc.pth"
    torch.save(released.state_dict(), path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(InputError, match="truncated or not a weight file"):
        load_pwc(path)
    torch.save({"moduleExtractor.moduleOne.0.weight": RunsCode()}, path)
    with pytest.raises(InputError, match="refused: loading it could execute code"):
        load_pwc(path)
