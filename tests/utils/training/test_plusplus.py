"""The one-stage recipe of SelfDRSC++, small: both ways of rebuilding, and resuming."""

from pathlib import Path

import pytest
import torch
from torch import nn

from models.losses.terms import Perceptual
from models.plusplus.interpolator import Interpolator
from models.plusplus.network import SelfDRSCPlusPlus
from tests.helpers.tiny_training import SCENE, same_weights, undrawn_curves
from utils.checkpoint import load_generator
from utils.errors import InputError
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.system.random_state import seed_everything
from utils.training.correction_network import build_objective, build_subject
from utils.training.experiment import open_experiment
from utils.training.loop import run_training

RECIPE = Path("options/train_plusplus.json")
SMALL = [
    *("device=cpu", "netG.n_feats=8", "netG.width=0.5", "train.threads=1", "train.iterations=3"),
    "train.checkpoint_print=1",
    *("datasets.train.dataset_type=simulated", "datasets.train.data_root=null"),
    *("datasets.train.patch_size=64", "datasets.train.dataloader_batch_size=2"),
    *("datasets.train.dataloader_num_workers=0", "datasets.valid=null"),
    *(
        f"datasets.train.scene.{key}={value}"
        for key, value in (SCENE | {"height": 64, "width": 64}).items()
    ),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name an interpolator and a VGG-19 with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save({"model": Interpolator(0.05).state_dict()}, folder / "flownet_sdi.pkl")
    torch.save(Perceptual().state_dict(), folder / "vgg19.pth")
    return [
        f"path.pretrained_interpolator={folder / 'flownet_sdi.pkl'}",
        f"path.perceptual_weights={folder / 'vgg19.pth'}",
    ]


def train(root: Path, *overrides: str) -> nn.Module:
    options = load_options(RECIPE, [*SMALL, f"path.root={root}", *overrides], TrainingOptions)
    processes = Processes(torch.device("cpu"))
    seed_everything(options.seed)
    subject = build_subject(options, processes)
    with undrawn_curves(), open_experiment(options, processes, resume="auto") as experiment:
        run_training(subject, experiment)
    return subject.network


@pytest.mark.slow
def test_the_recipe_trains_and_resumes_bit_for_bit(tmp_path: Path, files: list[str]) -> None:
    early = train(tmp_path / "one", *files, "train.iterations=1")
    whole = train(tmp_path / "whole", *files)
    train(tmp_path / "parts", *files, "train.iterations=2")
    resumed = train(tmp_path / "parts", *files)
    assert isinstance(whole, SelfDRSCPlusPlus)
    assert same_weights(whole, resumed)
    assert not same_weights(whole, early)
    (log,) = (tmp_path / "whole").glob("*/metrics.jsonl")
    assert "Lap" in log.read_text() and "Perceptual" in log.read_text()
    (written,) = (tmp_path / "whole").glob("*/generator.safetensors")
    assert same_weights(load_generator(written), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["train.rebuilding=flow", "path.pretrained_rsg=dis", "train.flow_gradients=false"],
        ["netG.net_type=generator", "netG.width=0.16"],
    ],
)
def test_networks_and_ways_of_rebuilding_combine(
    tmp_path: Path, files: list[str], overrides: list[str]
) -> None:
    """SelfDRSC++ by flow, and the generator by interpolation, with SelfDRSC's loss."""
    loss = "train.G_lossfn_type=1*Charbonnier|0.1*Variation"
    network = train(tmp_path, *files, *overrides, loss, "train.iterations=1")
    assert all(weight.isfinite().all() for weight in network.parameters())


def test_an_interpolator_that_is_not_there(tmp_path: Path) -> None:
    missing = f"path.pretrained_interpolator={tmp_path / 'flownet_sdi.pkl'}"
    options = load_options(RECIPE, [*SMALL, missing, "train.G_lossfn_type=1*Lap"], TrainingOptions)
    with pytest.raises(InputError, match=r'no such file; .*InterpAny-Clearer.*"flow", which needs'):
        build_objective(options, torch.device("cpu"))
