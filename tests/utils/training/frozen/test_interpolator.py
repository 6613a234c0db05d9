"""Interpolator training: what a run leaves behind, resuming, options."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data.training.interpolation import InterpolationSample, swap
from models.architecture import load_network
from models.losses.objective import Loss
from models.plusplus.interpolator import Interpolator, load_interpolator
from tests.helpers.tiny_training import SCENE, same_weights, undrawn_curves
from utils.checkpoint import write_state
from utils.errors import InputError
from utils.options.command_line import run
from utils.options.files import load_options
from utils.options.interpolator_training import InterpolatorTrainingOptions
from utils.system.distributed import Processes
from utils.system.random_state import seed_everything
from utils.tools import train_interpolator
from utils.training.experiment import open_experiment
from utils.training.frozen.interpolator import (
    build_interpolator,
    build_interpolator_subject,
    build_interpolator_training_set,
    build_interpolator_validation_set,
    preview_interpolation,
    save_interpolator,
    score_sample,
)
from utils.training.loop import run_training
from utils.training.reporting import read_records

RECIPE = Path(__file__).parents[4] / "options" / "recipes" / "train_interpolator_cpu.json"


def options(root: Path, *, pretrained: Path | None = None, **train: Any):
    """Two steps of one 64x64 crop, overridden by `train`."""
    scene = SCENE | {"height": 64, "width": 64}
    data = {"patch_sizes": [(64, 64)], "dataloader_batch_size": 1, "dataloader_num_workers": 0}
    step = {
        "iterations": 2,
        "G_scheduler_periods": 2,
        "checkpoint_print": 1,
        "checkpoint_save": 2,
        "checkpoint_test": 2,
        "threads": 1,
    }
    return InterpolatorTrainingOptions.model_validate(
        {
            "task": "between",
            "device": "cpu",
            "path": {
                "root": str(root),
                "pretrained_interpolator": pretrained and str(pretrained),
            },
            "datasets": {"train": data | {"scene": scene}, "valid": {"count": 1, "scene": scene}},
            "netI": {"width": 0.05},
            "train": step | train,
        }
    )


def train(chosen: InterpolatorTrainingOptions, crash_at: int | None = None) -> Interpolator:
    """Run a training as the script does, in this process; return the trained network."""
    processes = Processes(torch.device("cpu"))
    seed_everything(chosen.seed)
    subject = build_interpolator_subject(chosen, processes)
    if crash_at is not None:
        subject = replace(subject, objective=Crashing(subject.objective, crash_at))
    with undrawn_curves(), open_experiment(chosen, processes, resume="auto") as experiment:
        run_training(subject, experiment)
    assert isinstance(subject.network, Interpolator)
    return subject.network


class Interrupted(Exception):
    """Stands for a crash."""


class Crashing(nn.Module):
    """An objective that crashes at a call."""

    teacher = None

    def __init__(self, inner: nn.Module, crash_at: int) -> None:
        super().__init__()
        self.inner, self.calls_left = inner, crash_at

    def forward(self, network: nn.Module, batch: InterpolationSample) -> Loss:
        self.calls_left -= 1
        if not self.calls_left:
            raise Interrupted
        return self.inner(network, batch)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("unbroken")
    return root / "between", train(options(root))


def test_a_run_leaves_weights_for_the_option_of_the_interpolator(unbroken) -> None:
    folder, network = unbroken
    for file in (folder / "interpolator.safetensors", folder / "checkpoints" / "best.safetensors"):
        loaded = load_interpolator(file)
        assert (loaded.width, loaded.training) == (0.05, False)
        assert not any(weight.requires_grad for weight in loaded.parameters())
        for name, weight in loaded.state_dict().items():
            assert torch.equal(weight, network.state_dict()[name].half().float())
        with pytest.raises(InputError, match="which go to path.pretrained_interpolator"):
            load_network(file)
    checkpoint = load_interpolator(folder / "checkpoints" / "step_00000002.pt")
    assert same_weights(checkpoint, network)


def test_records_name_losses_and_scores(unbroken) -> None:
    first, second, scored = read_records(unbroken[0] / "metrics.jsonl")
    assert {"total", "Lap", "Motion", "gradient_norm"} < first.keys()
    assert second["total"] == pytest.approx(second["Lap"] + second["Motion"])
    names = {"valid_psnr", "valid_blend_psnr", "valid_error", "valid_motion"}
    assert scored.keys() == names | {"step"}
    assert scored["valid_motion"] > 0 and scored["valid_blend_psnr"] > 10


def test_crashed_and_resumed_equals_unbroken(tmp_path: Path, unbroken) -> None:
    chosen = options(tmp_path, checkpoint_save=1)
    with pytest.raises(Interrupted):
        train(chosen, crash_at=2)
    assert same_weights(train(chosen), unbroken[1])


def test_it_starts_from_pretrained_weights_of_its_width(tmp_path: Path, unbroken) -> None:
    file = unbroken[0] / "interpolator.safetensors"
    network = build_interpolator(options(tmp_path, pretrained=file))
    assert same_weights(network, load_interpolator(file))
    assert all(weight.requires_grad for weight in network.parameters())
    save_interpolator(tmp_path / "wide.safetensors", Interpolator(0.1))
    with pytest.raises(InputError, match=r"expected width 0.05, got 0.1; choose other weights"):
        build_interpolator(options(tmp_path, pretrained=tmp_path / "wide.safetensors"))


@pytest.mark.parametrize("width", ["wide", "0", "9"])
def test_a_damaged_description_is_one_line(tmp_path: Path, width: str) -> None:
    file = tmp_path / "damaged.safetensors"
    write_state(file, Interpolator(0.05).state_dict(), {"width": width}, half=True)
    with pytest.raises(InputError, match=f"width: expected above 0 to 8, got {width}"):
        load_interpolator(file)


class Blending(nn.Module):
    """Blends both frames by the position, with the true motion of a sample."""

    def __init__(self, sample: InterpolationSample) -> None:
        super().__init__()
        self.sample = sample

    def forward(self, first, second, position, *, with_motion):
        image = torch.lerp(first, second, position)
        flows = nn.functional.pad(self.sample.flows[None], (0, 32))  # as padded frames have
        return image, type("Motion", (), {"flows": (flows,)})


def test_scores_are_errors_of_image_and_motion() -> None:
    samples = build_interpolator_validation_set(options(Path()))
    assert samples is not None
    sample = samples[0]
    score = score_sample(Blending(sample), sample, torch.device("cpu"))
    assert score.squared == score.blended > 0
    assert score.error == 0 < score.motion
    other = score_sample(Blending(sample), swap(sample), torch.device("cpu"))
    assert other.error > 0 and other.blended == pytest.approx(score.blended, rel=1e-4)


def test_the_preview_shows_frames_and_images() -> None:
    network = Interpolator(0.05)
    sample = build_interpolator_training_set(options(Path()))[0]
    batch = InterpolationSample(*(part[None] for part in sample))
    strip = preview_interpolation(network, batch)
    assert strip.shape == (3, 64, 256)
    torch.testing.assert_close(strip[..., :64], sample.first)
    torch.testing.assert_close(strip[..., 192:], sample.target)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.G_lossfn_type=1*Flow"], "interpolation offers Charbonnier, Lap, Motion"),
        (["datasets.train.patch_sizes=[[96,64]]"], "must be a multiple of 64, got 96"),
        (["netI.width=0"], "'netI.width' must be greater than 0, got 0"),
        (["netI.widht=1"], "did you mean 'netI.width'?"),
        (["datasets.train.scene.exposure=0.1"], "global-shutter frames are ideal"),
        (["datasets.train.dataset_type=rs_gopro"], "'datasets.train.dataset_type'"),
        (["path.pretrained_interpolator=none.pkl"], "none.pkl: no such file; expected the interp"),
        (
            ["path.pretrained_interpolator=pretrained/pwcnet.safetensors"],
            "expected an interpolator",
        ),
        (["datasets.train.data_root=none"], "none: expected a folder of photos"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, overrides, message: str
) -> None:
    words = ["--opt", str(RECIPE), "--set", f"path.root={tmp_path / 'out'}", *overrides]
    monkeypatch.setattr("sys.argv", ["train_interpolator", *words])
    with pytest.raises(SystemExit) as caught:
        run(train_interpolator.main)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["--quiet", "--json"])
def test_the_command_says_where_its_weights_are(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, word: str
) -> None:
    file = tmp_path / "options.json"
    file.write_text(options(tmp_path, iterations=1).model_dump_json(exclude_unset=True))
    monkeypatch.setattr("sys.argv", ["train_interpolator", "--opt", str(file), word])
    with undrawn_curves():
        train_interpolator.main()
    said = capsys.readouterr()
    end = f"finished: weights and curves are in {tmp_path / 'between'}"
    if word == "--quiet":
        assert said == (f"{end}\n", "")
    else:
        [result] = json.loads(said.out)["results"]
        assert result["folder"] == str(tmp_path / "between") and result["steps"] == 1
        assert end in said.err


@pytest.mark.parametrize("name", ["train_interpolator", "train_interpolator_cpu"])
def test_option_files(name: str) -> None:
    chosen = load_options(RECIPE.with_name(f"{name}.json"), [], InterpolatorTrainingOptions)
    assert chosen.datasets.valid is not None
    assert math.isclose(chosen.netI.width, 1.0 if name == "train_interpolator" else 0.25)
    assert set(chosen.train.loss_weights) == {"Lap", "Motion"}
