from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import vgg19

from models.losses.terms import (
    Perceptual,
    charbonnier,
    decibels,
    flow_endpoint,
    flow_variation,
    load_perceptual,
)
from models.reference.formula_weights import fill_by_formula
from utils.errors import InputError


def test_charbonnier_by_hand() -> None:
    # sqrt(9e-8² ...) is not needed: differences 0 and 3 give sqrt(1e-9) and sqrt(9 + 1e-9).
    value = charbonnier(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 1.0]))
    assert float(value) == pytest.approx((1e-9**0.5 + (9 + 1e-9) ** 0.5) / 2, rel=1e-6)


def test_decibels_by_hand_count_every_image_alike() -> None:
    truth = torch.zeros(1, 2, 3, 2, 2)
    estimate = truth.clone()
    estimate[:, 0], estimate[:, 1] = 0.1, 0.001  # mean squares 1e-2 and 1e-6, plus 1e-6 each
    expected = (10 * np.log10(1e-2 + 1e-6) + 10 * np.log10(2e-6)) / 2
    assert float(decibels(estimate, truth)) == pytest.approx(expected, rel=1e-5)
    assert float(decibels(truth, truth)) == pytest.approx(-60)


def test_variation_by_hand_sums_levels_and_counts_replicated_edges() -> None:
    flow = torch.tensor([[[[0.0, 1.0, 3.0], [0.0, 1.0, 3.0]]]])
    # dx: 1, 2, 0 in each of two rows: (1 + 4) * 2 / 6; dy: all 0.
    assert float(flow_variation([flow])) == pytest.approx(10 / 6)
    assert float(flow_variation([flow, flow.transpose(-1, -2)])) == pytest.approx(20 / 6)


def test_endpoint_error_by_hand() -> None:
    truth = torch.zeros(1, 3, 2, 2, 2, 2)
    truth[:, 1, 0, 0] = 6.0  # frame t to t2b: dx = 6
    truth[:, 1, 0, 1] = 8.0  # and dy = 8: an endpoint error of 10, 5 on the half-size grid
    exact = torch.zeros(1, 12, 2, 2)
    exact[:, 2], exact[:, 3] = 3.0, 4.0
    assert float(flow_endpoint([exact], truth)) == pytest.approx(0, abs=1e-4)
    zero = torch.zeros_like(exact)
    assert float(flow_endpoint([zero], truth)) == pytest.approx(5 / 6, abs=1e-4)
    assert float(flow_endpoint([zero, exact], truth)) == pytest.approx(5 / 12, abs=1e-4)


def test_endpoint_error_of_b2t_uses_the_second_half_of_the_channels() -> None:
    truth = torch.zeros(1, 3, 2, 2, 1, 1)
    truth[:, 2, 1, 1] = 2.0  # frame 1 to b2t: dy
    flow = torch.zeros(1, 12, 1, 1)
    flow[:, 11] = 1.0
    assert float(flow_endpoint([flow], truth)) == pytest.approx(0, abs=1e-4)


def test_perceptual_is_conv3_3_of_torchvision_vgg19(tmp_path: Path) -> None:
    with torch.device("meta"):  # 143 million random weights would be drawn for nothing
        full = vgg19(weights=None).features
    full.to_empty(device="cpu")
    fill_by_formula(full, 7, 2**0.5, prefix="features.")
    file = tmp_path / "vgg19.pth"
    torch.save({f"features.{name}": value for name, value in full.state_dict().items()}, file)
    ours = load_perceptual(str(file))
    a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    expected = (full[:15](a) - full[:15](b)).abs().mean()
    torch.testing.assert_close(ours(a, b), expected)
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_perceptual_may_see_bgr_as_released(tmp_path: Path) -> None:
    network = Perceptual()
    file = tmp_path / "vgg19.pth"
    torch.save(network.state_dict(), file)
    a, b = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    expected = network(a.flip(1), b.flip(1))
    assert abs(expected - network(a, b)) > 1e-4 * expected  # the order matters
    torch.testing.assert_close(load_perceptual(str(file), "bgr")(a, b), expected)
    assert torch.equal(load_perceptual(str(file), "rgb")(a, b), network(a, b))


def test_perceptual_gradient_reaches_the_estimate() -> None:
    network = Perceptual()
    estimate = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(estimate, torch.rand(1, 3, 16, 16)).backward()
    assert estimate.grad is not None
    assert float(estimate.grad.abs().sum()) > 0


def test_perceptual_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3)}, file)
    with pytest.raises(InputError, match="other.pth"):
        load_perceptual(str(file))


def test_failed_download_names_file_and_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"vgg19-\w+\.pth elsewhere and put it at .*checkpoints"):
        load_perceptual("imagenet")
