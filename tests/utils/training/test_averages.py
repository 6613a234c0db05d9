"""Weights kept by step, and the moving average of the weights."""

import signal
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_training import same_weights, tiny_options, train
from tests.utils.training.test_correction_network import Disturbed, folder_of, recorded
from utils.checkpoint import load_generator, load_training
from utils.training.reporting import read_records

DECAY = 0.75
TRAINED = {"iterations": 3, "checkpoint_test": 3, "average_decay": DECAY, "keep_weights_every": 1}


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory):
    options = tiny_options(tmp_path_factory.mktemp("averaged"), **TRAINED)
    return options, train(options)


def test_the_average_follows_the_weights_and_changes_none(averaged, tmp_path: Path) -> None:
    options, network = averaged
    folder = folder_of(options)
    steps = [load_generator(folder / "weights" / f"step_0000000{n}.safetensors") for n in (1, 2, 3)]
    expected, *later = (step.state_dict() for step in steps)
    for state in later:
        expected = {k: DECAY * v + (1 - DECAY) * state[k] for k, v in expected.items()}
    for name in ("weights/step_00000003_average", "generator_average", "checkpoints/best_average"):
        found = load_generator(folder / f"{name}.safetensors").state_dict()
        torch.testing.assert_close(found, expected)
    assert same_weights(steps[-1], network)
    plain = tiny_options(tmp_path, **TRAINED | {"average_decay": None})
    assert same_weights(train(plain), network)
    assert not list(folder_of(plain).rglob("*_average*"))


def test_the_average_is_scored_beside(averaged) -> None:
    (scored,) = [
        record
        for record in read_records(folder_of(averaged[0]) / "metrics.jsonl")
        if "average_valid_psnr" in record
    ]
    assert scored.keys() == {"step", "average_valid_psnr", "average_valid_ssim"}
    assert scored["average_valid_psnr"] > 10


def test_an_interrupted_average_equals_the_unbroken_one(averaged, tmp_path: Path) -> None:
    options = tiny_options(tmp_path, **TRAINED)
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            train(options, objective=Disturbed(options, terminate={0}))
        assert caught.value.code == 128 + signal.SIGTERM
    train(options)
    for name in ("generator", "generator_average"):
        one, two = (folder_of(o) / f"{name}.safetensors" for o in (options, averaged[0]))
        assert one.read_bytes() == two.read_bytes()
    assert recorded(options) == recorded(averaged[0])


@pytest.mark.slow
def test_an_average_can_begin_on_the_way(tmp_path: Path) -> None:
    train(tiny_options(tmp_path, iterations=1, checkpoint_test=9))
    options = tiny_options(tmp_path, iterations=2, checkpoint_test=9, average_decay=DECAY)
    network = train(options)
    folder = folder_of(options)
    assert same_weights(load_generator(folder / "generator_average.safetensors"), network)
    state = load_training(folder / "checkpoints" / "step_00000002.pt").average
    assert state is not None and int(state["n_averaged"]) == 1
