"""The training loop: resuming, skipping, stopping, and what it leaves behind."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data.capture import TrainingSample
from data.training.loader import training_loader
from models.generator import Generator
from models.losses.objective import Loss
from models.losses.terms import Perceptual
from models.objectives import CorrectionObjective, CycleObjective
from tests.helpers.tiny_training import same_weights, tiny_options, train
from utils.checkpoint import latest, load_generator, load_training, save_weights
from utils.errors import InputError
from utils.options.files import load_options
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.training.correction_network import _notes, build_network, build_objective
from utils.training.experiment import open_experiment
from utils.training.reporting import read_records

CPU = torch.device("cpu")


class Interrupted(Exception):
    """Stands for a crash between two checkpoints."""


class Disturbed(CorrectionObjective):
    """An objective that does something else at certain calls, counted from 0."""

    def __init__(self, options: TrainingOptions, **at: set[int]) -> None:
        super().__init__(options.train.loss_weights)
        self.inner = build_objective(options, CPU)
        self.at = at
        self.calls = 0

    def forward(self, generator: nn.Module, batch: TrainingSample) -> Loss:
        call, self.calls = self.calls, self.calls + 1
        if call in self.at.get("crash", ()):
            raise Interrupted
        if call in self.at.get("terminate", ()):
            os.kill(os.getpid(), signal.SIGTERM)
        total, terms = self.inner(generator, batch)
        if call in self.at.get("nan_loss", ()):
            total = total * float("nan")
        if call in self.at.get("infinite_gradient", ()):
            weight = next(generator.parameters())
            total = total + (weight - weight.detach()).abs().sqrt().sum()  # slope inf at 0
        return Loss(total, terms)


def recorded(options: TrainingOptions) -> list[dict[str, float]]:
    """Records without what depends on the machine's speed."""
    records = read_records(folder_of(options) / "metrics.jsonl")
    return [{k: v for k, v in record.items() if k != "samples_per_second"} for record in records]


def folder_of(options: TrainingOptions) -> Path:
    return Path(options.path.root) / options.task


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory):
    options = tiny_options(tmp_path_factory.mktemp("unbroken"))
    return options, train(options, curves=True)


def test_what_a_run_leaves_behind(unbroken) -> None:
    options, generator = unbroken
    folder = folder_of(options)
    assert json.loads((folder / "options.json").read_text()) == options.model_dump(mode="json")
    assert json.loads((folder / "versions.json").read_text())["torch"] == torch.__version__
    checkpoints = sorted(path.name for path in (folder / "checkpoints").iterdir())
    kept = [f"step_{step:08d}.pt" for step in (2, 4)]
    assert checkpoints == ["best.safetensors", *kept]
    assert same_weights(load_generator(folder / "generator.safetensors"), generator)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "finished" in (folder / "train.log").read_text()
    assert list((folder / "tensorboard").iterdir())


def test_records(unbroken) -> None:
    options, _ = unbroken
    records = recorded(options)
    printed = [record for record in records if "total" in record]
    assert [record["step"] for record in printed] == [2, 4]
    assert [record["step"] for record in records if "valid_psnr" in record] == [3, 4]
    expected = {"step", "total", "Charbonnier", "Variation"}
    expected |= {"gradient_norm", "learning_rate", "skipped"}
    for record in printed:
        assert record.keys() == expected
        assert record["total"] == pytest.approx(record["Charbonnier"] + record["Variation"])


def test_training_lowers_the_loss(unbroken) -> None:
    first, last = (record["total"] for record in recorded(unbroken[0]) if "total" in record)
    assert last < first


def test_terminated_after_every_step_and_resumed_equals_unbroken(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path)
    folder = folder_of(options)
    for step in range(1, 4):
        with pytest.raises(SystemExit) as caught:
            train(options, objective=Disturbed(options, terminate={0}))
        assert caught.value.code == 128 + signal.SIGTERM
        newest = latest(folder / "checkpoints")
        assert newest is not None
        assert newest.name == f"step_{step:08d}.pt"
        said = (folder / "train.log").read_text()
        assert f"stopped by SIGTERM after step {step}; the same command with --resume auto" in said
    assert same_weights(train(options), unbroken[1])
    assert recorded(options) == recorded(unbroken[0])
    resumed, whole = (
        load_training(folder_of(o) / "checkpoints" / "step_00000004.pt")
        for o in (options, unbroken[0])
    )
    assert resumed.progress == whole.progress
    for index, state in whole.optimizer["state"].items():
        for name, value in state.items():
            assert torch.equal(value, resumed.optimizer["state"][index][name])
    assert torch.equal(resumed.random[0]["torch"], whole.random[0]["torch"])


@pytest.mark.parametrize("step", [pytest.param(0, marks=pytest.mark.slow), 1, 3])
def test_crashed_at_any_step_and_resumed_equals_unbroken(
    tmp_path: Path, unbroken, step: int
) -> None:
    options = tiny_options(tmp_path)
    with pytest.raises(Interrupted):
        train(options, objective=Disturbed(options, crash={step}))
    assert same_weights(train(options), unbroken[1])
    assert recorded(options) == recorded(unbroken[0])


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=2)
    first = train(options)
    before = recorded(options)
    assert same_weights(train(options), first)
    assert recorded(options) == before


def test_resume_path_goes_on_from_another_task(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path)
    source = folder_of(unbroken[0]) / "checkpoints" / "step_00000002.pt"
    assert same_weights(train(options, resume=str(source)), unbroken[1])


def test_resume_path_keeps_its_own_best_weights(tmp_path: Path, unbroken) -> None:
    valid = {"dataset_type": "simulated", "count": 1, "scene": {"height": 64, "width": 64}}
    first = tiny_options(tmp_path, task="first", iterations=2, checkpoint_test=2)
    content = first.model_dump(mode="json")
    content["datasets"]["valid"] = valid
    first = TrainingOptions.model_validate_json(json.dumps(content))
    train(first)
    content |= {"task": "second"}
    content["train"] |= {"iterations": 3, "G_optimizer_lr": 0.1}
    second = TrainingOptions.model_validate_json(json.dumps(content))
    train(second, resume=str(latest(folder_of(first) / "checkpoints")))
    folder = folder_of(second)
    best = load_generator(folder / "checkpoints" / "best.safetensors")
    assert same_weights(best, load_generator(folder / "generator.safetensors"))


def test_resume_path_does_not_mix_runs(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path, iterations=2)
    train(options)
    other = folder_of(unbroken[0]) / "checkpoints" / "step_00000004.pt"
    with pytest.raises(InputError, match="has its own run up to step_00000002.pt"):
        train(options, resume=str(other))


def test_resume_path_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint; expected auto, never or a file"):
        train(tiny_options(tmp_path), resume="nowhere.pt")


def test_resume_never_keeps_the_earlier_run_aside(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=2)
    first = train(options)
    second = train(options, resume="never")
    assert same_weights(first, second)
    assert (tmp_path / "tiny.1" / "checkpoints" / "step_00000002.pt").exists()
    log = (folder_of(options) / "train.log").read_text()
    assert f"starting over; the earlier run is kept at {tmp_path / 'tiny.1'}" in log
    assert "resuming" not in log


def test_changed_options_are_logged(tmp_path: Path) -> None:
    train(tiny_options(tmp_path, iterations=2))
    train(tiny_options(tmp_path, iterations=3))
    log = (tmp_path / "tiny" / "train.log").read_text()
    assert "changed option train.iterations: 2 -> 3" in log


@pytest.mark.parametrize("disturbance", ["nan_loss", "infinite_gradient"])
def test_non_finite_steps_are_skipped_logged_and_counted(tmp_path: Path, disturbance: str) -> None:
    options = tiny_options(tmp_path, iterations=2, checkpoint_save=1, checkpoint_print=1)
    train(options, objective=Disturbed(options, **{disturbance: {1}}))
    content = options.model_dump(mode="json")
    content["train"]["iterations"] = 3
    train(TrainingOptions.model_validate_json(json.dumps(content)))
    states = [
        load_training(folder_of(options) / "checkpoints" / f"step_{step:08d}.pt")
        for step in (1, 2, 3)
    ]
    for name, weight in states[0].network.items():
        assert torch.equal(weight, states[1].network[name])
        assert weight.isfinite().all()
    assert any(
        not torch.equal(weight, states[2].network[name])
        for name, weight in states[1].network.items()
    )
    moments = [state.optimizer["state"][0]["step"].item() for state in states]
    assert moments == [1, 1, 2]
    assert states[2].progress["skipped"] == 1
    printed = [record for record in recorded(options) if "skipped" in record]
    assert [record["skipped"] for record in printed] == [0, 1, 1]
    assert "total" not in printed[1]
    log = (folder_of(options) / "train.log").read_text()
    assert "step 2: skipped, its loss or gradient is not finite (1 in a row)" in log


def test_ten_skips_in_a_row_stop_until_the_cause_is_gone(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=30, checkpoint_save=2, checkpoint_test=30)
    with pytest.raises(InputError) as caught:
        train(options, objective=Disturbed(options, nan_loss=set(range(3, 30))))
    assert "step 13: stopped after 10 steps in a row without a finite loss" in str(caught.value)
    newest = latest(folder_of(options) / "checkpoints")
    assert newest is not None
    assert newest.name == "step_00000002.pt"  # none of steps without a finite loss
    assert f"start again: from {newest}, the last one before, or" in str(caught.value)
    assert all(weight.isfinite().all() for weight in load_training(newest).network.values())
    train(tiny_options(tmp_path, iterations=3, checkpoint_save=3, checkpoint_test=30))
    assert (folder_of(options) / "generator.safetensors").exists()  # the cause is gone


def test_a_run_that_ends_without_finite_losses_has_failed(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=6)
    with pytest.raises(InputError, match="step 6: stopped after 3 steps in a row without a finite"):
        train(options, objective=Disturbed(options, nan_loss={3, 4, 5}))
    folder = folder_of(options)
    newest = latest(folder / "checkpoints")
    assert newest is not None and newest.name == "step_00000002.pt"
    assert not (folder / "generator.safetensors").exists()


def test_a_stop_saves_no_step_without_a_finite_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tiny_options(tmp_path, iterations=9)
    with pytest.raises(SystemExit):
        train(options, objective=Disturbed(options, nan_loss={2, 3}, terminate={3}))
    newest = latest(folder_of(options) / "checkpoints")
    assert newest is not None and newest.name == "step_00000002.pt"
    said = f"this step had no finite loss and was not saved; --resume auto resumes from {newest}"
    assert said in capsys.readouterr().err


def test_a_sample_that_cannot_be_read_loses_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three_batches(*given: Any, **named: Any) -> Iterator[TrainingSample]:
        yield from itertools.islice(training_loader(*given, **named), 3)
        raise InputError("0_t2b.png: damaged")

    options = tiny_options(tmp_path, checkpoint_save=100)
    monkeypatch.setattr("utils.training.loop.training_loader", three_batches)
    with pytest.raises(InputError, match="^0_t2b.png: damaged$"):
        train(options)
    newest = latest(folder_of(options) / "checkpoints")
    assert newest is not None and newest.name == "step_00000003.pt"


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_run_at_work_is_left_alone(tmp_path: Path, resume: str) -> None:
    options = tiny_options(tmp_path)
    alone = Processes(CPU)
    with (
        open_experiment(options, alone, resume="auto") as running,
        pytest.raises(InputError, match=f"^{running.folder}: in use by another run"),
        open_experiment(options, alone, resume=resume),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_checkpoint_that_does_not_fit_changes_no_record(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    record = folder_of(options) / "options.json"
    before = record.read_bytes()
    with pytest.raises(InputError, match="weights of another network: expected width"):
        train(tiny_options(tmp_path, width=0.08, iterations=2))
    assert record.read_bytes() == before


@pytest.mark.parametrize("terms", ["1*Flow", "1*Variation|1*Flow"])
def test_several_processes_need_a_term_that_trains_all_weights(tmp_path: Path, terms: str) -> None:
    options = tiny_options(tmp_path)
    content = options.model_dump(mode="json")
    content["train"]["G_lossfn_type"] = terms
    content["datasets"]["train"]["flows"] = True
    options = TrainingOptions.model_validate_json(json.dumps(content))
    with (
        pytest.raises(InputError, match="expected Charbonnier or Decibels or Perceptual among"),
        open_experiment(options, Processes(CPU, 0, 2), resume="auto"),
    ):
        pass


def test_the_best_score_is_forgotten_where_it_is_of_other_captures(tmp_path: Path) -> None:
    train(tiny_options(tmp_path, iterations=2, checkpoint_test=1))
    content = tiny_options(tmp_path, iterations=3, checkpoint_test=1).model_dump(mode="json")
    content["train"]["G_optimizer_lr"] = 0.1  # gets worse
    content["datasets"]["valid"]["seed"] = 5
    options = TrainingOptions.model_validate_json(json.dumps(content))
    train(options)
    best = load_generator(folder_of(options) / "checkpoints" / "best.safetensors")
    assert same_weights(best, load_generator(folder_of(options) / "generator.safetensors"))


def test_checkpoint_of_another_objective_is_refused(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path, objective="cycle")
    source = folder_of(unbroken[0]) / "checkpoints" / "step_00000004.pt"
    with pytest.raises(InputError, match="objective 'supervised' cannot be resumed as 'cycle'"):
        train(options, resume=str(source))


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=2)
    folder = folder_of(options) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / ".step_00000001.800.pt").write_bytes(b"half")
    (folder / ".gitignore").write_text("the user's")
    train(options)
    kept = {"best.safetensors", "step_00000002.pt", ".gitignore"}
    assert {path.name for path in folder.iterdir()} == kept


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path: Path, damage: str) -> None:
    options = tiny_options(tmp_path, iterations=2, checkpoint_save=1, keep_last=2)
    whole = train(options)
    newest = latest(folder_of(options) / "checkpoints")
    assert newest is not None
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content[:1000] if damage == "cut" else content)
    assert same_weights(train(options), whole)
    log = (folder_of(options) / "train.log").read_text()
    found = "truncated or not a weight file" if damage == "cut" else "damaged: its part"
    assert f"{newest}: {found}" in log
    assert "it is kept as step_00000002.pt.damaged, going back to the one before" in log
    assert "resuming at step 1 from" in log
    kept = {"step_00000001.pt", "step_00000002.pt", "step_00000002.pt.damaged"}
    assert {path.name for path in newest.parent.glob("step_*")} == kept


def test_without_a_sound_checkpoint_nothing_is_resumed(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, iterations=1)
    train(options)
    newest = latest(folder_of(options) / "checkpoints")
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:1000])
    message = r"step_00000001.pt: truncated .*; no sound checkpoint is left: --resume never starts"
    with pytest.raises(InputError, match=message):
        train(options)
    assert newest.exists()
    train(options, resume="never")


def test_stage_2_resumes_with_its_teacher(tmp_path: Path, unbroken) -> None:
    weights = folder_of(unbroken[0]) / "generator.safetensors"
    stage2 = {
        "pretrained": weights,
        "objective": "distillation",
        "size": 64,
        "border": 16,
        "iterations": 2,
    }
    options = tiny_options(tmp_path, **stage2)
    whole = train(options)

    broken = tiny_options(tmp_path, task="broken", **stage2)
    objective = Disturbed(broken, terminate={0})
    objective.teacher = objective.inner.teacher
    with pytest.raises(SystemExit):
        train(broken, objective=objective)
    forgetful = build_objective(broken, CPU)
    for weight in forgetful.teacher.parameters():
        weight.data.zero_()
    assert same_weights(train(broken, objective=forgetful), whole)
    assert same_weights(forgetful.teacher, load_generator(weights))
    scored, first, *_ = recorded(broken)  # the pretrained weights are scored before the first step
    assert scored.keys() == {"step", "valid_psnr", "valid_ssim"}
    assert {"TeacherCharbonnier"} < first.keys()


def test_checkpoint_of_another_stage_is_refused(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path)
    objective = build_objective(options, CPU)
    objective.teacher = unbroken[1]
    source = folder_of(unbroken[0]) / "checkpoints" / "step_00000004.pt"
    with pytest.raises(InputError, match="checkpoint of a stage without a teacher"):
        train(options, objective=objective, resume=str(source))


def test_checkpoint_of_another_width_is_refused(tmp_path: Path, unbroken) -> None:
    options = tiny_options(tmp_path, width=0.125)
    source = folder_of(unbroken[0]) / "checkpoints" / "step_00000004.pt"
    with pytest.raises(InputError, match=r"expected width 0.125, got 0.04"):
        train(options, resume=str(source))


def test_pretrained_weights_of_another_width_are_refused(tmp_path: Path, unbroken) -> None:
    weights = folder_of(unbroken[0]) / "generator.safetensors"
    with pytest.raises(InputError, match=r"expected width 0.125, got 0.04"):
        train(tiny_options(tmp_path, pretrained=weights, width=0.125))
    assert not (tmp_path / "tiny").exists()


def test_training_starts_from_pretrained_weights(tmp_path: Path, unbroken) -> None:
    weights = tmp_path / "start.safetensors"
    save_weights(weights, unbroken[1])
    still = {"iterations": 1, "G_optimizer_lr": 1e-12, "G_scheduler_eta_min": 0}
    trained = train(tiny_options(tmp_path, pretrained=weights, **still))
    for name, weight in trained.state_dict().items():
        torch.testing.assert_close(weight, unbroken[1].state_dict()[name], rtol=1e-6, atol=1e-6)


def test_an_experiment_recorded_before_these_options_resumes_unchanged(
    tmp_path: Path, unbroken
) -> None:
    options = tiny_options(tmp_path)
    with pytest.raises(SystemExit):
        train(options, objective=Disturbed(options, terminate={1}))
    folder = folder_of(options)
    recorded = json.loads((folder / "options.json").read_text())
    recorded["netG"]["channels"] = "rgb"
    del recorded["netG"]["init"], recorded["train"]["perceptual_channels"]
    (newest,) = (folder / "checkpoints").glob("step_*.pt")
    content = torch.load(newest, weights_only=True)
    assert "perceptual_channels" in content["options"]["train"]
    torch.save(content | {"options": recorded}, newest)
    again = tmp_path / "earlier.json"
    again.write_text(json.dumps(recorded))
    resumed = train(load_options(again, (), TrainingOptions))
    assert same_weights(resumed, unbroken[1])
    assert "changed option" not in (folder / "train.log").read_text()


@pytest.mark.parametrize("objective", ["cycle", "distillation"])
def test_the_channel_order_is_that_of_released_weights(tmp_path: Path, objective: str) -> None:
    torch.manual_seed(0)
    released = Generator(3, 192, 1 / 24, channels="bgr")  # 8 channels in each layer
    file = tmp_path / "205000_G.pth"
    torch.save(released.state_dict(), file)
    options = tiny_options(
        tmp_path, pretrained=file, width=1 / 24, size=64, objective=objective, border=16
    )
    content = options.model_dump(mode="json")
    content["netG"]["n_feats"] = 192
    network = build_network(TrainingOptions.model_validate_json(json.dumps(content)))
    assert network.channels == "bgr"
    assert same_weights(network, released)
    content["netG"]["channels"] = "rgb"
    other = TrainingOptions.model_validate_json(json.dumps(content))
    with pytest.raises(InputError, match="expected channels rgb, got bgr; choose other weights"):
        build_network(other)
    content["netG"] |= {"channels": None, "net_type": "refiner"}
    other = TrainingOptions.model_validate_json(json.dumps(content))
    with pytest.raises(InputError, match="weights of another network: expected net_type refiner"):
        build_network(other)


def test_initial_weights(tmp_path: Path) -> None:
    content = tiny_options(tmp_path).model_dump(mode="json")
    networks = {}
    for init in (None, "kaiming", "pytorch"):
        content["netG"]["init"] = init
        torch.manual_seed(0)
        networks[init] = build_network(TrainingOptions.model_validate_json(json.dumps(content)))
        assert networks[init].channels == "rgb"
    assert same_weights(networks[None], networks["kaiming"])
    for module in networks["pytorch"].modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            bound = module.weight[0].numel() ** -0.5  # PyTorch's: 1 / sqrt(fan in)
            assert 0.5 * bound < module.weight.abs().max() <= bound
            assert 0 < module.bias.abs().max() <= bound
        if isinstance(module, nn.PReLU):
            assert bool((module.weight == 0.25).all())
    assert not any(
        module.bias.any() for module in networks[None].modules() if isinstance(module, nn.Conv2d)
    )


def test_a_missing_flow_network_is_noticed_before_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("VGG-19 was downloaded")

    monkeypatch.setattr("models.losses.terms.download_state", refuse)
    loss = {"objective": "cycle", "G_lossfn_type": "1*Charbonnier|0.1*Perceptual"}
    content = tiny_options(tmp_path).model_dump(mode="json")
    content["train"] |= loss
    missing = str(tmp_path / "network-default.pytorch")
    content["path"] |= {"perceptual_weights": "imagenet", "pretrained_rsg": missing}
    options = TrainingOptions.model_validate_json(json.dumps(content))
    with pytest.raises(InputError, match=f"{missing}: expected a weight file, got no such file"):
        build_objective(options, CPU)


def test_vgg19_sees_the_channels_that_the_options_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Perceptual().state_dict()
    monkeypatch.setattr("models.losses.terms.download_state", lambda *_, **__: given)
    content = tiny_options(tmp_path).model_dump(mode="json")
    content["train"] |= {"G_lossfn_type": "1*Charbonnier|0.1*Perceptual", "objective": "cycle"}
    content["path"]["perceptual_weights"] = "imagenet"
    first = {}
    for channels in ("rgb", "bgr"):
        content["train"]["perceptual_channels"] = channels
        options = TrainingOptions.model_validate_json(json.dumps(content))
        objective = build_objective(options, CPU)
        first[channels] = objective.get_parameter("networks.Perceptual.features.0.weight")
    assert torch.equal(first["rgb"], given["features.0.weight"])
    assert torch.equal(first["bgr"], first["rgb"].flip(1))


@pytest.mark.parametrize(("gradients", "said"), [(True, 1), (False, 0)])
def test_dis_says_that_it_passes_no_gradient(tmp_path: Path, gradients: bool, said: int) -> None:
    step = {"objective": "cycle", "iterations": 1, "flow_gradients": gradients}
    options = tiny_options(tmp_path, **step)
    train(options)
    log = (folder_of(options) / "train.log").read_text()
    line = 'train.flow_gradients is true, but the flow "dis" passes no gradient to the frames: '
    assert log.count(line) == said


def test_dis_says_that_a_gpu_waits_for_it(tmp_path: Path) -> None:
    by_dis = tiny_options(tmp_path, objective="cycle", flow_gradients=False)
    assert by_dis.path.pretrained_rsg == "dis"
    assert list(_notes(by_dis, CPU)) == []
    (line,) = _notes(by_dis, torch.device("cuda"))
    assert line.startswith(
        'path.pretrained_rsg: the flow "dis" is computed on the CPU, and the cuda'
    )
    assert list(_notes(tiny_options(tmp_path), torch.device("cuda"))) == []  # supervised


def test_parts_must_share_the_batch(tmp_path: Path) -> None:
    expected = r"a multiple of the number of processes times train.accumulation_steps \(1 x 3\)"
    with pytest.raises(InputError, match=expected):
        train(tiny_options(tmp_path, accumulation_steps=3))


def test_a_file_in_the_way_of_the_output_folder(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("here first")
    with pytest.raises(InputError, match="a file is in its way"):
        train(tiny_options(tmp_path))
    assert (tmp_path / "tiny").read_text() == "here first"


def test_cycle_training_on_flow_without_truth(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, objective="cycle", iterations=1, checkpoint_print=1)
    objective = build_objective(options, CPU)
    assert isinstance(objective, CycleObjective)
    train(options, objective=objective)
    assert recorded(options)[0]["Charbonnier"] > 0


def test_bfloat16_trains_and_keeps_float32_weights(tmp_path: Path) -> None:
    options = tiny_options(tmp_path, precision="bfloat16", iterations=1)
    generator = train(options)
    assert all(weight.dtype == torch.float32 for weight in generator.parameters())
    assert all(weight.isfinite().all() for weight in generator.parameters())
