import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.architecture import load_network
from models.flow.networks import load_flow
from models.plusplus.interpolator import Interpolator, load_interpolator
from models.reference.formula_weights import fill_by_formula
from utils.errors import InputError

REFERENCES = Path(__file__).parents[2] / "references"


def released_state() -> dict[str, torch.Tensor]:
    shapes = json.loads((REFERENCES / "rife_state.json").read_text())["state"]
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_matches_the_reference() -> None:
    arrays = dict(np.load(REFERENCES / "interpolator.npz"))
    network = Interpolator().eval()
    fill_by_formula(network, int(arrays["seed"]), float(arrays["gain"]))
    first, second = (torch.from_numpy(arrays[key]).float() / 255 for key in ("first", "second"))
    position = torch.from_numpy(arrays["position"])[:, None, :, None].expand(-1, -1, -1, 64)
    with torch.inference_mode():
        result = network(first, second, position)
        motion = network.find_motion(first, second, position)
    np.testing.assert_allclose(result.numpy(), arrays["result"], atol=1e-5, rtol=0)
    for index, flow in enumerate(motion.flows):
        expected = arrays[f"flow_{index}"]
        np.testing.assert_allclose(flow[..., ::4, ::4].numpy(), expected, atol=1e-3, rtol=0)
    mask = torch.sigmoid(motion.mask)[..., ::2, ::2]
    np.testing.assert_allclose(mask.numpy(), arrays["mask"], atol=1e-5, rtol=0)


def test_released_files_load_by_name(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in released_state().items()}
    optimizer = {"state": {}, "param_groups": [{"lr": 1e-4}]}
    path = tmp_path / "flownet_sdi.pkl"
    torch.save({"model": state, "optimizer": optimizer, "epoch": 3, "step": 7}, path)
    network = load_interpolator(path)
    assert network.width == 1
    assert not any(weight.requires_grad for weight in network.parameters())
    with pytest.raises(InputError, match="an interpolator, which go to path.pretrained_interpol"):
        load_network(path)
    with pytest.raises(InputError, match="an interpolator, which goes to path.pretrained_interp"):
        load_flow(str(path))


def test_smaller_ones_at_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Interpolator(0.1)
    torch.save(network.state_dict(), tmp_path / "small.pth")
    loaded = load_interpolator(tmp_path / "small.pth")
    images, position = torch.rand(2, 3, 40, 50), torch.rand(2, 1, 40, 50)
    made = loaded(images, images.flip(-1), position)
    assert made.shape == (2, 3, 40, 50)
    torch.testing.assert_close(made, network(images, images.flip(-1), position))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_interpolator(tmp_path / "flownet_sdi.pkl")
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}/flownet_sdi.pkl: no such file; expected the interpolator"
    )
    assert (
        "InterpAny-Clearer" in message and 'train.rebuilding to "flow", which needs none' in message
    )
    teacher = {name: value for name, value in released_state().items() if "block_tea" in name}
    torch.save(teacher, tmp_path / "teacher.pkl")
    with pytest.raises(InputError, match="got only its training teacher"):
        load_interpolator(tmp_path / "teacher.pkl")
    with pytest.raises(InputError, match="expected an interpolator with 'block0.* got "):
        load_interpolator("pretrained/pwcnet.safetensors")
    state = released_state()
    del state["unet.conv.bias"]
    torch.save(state, tmp_path / "damaged.pkl")
    with pytest.raises(InputError, match=r"1 missing \(unet.conv.bias\)"):
        load_interpolator(tmp_path / "damaged.pkl")
