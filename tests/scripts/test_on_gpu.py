"""What must hold on a GPU as on a CPU; skipped where there is no GPU."""

import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor

import main_train_stage1
from data.capture import to_device
from data.real_pairs import RealPairs
from models.flow_pwc import PWCNet
from models.generator import Generator
from models.inference import correction
from models.losses.terms import Perceptual
from models.objectives import CycleObjective
from models.parts.settings import InferenceSettings, frame_instants
from models.reference.formula_weights import fill_by_formula
from models.reference.generator import plain_correct
from models.reference.step import plain_cycle
from tests.helpers.frames import network_frames, psnr
from tests.models.test_objectives import RELEASED_LOSS, random_batch
from utils.checkpoint import latest, load_generator, load_training
from utils.training.reporting import read_records

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

GPU = torch.device("cuda", 0)
WHOLE = InferenceSettings(tile=None)


@pytest.fixture(scope="module")
def pair() -> Tensor:
    return RealPairs("data/samples")[0].pair[..., :128, :160]


@pytest.fixture
def light() -> Generator:
    generator = Generator(width=0.25).eval()
    fill_by_formula(generator, 1, 1.0)
    return generator


@pytest.fixture
def exact() -> Iterator[None]:
    """Training's float32 convolutions without TF32, which comparisons with a CPU would see."""
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = True


def test_frames_are_those_of_a_cpu(light: Generator, pair: Tensor) -> None:
    expected = network_frames(light, pair, frame_instants(9), settings=WHOLE)
    frames = network_frames(light.to(GPU), pair, frame_instants(9), settings=WHOLE)
    assert frames.device == GPU
    # Sums in another order.
    torch.testing.assert_close(frames.cpu(), expected, rtol=0, atol=1e-4)


def test_frames_are_those_of_the_plain_path(light: Generator, pair: Tensor, exact: None) -> None:
    light.to(GPU)
    frames = network_frames(light, pair, frame_instants(9), settings=WHOLE)
    torch.testing.assert_close(frames, plain_correct(light, pair.to(GPU), 9), rtol=0, atol=1e-4)


def test_the_default_network_gives_the_frames_of_a_cpu(pair: Tensor) -> None:
    refiner = load_generator("pretrained/drsc_light.safetensors")
    expected = network_frames(refiner, pair, [0.0, 0.5], settings=WHOLE)
    frames = network_frames(refiner.to(GPU), pair, [0.0, 0.5], settings=WHOLE)
    torch.testing.assert_close(frames.cpu(), expected, rtol=0, atol=1e-3)


def test_bfloat16_is_within_50_db(light: Generator, pair: Tensor) -> None:
    light.to(GPU)
    reference = network_frames(light, pair, [0.0, 0.25, 0.75], settings=WHOLE)
    rounded = network_frames(
        light, pair, [0.0, 0.25, 0.75], settings=InferenceSettings("bfloat16", None)
    )
    assert not torch.equal(reference, rounded)
    assert psnr(reference, rounded) > 50


def test_a_pass_waits_for_nothing(light: Generator, pair: Tensor) -> None:
    """A GPU that must finish before the next call can be made idles until it comes."""
    light.to(GPU)
    there = pair.to(GPU)
    network_frames(light, there, frame_instants(5), settings=WHOLE)
    torch.cuda.set_sync_debug_mode("error")
    try:
        network_frames(light, there, frame_instants(5), settings=WHOLE)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_out_of_memory_falls_back_to_tiles(
    light: Generator, pair: Tensor, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    light.to(GPU)
    monkeypatch.setattr(correction, "FALLBACK_TILE", 64)
    whole = light.decode

    def short(encoded, offsets, wanted=None):
        if offsets.shape[-1] == pair.shape[-1] and len(offsets) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return whole(encoded, offsets, wanted)

    monkeypatch.setattr(light, "decode", short)
    frames = network_frames(light, pair, frame_instants(5))
    assert "out of memory, again in tiles of 64" in capsys.readouterr().err
    monkeypatch.setattr(light, "decode", whole)
    expected = network_frames(light, pair, frame_instants(5), settings=InferenceSettings(tile=64))
    torch.testing.assert_close(frames, expected, rtol=0, atol=1e-4)


@pytest.fixture
def cycle() -> CycleObjective:
    flow, perceptual = PWCNet("released").requires_grad_(False).eval(), Perceptual()
    fill_by_formula(flow, 1, 2**0.5)
    fill_by_formula(perceptual, 2, 2**0.5)
    return CycleObjective(
        RELEASED_LOSS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
    )


def test_a_stage_1_step_is_that_of_a_cpu(
    light: Generator, cycle: CycleObjective, exact: None
) -> None:
    batch = random_batch(64)
    other, there = deepcopy(light).to(GPU), deepcopy(cycle).to(GPU)
    loss, loss_there = cycle(light, batch), there(other, to_device(batch, GPU))
    assert loss_there.total.item() == pytest.approx(loss.total.item(), rel=1e-4)
    loss.total.backward()
    loss_there.total.backward()
    for weight, copy in zip(light.parameters(), other.parameters(), strict=True):
        assert weight.grad is not None and copy.grad is not None
        # Rounding decides between neighbouring pixels, where gradients jump: 0.06 on an H200.
        error = (copy.grad.cpu() - weight.grad).norm()
        assert error < 0.1 * weight.grad.norm() + 1e-6


def test_the_plain_step_runs_there(light: Generator, cycle: CycleObjective, exact: None) -> None:
    batch = to_device(random_batch(64), GPU)
    light.to(GPU), cycle.to(GPU)
    with torch.no_grad():
        expected = plain_cycle(cycle, light, batch)[0]
    assert cycle(light, batch).total.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_runs_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    def train(iterations: int) -> None:
        words = ["main_train_stage1.py", "--opt", "options/smoke.json", "--set", "device=cuda"]
        words += [f"path.root={tmp_path}", f"train.precision={precision}", "netG.width=0.05"]
        words += ["train.checkpoint_save=5", "train.checkpoint_test=5", "train.checkpoint_print=1"]
        monkeypatch.setattr("sys.argv", [*words, f"train.iterations={iterations}"])
        main_train_stage1.main()

    train(5)
    train(10)
    folder = tmp_path / "smoke_stage1"
    newest = latest(folder / "checkpoints")
    assert newest is not None and load_training(newest).step == 10
    records = read_records(folder / "metrics.jsonl")
    losses = [record["total"] for record in records if "total" in record]
    assert len(losses) >= 10 and all(map(math.isfinite, losses))
    assert load_generator(folder / "generator.safetensors").width == 0.05
