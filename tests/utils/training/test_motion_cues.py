"""Motion cues of training samples: found in the loader, or those of a batch on the device."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data.capture import TrainingSample, collate
from models.inference.correction import Corrected
from models.parts.settings import InferenceSettings
from models.refiner.cues import find_batch_cues
from models.refiner.network import Refiner
from tests.helpers.tiny_training import same_weights, tiny_options, train
from tests.utils.training.test_correction_network import CPU, Disturbed, folder_of, recorded
from utils.checkpoint import latest, save_weights
from utils.errors import InputError
from utils.options.training import TrainingOptions
from utils.system.distributed import Processes
from utils.training.correction_network import _notes, build_objective, build_subject
from utils.training.data import build_training_set, finds_cues_by_batch

CUDA, MPS = torch.device("cuda"), torch.device("mps")
CACHED = {"distinct_samples": 4}
SELF_SUPERVISED = {"objective": "cycle", "G_lossfn_type": "1*Charbonnier", "flow_gradients": False}


def refiner_options(
    root: Path,
    estimate: str = "torch",
    *,
    data: dict[str, Any] | None = None,
    valid: bool = False,
    size: int = 32,
    **given: Any,
) -> TrainingOptions:
    """A tiny training of a refiner."""
    content = tiny_options(root, size=size, **given).model_dump(mode="json")
    content["train"]["motion_estimate"] = estimate
    content["netG"] |= {"net_type": "refiner", "width": 0.1}
    content["datasets"]["train"] |= data or {}
    if not valid:
        content["datasets"]["valid"] = None
    return TrainingOptions.model_validate_json(json.dumps(content))


def batch_of(options: TrainingOptions, device: torch.device = CPU) -> TrainingSample:
    samples = build_training_set(options, device)
    return collate([samples[0], samples[1]])


def times_of(batch: TrainingSample) -> Tensor:
    return torch.stack((torch.zeros(2), batch.t, torch.ones(2)), dim=1)


def test_cues_are_found_by_batch_on_cuda_or_if_asked_for(tmp_path: Path) -> None:
    def by_batch(estimate: str, device: torch.device, **data: Any) -> bool:
        return finds_cues_by_batch(refiner_options(tmp_path, estimate, data=data), device)

    assert by_batch("auto", CUDA) and by_batch("torch", CPU) and by_batch("torch", CUDA, **CACHED)
    assert not by_batch("auto", CPU) and not by_batch("opencv", CUDA) and not by_batch("auto", MPS)
    assert not by_batch("auto", CUDA, **CACHED)  # the cache holds the cues, too
    assert not finds_cues_by_batch(tiny_options(tmp_path), CUDA)  # a generator takes none


def test_samples_have_cues_unless_those_are_found_by_batch(tmp_path: Path) -> None:
    in_loader = batch_of(refiner_options(tmp_path, "auto"))
    by_opencv = find_batch_cues(
        in_loader.pair, in_loader.scan_time, times_of(in_loader), estimate="opencv"
    )
    assert in_loader.cues is not None and torch.equal(in_loader.cues, by_opencv)
    for batch in (
        batch_of(refiner_options(tmp_path)),
        batch_of(refiner_options(tmp_path, "auto"), CUDA),
        batch_of(refiner_options(tmp_path, data=CACHED)),
    ):
        assert batch.cues is None
        torch.testing.assert_close(batch.pair, in_loader.pair, atol=1 / 255, rtol=0)


def test_the_objective_finds_the_cues_of_a_batch(tmp_path: Path) -> None:
    options = refiner_options(tmp_path)
    batch, objective = batch_of(options), build_objective(options, CPU)
    found = objective.with_cues(batch).cues
    expected = find_batch_cues(batch.pair, batch.scan_time, times_of(batch), estimate="torch")
    assert found is not None and torch.equal(found, expected)
    # As before: on a CPU the network finds those that samples lack.
    for estimate in ("auto", "opencv"):
        assert build_objective(refiner_options(tmp_path, estimate), CPU).find_cues is None
    assert build_objective(tiny_options(tmp_path), CPU).find_cues is None


def test_a_run_by_batch_resumes_to_the_last_bit(tmp_path: Path) -> None:
    step = SELF_SUPERVISED | {"iterations": 2, "hidden_share": 0.1}
    options = refiner_options(tmp_path, task="whole", **step)
    whole, start = train(options), Refiner(3, 8, 0.1)
    parts = refiner_options(tmp_path, task="parts", **step)
    with pytest.raises(SystemExit):
        train(parts, objective=Disturbed(parts, terminate={0}))
    newest = latest(folder_of(parts) / "checkpoints")
    assert newest is not None and newest.name == "step_00000001.pt"
    assert same_weights(train(parts), whole)
    assert recorded(parts)[-1] == recorded(options)[-1]
    assert all(weight.isfinite().all() for weight in whole.parameters())
    assert not same_weights(whole, start)
    log = (folder_of(options) / "train.log").read_text()
    assert "motion cues are found by PyTorch on cpu, a batch at once (train.motion_estimate)" in log


def test_stage_2_trains_by_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = Refiner(3, 8, 0.1)
    save_weights(tmp_path / "stage1.safetensors", teacher)
    step = SELF_SUPERVISED | {"objective": "distillation", "iterations": 1, "border": 16}
    step["checkpoint_print"] = 1
    options = refiner_options(tmp_path, pretrained=tmp_path / "stage1.safetensors", size=64, **step)
    student = train(options)
    assert not same_weights(student, teacher)
    (record,) = (each for each in recorded(options) if "total" in each)
    # The teacher has seen more than the student, by cues of the same motion.
    assert 0 < record["TeacherCharbonnier"] < 0.1


def test_scores_and_pictures_use_the_same_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def made(_: Any, pair: Tensor, times: Any, *, settings: InferenceSettings, **__: Any) -> object:
        used.append(settings.motion_estimate)
        return Corrected(pair[:1].expand(len(times), -1, -1, -1))

    for module in ("validation", "records.pictures"):
        monkeypatch.setattr(f"utils.training.{module}.correct", made)
    for estimate in ("torch", "auto"):
        options = refiner_options(tmp_path, estimate, valid=True)
        content = options.model_dump(mode="json")
        content["datasets"]["valid"]["images"] = 1
        options = TrainingOptions.model_validate_json(json.dumps(content))
        subject = build_subject(options, Processes(CPU))
        assert subject.validate is not None and subject.pictures is not None
        subject.validate(subject.network)
        list(subject.pictures())
        assert set(used) == {estimate} and len(used) == 2
        used.clear()


def test_what_is_said_and_refused(tmp_path: Path) -> None:
    (line,) = _notes(refiner_options(tmp_path, "auto"), CPU)
    assert line == "motion cues are found by OpenCV in the loader (train.motion_estimate)"
    (line,) = _notes(refiner_options(tmp_path, "auto"), CUDA)
    assert line.startswith("motion cues are found by PyTorch on cuda, a batch at once")
    with pytest.raises(InputError, match="'torch' computes in float64, which the device 'mps'"):
        build_training_set(refiner_options(tmp_path), MPS)
