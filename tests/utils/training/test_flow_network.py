"""Flow training: what a run leaves behind, resuming, options."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data.training.flow_pairs import FlowSample
from models.flow_pwc import PWCNet, load_pwc
from models.losses.flow import FlowObjective
from models.losses.objective import Loss
from tests.helpers.tiny_training import same_weights, tiny_options, undrawn_curves
from tests.helpers.tiny_training import train as train_generator
from utils.checkpoint import load_training
from utils.errors import InputError
from utils.options.command_line import run
from utils.options.files import load_options
from utils.options.flow_training import FlowTrainingOptions
from utils.pictures.colour import flow_pictures
from utils.system.distributed import Processes
from utils.system.random_state import seed_everything
from utils.tools import train_flow
from utils.training.experiment import open_experiment
from utils.training.flow_network import (
    build_flow_network,
    build_flow_objective,
    build_flow_subject,
    build_flow_training_set,
    preview_flow,
    save_pwc,
)
from utils.training.loop import run_training
from utils.training.reporting import read_records

ROOT = Path(__file__).parents[3]
SCENE = {"height": 64, "width": 64, "camera_motion": 4, "object_motion": 4, "max_objects": 1}


def options(root: Path, *, pretrained: Path | None = None, **train: Any) -> FlowTrainingOptions:
    """Two steps that train levels 6 and 5, overridden by `train`."""
    data = {"patch_sizes": [(64, 64)], "dataloader_batch_size": 1, "dataloader_num_workers": 0}
    step = {
        "G_lossfn_type": "1*Endpoint|0.3*Matching",
        "finest_level": 5,
        "iterations": 2,
        "G_scheduler_periods": 2,
        "checkpoint_print": 1,
        "checkpoint_save": 2,
        "checkpoint_test": 2,
        "threads": 1,
    }
    return FlowTrainingOptions.model_validate(
        {
            "task": "flow",
            "device": "cpu",
            "path": {"root": str(root), "pretrained_rsg": pretrained and str(pretrained)},
            "datasets": {"train": data | {"scene": SCENE}, "valid": {"count": 1, "scene": SCENE}},
            "train": step | train,
        }
    )


def train(chosen: FlowTrainingOptions, objective: nn.Module | None = None) -> PWCNet:
    """Run a training as the script does, in this process; return the trained network."""
    processes = Processes(torch.device("cpu"))
    seed_everything(chosen.seed)
    subject = build_flow_subject(chosen, processes)
    if objective is not None:
        subject = replace(subject, objective=objective)
    with undrawn_curves(), open_experiment(chosen, processes, resume="auto") as experiment:
        run_training(subject, experiment)
    assert isinstance(subject.network, PWCNet)
    return subject.network


class Interrupted(Exception):
    """Stands for a crash."""


class Crashing(FlowObjective):
    """The objective of some options, which crashes at its second call."""

    def __init__(self, chosen: FlowTrainingOptions) -> None:
        super().__init__(chosen.train.loss_weights)
        self.inner = build_flow_objective(chosen)
        self.calls = 0

    def forward(self, network: nn.Module, batch: FlowSample) -> Loss:
        self.calls += 1
        if self.calls == 2:
            raise Interrupted
        return self.inner(network, batch)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("unbroken")
    return root / "flow", train(options(root))


def test_a_run_leaves_weights_that_load_as_pwc_net(unbroken) -> None:
    folder, network = unbroken
    for file in (folder / "pwcnet.safetensors", folder / "checkpoints" / "best.safetensors"):
        loaded = load_pwc(file)
        assert (loaded.channels, loaded.matching) == ("rgb", "cosine")
        assert (loaded.moduleTwo.sampling, loaded.training) == ("aligned", False)
        for name, weight in loaded.state_dict().items():
            assert torch.equal(weight, network.state_dict()[name].half().float())
    assert (folder / "pwcnet.safetensors").stat().st_size < 20e6


def test_training_checkpoints_load_as_pwc_net_too(unbroken) -> None:
    folder, network = unbroken
    loaded = load_pwc(folder / "checkpoints" / "step_00000002.pt")
    assert (loaded.channels, loaded.matching) == ("rgb", "cosine")
    assert same_weights(loaded, network)


def test_records_name_losses_and_scores(unbroken) -> None:
    folder, _ = unbroken
    first, second, scored = read_records(folder / "metrics.jsonl")
    assert {"total", "Endpoint", "Matching", "gradient_norm"} < first.keys()
    assert second["total"] == pytest.approx(second["Endpoint"] + second["Matching"])
    names = {"valid_error", "valid_visible_error", "valid_dis_error", "valid_motion"}
    assert scored.keys() == names | {"step"}
    assert 0 < scored["valid_dis_error"] < scored["valid_motion"]


def test_levels_beyond_the_finest_keep_their_weights(unbroken) -> None:
    _, network = unbroken
    torch.manual_seed(0)
    start = build_flow_network(options(Path())).state_dict()
    changed = {
        name.split(".")[0]
        for name, weight in network.state_dict().items()
        if not torch.equal(weight, start[name])
    }
    assert changed == {"moduleExtractor", "moduleSix", "moduleFiv"}


def test_crashed_and_resumed_equals_unbroken(tmp_path: Path, unbroken) -> None:
    chosen = options(tmp_path, checkpoint_save=1)
    with pytest.raises(Interrupted):
        train(chosen, Crashing(chosen))
    assert same_weights(train(chosen), unbroken[1])


def test_generator_checkpoints_are_refused(tmp_path: Path) -> None:
    short = tiny_options(tmp_path, task="flow", iterations=1, checkpoint_save=1)
    train_generator(short)
    with pytest.raises(InputError, match="expected net_type pwcnet, got generator"):
        train(options(tmp_path))


def test_flow_checkpoints_are_refused_by_the_generator(tmp_path: Path, unbroken) -> None:
    checkpoint = unbroken[0] / "checkpoints" / "step_00000002.pt"
    assert load_training(checkpoint).architecture["net_type"] == "pwcnet"
    with pytest.raises(InputError, match="expected net_type generator, got pwcnet"):
        train_generator(tiny_options(tmp_path), resume=str(checkpoint))


def test_it_starts_from_pretrained_weights_of_the_same_matching(tmp_path: Path, unbroken) -> None:
    file = unbroken[0] / "pwcnet.safetensors"
    network = build_flow_network(options(tmp_path, pretrained=file, finest_level=2))
    assert same_weights(network, load_pwc(file))
    assert all(parameter.requires_grad for parameter in network.parameters())
    save_pwc(tmp_path / "product.safetensors", PWCNet())
    with pytest.raises(InputError, match="expected matching cosine, got product"):
        build_flow_network(options(tmp_path, pretrained=tmp_path / "product.safetensors"))


def test_the_preview_shows_frames_and_flows() -> None:
    network = PWCNet()
    sample = build_flow_training_set(options(Path()))[0]
    batch = FlowSample(*(part[None] for part in sample))
    strip = preview_flow(network, batch)
    height, width = sample.first.shape[1:]
    assert strip.shape == (3, height, 4 * width) and strip.min() >= 0 and strip.max() <= 1
    torch.testing.assert_close(strip[..., :width], sample.first)
    longest = float(sample.flow.norm(dim=0).max())
    (truth,) = flow_pictures(sample.flow[None], longest)
    expected = torch.from_numpy(truth).permute(2, 0, 1) / 255
    torch.testing.assert_close(strip[..., 3 * width :], expected)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    assert preview_flow(network, batch).isfinite().all()  # of a network that diverged


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.G_lossfn_type=1*Flow"], "unknown term 'Flow'; flow offers Endpoint, Matching"),
        (["datasets.train.patch_sizes=[[96,64]]"], "must be a multiple of 64, got 96"),
        (["datasets.train.patch_sizes=[]"], "'datasets.train.patch_sizes'"),
        (
            ["datasets.train.patch_sizes=[[64,64],[576,64]]"],
            "patch_sizes': [576, 64] is larger than the scene, [540, 960]",
        ),
        (["train.finest_level=6"], "must be less than or equal to 5, got 6"),
        (["train.level_weights=[1,2]"], "'train.level_weights'"),
        (["train.finest_level=5", "train.level_weights=[0,0,1,1,1]"], "expected one above 0"),
        (["netF.matching=distance"], "must be 'product' or 'cosine', got \"distance\""),
        (["train.accumulation_steps=3"], "train.accumulation_steps (1 x 3), got 2"),
        (["datasets.train.scene.gamma=3"], "scene.gamma': global-shutter frames are ideal"),
        (["train.iteration=3"], "did you mean 'train.iterations'?"),
        (["path.pretrained_rsg=none.pth"], "none.pth: expected a weight file, got no such file"),
        (["datasets.train.data_root=none"], "none: expected a folder of photos"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path, overrides, message: str
) -> None:
    file = str(ROOT / "options" / "recipes" / "train_flow_cpu_coarse.json")
    root = [f"path.root={tmp_path / 'out'}", "datasets.train.data_root=null"]
    monkeypatch.setattr("sys.argv", ["train_flow", "--opt", file, "--set", *root, *overrides])
    with pytest.raises(SystemExit) as caught:
        run(train_flow.main)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("error: ") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["train_flow", "train_flow_cpu", "train_flow_cpu_again", "train_flow_cpu_coarse"]
)
def test_option_files(name: str) -> None:
    chosen = load_options(ROOT / "options" / "recipes" / f"{name}.json", [], FlowTrainingOptions)
    assert chosen.datasets.valid is not None
    assert json.loads(chosen.model_dump_json())["netF"] == {"matching": "cosine"}
