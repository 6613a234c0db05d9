"""RAFT: built as torchvision builds it, any size, gradient, and what is said without a network."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_large, raft_small

from models.flow import raft as flow_raft
from models.flow.networks import load_flow
from models.flow.raft import RAFT_VARIANTS, RAFTFlow
from utils.errors import InputError


class Recorder(nn.Module):
    """Answers where each pixel is, in two iterations, and remembers what it saw."""

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        self.seen = first, second
        rows, columns = (torch.arange(side, dtype=torch.float32) for side in first.shape[-2:])
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))
        return [torch.zeros(1, 2, *first.shape[-2:]), grid[None]]


def test_the_small_network_passes_gradient_to_both_images(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = raft_small().eval()
    monkeypatch.setattr(flow_raft, "download_state", lambda *_, **__: network.state_dict())
    flow = load_flow("raft_small")
    images = torch.rand(2, 1, 3, 128, 120, requires_grad=True)
    found = flow(images[0], images[1])
    assert found.shape == (1, 2, 128, 120)
    found.square().sum().backward()
    assert images.grad is not None
    assert all(float(part.abs().sum()) > 0 for part in images.grad)
    assert not any(parameter.requires_grad for parameter in flow.parameters())
    assert not flow.train().network.training
    with pytest.raises(InputError, match="raft_large_.*not weights of this RAFT"):
        load_flow("raft_large")


@pytest.mark.parametrize(
    ("size", "padded"), [((20, 131), (128, 136)), ((1, 1), (128, 128)), ((136, 160), (136, 160))]
)
def test_sizes_are_padded_by_replication_and_cut_back(size, padded) -> None:
    network = Recorder()
    images = torch.rand(2, 1, 3, *size)
    flow = RAFTFlow(network)(images[0], images[1])
    assert flow.shape == (1, 2, *size)
    assert flow[0, :, -1, -1].tolist() == [size[1] - 1, size[0] - 1]  # of the last iteration
    for seen, image in zip(network.seen, images, strict=True):
        assert seen.shape[-2:] == padded
        torch.testing.assert_close(seen[..., : size[0], : size[1]], image * 2 - 1)
        assert torch.equal(seen[..., -1, -1], (image * 2 - 1)[..., -1, -1])


def test_low_precision_around_it_changes_nothing() -> None:
    network = nn.Conv2d(3, 2, 1)
    flow = RAFTFlow(nn.Sequential())
    flow.network.forward = lambda first, second: [network(first - second)]
    images = torch.rand(2, 1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = flow(images[0], images[1])
    assert torch.equal(found, flow(images[0], images[1]))


def test_both_sizes_are_torchvision_s() -> None:
    built = {name: build for name, (build, _) in RAFT_VARIANTS.items()}
    assert built == {"raft_small": raft_small, "raft_large": raft_large}
    urls = [weights.url for _, weights in RAFT_VARIANTS.values()]
    assert [url.rpartition("/")[2][:10] for url in urls] == ["raft_small", "raft_large"]


def test_images_must_agree() -> None:
    with pytest.raises(ValueError, match=r"images must both be \(B, 3, H, W\)"):
        RAFTFlow(nn.Identity())(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))


def test_offline_the_file_and_its_place_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError) as caught:
        load_flow("raft_small")
    url = RAFT_VARIANTS["raft_small"][1].url
    place = tmp_path / "checkpoints" / url.rpartition("/")[2]
    assert str(caught.value) == (
        "raft_small weights could not be downloaded (no route to host): "
        f"fetch {url} elsewhere and put it at {place}"
    )
    assert not list(place.parent.iterdir())
