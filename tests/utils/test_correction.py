import pickle
from pathlib import Path

import pytest
import torch

from models.architecture import load_network
from models.generator import Generator
from models.inference.correction import AS_TRAINED, BASELINES, correct_classically
from models.refiner.network import Refiner
from tests.helpers.frames import classical_frames, network_frames
from tests.helpers.moving_texture import smooth_texture
from utils.checkpoint import save_weights
from utils.correction import identify_method, load_method, memory_of
from utils.errors import InputError
from utils.options.real import RealOptions


def options(weights: Path | None, method: str, *, self_ensemble: bool = False) -> RealOptions:
    return RealOptions.model_validate(
        {
            "task": "test",
            "method": method,
            "self_ensemble": self_ensemble,
            "path": {"pretrained_netG": None if weights is None else str(weights)},
            "datasets": {"test": {"data_root": "data/samples"}},
        }
    )


def test_the_classical_correction_needs_no_weights() -> None:
    assert load_method(options(None, "classical"), "cpu") == (
        "classical",
        correct_classically,
        True,
    )


def test_blending_is_a_choice_and_another_method() -> None:
    pair = with_object_in_one_view()
    chosen = options(None, "classical")
    averaged = chosen.model_copy(update={"blending": "average"})
    frames = load_method(averaged, "cpu").correct(pair, [0.0]).frames
    assert torch.equal(frames, classical_frames(pair, [0.0], blending="average"))
    others = load_method(chosen, "cpu").correct(pair, [0.0]).frames
    assert (frames - others).abs().max() > 0.05
    assert identify_method(averaged) != identify_method(chosen)


def test_the_blending_reaches_the_network(tmp_path: Path) -> None:
    save_weights(tmp_path / "mine.safetensors", Refiner(width=0.25))
    pair = with_object_in_one_view()
    chosen = options(tmp_path / "mine.safetensors", "network")
    frames = [
        load_method(chosen.model_copy(update={"blending": blending}), "cpu")
        .correct(pair, [0.0])
        .frames
        for blending in ("choose", "average")
    ]
    network = load_network(tmp_path / "mine.safetensors")
    assert torch.equal(frames[1], network_frames(network, pair, [0.0], settings=AS_TRAINED))
    assert torch.equal(frames[0], network_frames(network, pair, [0.0]))
    assert (frames[0] - frames[1]).abs().max() > 0.05


def test_the_motion_estimate_reaches_both_methods(tmp_path: Path) -> None:
    save_weights(tmp_path / "mine.safetensors", Refiner(width=0.25))
    pair = with_object_in_one_view()
    for chosen in (options(None, "classical"), options(tmp_path / "mine.safetensors", "network")):
        by_torch = chosen.model_copy(update={"motion_estimate": "torch"})
        first, same, other = (
            load_method(each, "cpu").correct(pair, [0.0]).frames
            for each in (chosen, chosen.model_copy(update={"motion_estimate": "opencv"}), by_torch)
        )
        assert torch.equal(first, same) and not torch.equal(first, other)
        assert (first - other).abs().mean() < 0.01
        assert identify_method(by_torch) != identify_method(chosen)


def test_a_device_without_float64_does_not_estimate_motion() -> None:
    by_torch = options(None, "classical").model_copy(update={"motion_estimate": "torch"})
    with pytest.raises(InputError, match="which the device 'mps' lacks; set it to 'opencv', or"):
        load_method(by_torch, "mps")


def with_object_in_one_view() -> torch.Tensor:
    """A capture (2, 3, 64, 64) at rest; b2t shows a light square, t2b does not."""
    pair = torch.from_numpy(smooth_texture((64, 64))).permute(2, 0, 1).repeat(2, 1, 1, 1) * 0.6
    pair[1, :, 16:28, 24:36] += 0.4
    return pair


@pytest.mark.parametrize(
    ("file", "name"),
    [("mine.safetensors", "mine"), ("classical.safetensors", "classical.safetensors")],
)
def test_networks_are_named_after_their_file_but_never_like_a_baseline(
    tmp_path: Path, file: str, name: str
) -> None:
    save_weights(tmp_path / file, Generator(width=0.04))
    method = load_method(options(tmp_path / file, "network"), "cpu")
    assert method.name == name
    frames = method.correct(torch.rand(2, 3, 8, 9), [0.5], scan_time=torch.linspace(0, 1, 8)).frames
    assert frames.shape == (1, 3, 8, 9)


def test_a_self_ensemble_is_named_and_is_another_method(tmp_path: Path) -> None:
    pair = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    both = options(None, "classical", self_ensemble=True)
    method = load_method(both, "cpu")
    assert method.name == "classical, self-ensemble"
    mirrored = classical_frames(pair.flip(0, -1), [0.8]).flip(-1)
    expected = (classical_frames(pair, [0.2]) + mirrored) / 2
    torch.testing.assert_close(method.correct(pair, [0.2]).frames, expected)
    torch.testing.assert_close(method.correct(pair, [0.2], with_flows=True).frames, expected)
    assert identify_method(both) != identify_method(options(None, "classical"))


def test_methods_travel_to_worker_processes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_weights(tmp_path / "tiny.safetensors", Generator(n_feats=8, width=0.05))
    loaded = load_method(
        options(tmp_path / "tiny.safetensors", "network", self_ensemble=True), "cpu"
    )
    pair = torch.rand(2, 3, 16, 24)
    for method in (loaded.correct, *BASELINES.values()):
        again = pickle.loads(pickle.dumps(method))
        assert again(pair, [0.0, 0.5]).frames.equal(method(pair, [0.0, 0.5]).frames)


def test_memory_grows_with_pixels_frames_and_network(tmp_path: Path) -> None:
    save_weights(tmp_path / "tiny.safetensors", Generator(n_feats=8, width=0.05))
    loaded = load_method(
        options(tmp_path / "tiny.safetensors", "network", self_ensemble=True), "cpu"
    )
    least = memory_of(correct_classically, (180, 320), 3)
    assert 0.3e9 < least < memory_of(loaded.correct, (180, 320), 3)
    larger = memory_of(correct_classically, (180, 640), 3) - least
    assert larger == pytest.approx(180 * 320 * (800 + 12 * 5))
    assert memory_of(correct_classically, (180, 320), 4) - least == 180 * 320 * 12
