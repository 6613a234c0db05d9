from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.capture import TrainingSample
from data.time_maps import scan_time
from models.losses.terms import Perceptual
from models.objectives import CycleObjective, correct_batch
from models.plusplus.interpolator import Interpolator
from models.plusplus.network import SelfDRSCPlusPlus
from models.plusplus.rebuilding import rebuild_by_interpolation
from models.reference.formula_weights import fill_by_formula

REFERENCES = Path(__file__).parents[2] / "references"
REBUILT = ("t2b", "b2t", "t2b_mid", "b2t_mid")
ROUNDING = 1e-5  # norms of gradients that are zero but for rounding


class Blend(nn.Module):
    """The instant of each pixel as a mixture of both frames."""

    def forward(self, first: Tensor, second: Tensor, position: Tensor) -> Tensor:
        return torch.lerp(first, second, position)


def load(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(REFERENCES / f"{name}.npz"))


def reference_batch(arrays: dict[str, np.ndarray]) -> TrainingSample:
    pair = torch.from_numpy(arrays["images"]).float() / 255
    rows = [
        scan_time(int(arrays["height"]), rows=pair.shape[-2], top=int(top))
        for top in arrays["tops"]
    ]
    return TrainingSample(pair, torch.stack(rows), torch.from_numpy(arrays["indices"]).float() / 8)


def released_objective(arrays: dict[str, np.ndarray]) -> CycleObjective:
    interpolator = Interpolator().requires_grad_(False).eval()
    fill_by_formula(interpolator, int(arrays["rife_seed"]), float(arrays["rife_gain"]))
    perceptual = Perceptual()
    fill_by_formula(perceptual, int(arrays["vgg_seed"]), 2**0.5)
    weights, networks = {"Lap": 1.0, "Perceptual": 0.1}, {"Perceptual": perceptual}
    return CycleObjective(weights, interpolator=interpolator, networks=networks)


def check_loss(loss: tuple[Tensor, dict[str, Tensor]], arrays: dict[str, np.ndarray]) -> None:
    total, terms = loss
    assert float(terms["Lap"]) == pytest.approx(float(arrays["lap"]), rel=1e-4)
    assert float(terms["Perceptual"]) == pytest.approx(float(arrays["perceptual"]), rel=1e-4)
    assert float(total.detach()) == pytest.approx(float(arrays["total"]), rel=1e-4)


def test_images_loss_and_gradient_match_the_reference() -> None:
    arrays = load("rebuild")
    objective, batch = released_objective(arrays), reference_batch(arrays)
    frames = (torch.from_numpy(arrays["frames"]).float() / 255).requires_grad_(True)
    with torch.no_grad():
        rebuilt = objective.rebuild(frames, batch)
    images = torch.cat((rebuilt.whole, rebuilt.split), dim=1).unbind(1)
    for name, image in zip(REBUILT, images, strict=True):
        np.testing.assert_allclose(image.numpy(), arrays[name], atol=1e-5, rtol=0, err_msg=name)

    class Output:  # of a network without flows
        flows = ()

    Output.frames = frames
    loss = objective.judge(Output, batch)
    check_loss(loss, arrays)
    loss.total.backward()
    assert frames.grad is not None
    norms = frames.grad.flatten(2).norm(dim=2)
    np.testing.assert_allclose(norms.numpy(), arrays["frame_gradient_norms"], rtol=1e-3)
    part = frames.grad[..., 1::3, ::3]
    largest = float(np.abs(arrays["frame_gradients_sub"]).max())
    np.testing.assert_allclose(part.numpy(), arrays["frame_gradients_sub"], atol=1e-2 * largest)


@pytest.mark.slow
def test_a_step_matches_the_released_one() -> None:
    arrays = load("plusplus_step")
    network = SelfDRSCPlusPlus()
    fill_by_formula(network, int(arrays["seed"]), float(arrays["gain"]))
    objective, batch = released_objective(arrays), reference_batch(arrays)
    output = correct_batch(network, batch)
    frames = output.frames.detach()
    np.testing.assert_allclose(frames[..., 1::3, ::3], arrays["frames_sub"], atol=1e-5, rtol=0)
    with torch.no_grad():
        rebuilt = objective.rebuild(frames, batch)
    images = torch.cat((rebuilt.whole, rebuilt.split), dim=1)[..., 1::3, ::3].unbind(1)
    for name, image in zip(REBUILT, images, strict=True):
        np.testing.assert_allclose(image.numpy(), arrays[f"{name}_sub"], atol=1e-5, rtol=0)
    loss = objective.judge(output, batch)
    check_loss(loss, arrays)
    loss.total.backward()

    parameters = dict(network.named_parameters())
    names = [str(name) for name in arrays["grad_names"]]
    gradients = {name: weight.grad for name, weight in parameters.items()}
    expected = dict(zip(names, arrays["grad_norms"], strict=True))
    for name, gradient in gradients.items():
        assert gradient is not None
        assert float(gradient.norm()) == pytest.approx(expected[name], rel=1e-2, abs=ROUNDING), name
    total = nn.utils.clip_grad_norm_(network.parameters(), 20.0)
    assert float(total) == pytest.approx(float(arrays["grad_total_norm"]), rel=1e-3)

    before = {name: weight.detach().clone() for name, weight in parameters.items()}
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=float(arrays["learning_rate"]),
        weight_decay=float(arrays["weight_decay"]),
    )
    optimizer.step()
    updates = dict(zip(names, arrays["update_norms"], strict=True))
    for name, weight in parameters.items():
        if expected[name] > ROUNDING:
            update = float((weight.detach() - before[name]).norm())
            assert update == pytest.approx(updates[name], rel=1e-2), name


def test_whole_and_split_take_each_pixel_from_its_leg() -> None:
    """Frames of constant colour 0, 1/2 and 1 at 0, t and 1."""
    frames = torch.tensor((0.0, 0.5, 1.0))[None, :, None, None, None].expand(1, 3, 3, 9, 4)
    s = scan_time(9)[None, None, :, None].expand(1, 1, 9, 4)
    rebuilt = rebuild_by_interpolation(Blend(), frames, s, torch.tensor([0.25]))
    rows = torch.linspace(0, 1, 9)
    torch.testing.assert_close(rebuilt.whole[0, 0, 0, :, 0], rows)
    torch.testing.assert_close(rebuilt.whole[0, 1, 0, :, 0], 1 - rows)
    split = torch.where(rows <= 0.25, 2 * rows, 0.5 + (rows - 0.25) / 1.5)
    torch.testing.assert_close(rebuilt.split[0, 0, 0, :, 0], split)
    torch.testing.assert_close(rebuilt.split[0, 1, 0, :, 0], split.flip(0))


def test_one_way_of_rebuilding_is_needed() -> None:
    for networks in ({}, {"flow": Blend(), "interpolator": Blend()}):
        with pytest.raises(ValueError, match="either a flow network or an interpolator"):
            CycleObjective({"Charbonnier": 1.0}, **networks)
