"""Which flow network a name or a file stands for."""

from pathlib import Path

import pytest
import torch

from models.flow.dis import DISFlow
from models.flow.networks import load_flow
from models.flow_pwc import PWCNet
from models.generator import Generator
from utils.checkpoint import save_weights
from utils.errors import InputError
from utils.training.flow_network import save_pwc


def test_dis() -> None:
    assert isinstance(load_flow("dis"), DISFlow)


def test_a_file_is_pwc_net(tmp_path: Path) -> None:
    save_pwc(tmp_path / "pwc.safetensors", PWCNet(matching="cosine"))
    network = load_flow(str(tmp_path / "pwc.safetensors"), "released")
    assert isinstance(network, PWCNet)
    assert (network.matching, network.moduleTwo.sampling) == ("cosine", "released")


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("motion_net.down.0.weight", "a refiner, which goes to path.pretrained_netG"),
        ("features.0.weight", "VGG-19, which goes to path.perceptual_weights"),
        ("feature_encoder.convnormrelu.0.weight", "RAFT, which is chosen by its name"),
    ],
)
def test_other_networks_are_named(tmp_path: Path, name: str, network: str) -> None:
    torch.save({name: torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError) as caught:
        load_flow(str(tmp_path / "other.pth"))
    assert "other.pth: expected PWC-Net weights, " in str(caught.value)
    assert f"got the weights of {network}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_generator_is_named(tmp_path: Path) -> None:
    save_weights(tmp_path / "g.safetensors", Generator(3, 8, 0.04))
    with pytest.raises(InputError, match="a generator, which goes to path.pretrained_netG"):
        load_flow(str(tmp_path / "g.safetensors"))


def test_misspelt_names_are_missing_files() -> None:
    with pytest.raises(InputError, match="raft: expected a weight file, got no such file"):
        load_flow("raft")
