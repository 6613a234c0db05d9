from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data.capture import TrainingSample
from data.time_maps import offset_maps, scan_time
from models.flow_pwc import PWCNet
from models.generator import Generator
from models.ifed import IFED
from models.losses.terms import Perceptual
from models.objectives import (
    CycleObjective,
    DistillationObjective,
    SupervisedObjective,
    correct_batch,
)
from models.parts.network import CorrectionOutput
from models.reference.formula_weights import fill_by_formula

REFERENCES = Path(__file__).parents[1] / "references"
RELEASED_LOSS = {"Charbonnier": 1.0, "Perceptual": 0.1, "Variation": 0.1}
GAIN = 2**0.5


class NoFlow(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.zeros_like(first[:, :2])


class FlowOfMeans(nn.Module):
    """A flow that depends on the frames, so that gradients can pass through it."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (second - first)[:, :2]


def load_step(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(REFERENCES / f"{name}.npz"))


def reference_batch(arrays: dict[str, np.ndarray]) -> TrainingSample:
    pair = torch.from_numpy(arrays["images"])
    height = int(arrays["height"])
    rows = [scan_time(height, rows=pair.shape[-2], top=int(top)) for top in arrays["tops"]]
    t = torch.from_numpy(arrays["indices"]).float() / 8
    return TrainingSample(pair, torch.stack(rows), t)


def formula_generator(seed: int) -> Generator:
    generator = Generator()
    fill_by_formula(generator, seed, gain=1.0)
    return generator


def formula_cycle(arrays: dict[str, np.ndarray]) -> CycleObjective:
    flow = PWCNet(sampling="released").requires_grad_(False).eval()
    fill_by_formula(flow, int(arrays["seed"]), GAIN)
    perceptual = Perceptual()
    fill_by_formula(perceptual, int(arrays["vgg_seed"]), GAIN)
    return CycleObjective(
        RELEASED_LOSS, flow=flow, networks={"Perceptual": perceptual}, sampling="released"
    )


def random_batch(size: int = 64, *, truth: bool = False, count: int = 2) -> TrainingSample:
    generator = torch.Generator().manual_seed(1)
    pair = torch.rand(count, 2, 3, size, size, generator=generator)
    frames = torch.rand(count, 3, 3, size, size, generator=generator) if truth else None
    t = torch.linspace(0.25, 0.75, count)
    return TrainingSample(pair, scan_time(size).expand(count, -1), t, frames)


def check_optimisation_step(
    arrays: dict[str, np.ndarray], generator: Generator, terms: dict[str, Tensor], total: Tensor
) -> None:
    """Loss terms, gradient norms and one AdamW update against the released step."""
    for name in ("Charbonnier", "Perceptual", "Variation"):
        value = sum(float(terms[key]) for key in terms if key.endswith(name))
        assert value == pytest.approx(float(arrays[name.lower()]), rel=1e-4), name
    assert float(total.detach()) == pytest.approx(float(arrays["total"]), rel=1e-4)

    total.backward()
    parameters = dict(generator.named_parameters())
    before = {name: value.detach().clone() for name, value in parameters.items()}
    norms = {name: float(value.grad.norm()) for name, value in parameters.items()}
    names = [str(name) for name in arrays["grad_names"]]
    assert set(names) == set(norms)
    errors = relative_errors([norms[name] for name in names], arrays["grad_norms"])
    assert errors.max() < 1e-2
    assert np.median(errors) < 1e-3
    total_norm = torch.nn.utils.clip_grad_norm_(generator.parameters(), 20.0)
    assert float(total_norm) == pytest.approx(float(arrays["grad_total_norm"]), rel=1e-3)

    optimizer = torch.optim.AdamW(
        generator.parameters(),
        lr=float(arrays["learning_rate"]),
        weight_decay=float(arrays["weight_decay"]),
    )
    optimizer.step()
    updates = [float((parameters[name].detach() - before[name]).norm()) for name in names]
    assert relative_errors(updates, arrays["update_norms"]).max() < 1e-2


def relative_errors(values: list[float], expected: np.ndarray) -> np.ndarray:
    return np.abs(np.array(values) - expected) / np.maximum(np.abs(expected), 1e-12)


def mean_absolute(estimate: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(estimate.detach().numpy() - expected).mean())


@pytest.mark.slow
def test_stage1_step_matches_the_released_one() -> None:
    arrays = load_step("stage1_step")
    generator = formula_generator(int(arrays["seed"]))
    objective, batch = formula_cycle(arrays), reference_batch(arrays)

    frames = correct_batch(generator, batch).frames
    np.testing.assert_allclose(frames.detach().numpy(), arrays["frames"], atol=1e-5, rtol=0)
    rebuilt = objective.rebuild(frames.detach(), batch)
    for index, scan in enumerate(("t2b", "b2t")):
        assert mean_absolute(rebuilt.whole[:, index], arrays[scan]) < 1e-4
        assert mean_absolute(rebuilt.split[:, index], arrays[f"{scan}_mid"]) < 1e-4

    total, terms = objective(generator, batch)
    check_optimisation_step(arrays, generator, terms, total)


@pytest.mark.slow
def test_stage2_step_matches_the_released_one() -> None:
    arrays = load_step("stage2_step")
    generator = formula_generator(int(arrays["seed"]))
    teacher = formula_generator(int(arrays["teacher_seed"]))
    cycle, batch = formula_cycle(arrays), reference_batch(arrays)
    objective = DistillationObjective(cycle, teacher, border=int(arrays["diff_patch"]) // 2)

    inner = objective.student_batch(batch)
    frames = correct_batch(generator, inner).frames
    np.testing.assert_allclose(frames.detach().numpy(), arrays["frames"], atol=1e-5, rtol=0)

    total, terms = objective(generator, batch)
    check_optimisation_step(arrays, generator, terms, total)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_perfect_static_frames_cost_only_the_charbonnier_floor() -> None:
    """Frames equal to both inputs, no flow: every rebuilt image is the input."""

    class Echo(nn.Module):
        def forward(self, pair: Tensor, offsets: Tensor) -> object:
            flow = pair.new_zeros(pair.shape[0], 12, pair.shape[-2] // 2, pair.shape[-1] // 2)
            return CorrectionOutput(pair[:, :1].expand(-1, 3, -1, -1, -1), (flow,) * 4)

    batch = random_batch()
    batch = batch._replace(pair=batch.pair[:, :1].expand(-1, 2, -1, -1, -1))
    objective = CycleObjective({"Charbonnier": 1.0, "Variation": 1.0}, flow=NoFlow())
    total, terms = objective(Echo(), batch)
    assert float(terms["Charbonnier"]) == pytest.approx(4 * 1e-9**0.5, rel=1e-2)
    assert float(terms["Variation"]) == 0
    assert float(total) == pytest.approx(float(sum(terms.values())))


def test_only_weighted_terms_are_computed_and_weights_scale_them() -> None:
    generator, batch = Generator(width=0.25), random_batch()
    _, single = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow())(generator, batch)
    _, double = CycleObjective({"Charbonnier": 2.0}, flow=NoFlow())(generator, batch)
    assert list(single) == ["Charbonnier"]
    torch.testing.assert_close(double["Charbonnier"], 2 * single["Charbonnier"])


def test_flow_gradients_can_be_switched_off() -> None:
    batch = random_batch(32, count=1)
    frames = torch.rand(1, 3, 3, 32, 32, requires_grad=True)
    gradients = []
    for allowed in (True, False):
        objective = CycleObjective({"Charbonnier": 1.0}, flow=FlowOfMeans(), flow_gradients=allowed)
        rebuilt = objective.rebuild(frames, batch)
        gradients.append(torch.autograd.grad(rebuilt.whole.sum(), frames)[0])
    assert not torch.allclose(gradients[0], gradients[1])


def test_hidden_pixels_are_not_seen_and_alone_count() -> None:
    seen = []

    class Grey(nn.Module):
        def forward(self, pair: Tensor, offsets: Tensor) -> CorrectionOutput:
            seen.append(pair)
            flow = pair.new_zeros(pair.shape[0], 12, pair.shape[-2] // 2, pair.shape[-1] // 2)
            return CorrectionOutput(
                torch.full_like(pair[:, :1], 0.5).repeat(1, 3, 1, 1, 1), (flow,) * 4
            )

    batch = random_batch()
    objective = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow(), hidden_share=0.2)
    torch.manual_seed(3)
    total, _ = objective(Grey(), batch)
    torch.manual_seed(3)
    visible, hidden = objective.hide(batch)
    assert hidden is not None
    assert torch.equal(seen[0], visible.pair)
    differences = (batch.pair - 0.5).abs()[hidden.expand_as(batch.pair)]
    assert float(total) == pytest.approx(4 * float(differences.mean()), rel=1e-4)


def test_student_sees_the_inner_crop_with_its_own_rows() -> None:
    batch = random_batch(96)
    cycle = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow())
    objective = DistillationObjective(cycle, Generator(width=0.25), border=16)
    inner = objective.student_batch(batch)
    assert torch.equal(inner.pair, batch.pair[..., 16:80, 16:80])
    assert torch.equal(inner.scan_time, batch.scan_time[:, 16:80])


class CuesSeen(nn.Module):
    """Makes grey frames and remembers the cues it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor | None] = []

    def forward(
        self, pair: Tensor, offsets: Tensor, cues: Tensor | None = None
    ) -> CorrectionOutput:
        self.seen.append(cues)
        flow = pair.new_zeros(pair.shape[0], 12, pair.shape[-2] // 2, pair.shape[-1] // 2)
        return CorrectionOutput(
            torch.full_like(pair[:, :1], 0.5).repeat(1, 3, 1, 1, 1), (flow,) * 4
        )


def test_cues_reach_the_network_and_its_inner_crop() -> None:
    batch = random_batch(96)._replace(cues=torch.rand(2, 3, 15, 24, 24))
    cycle, student, teacher = (
        CycleObjective({"Charbonnier": 1.0}, flow=NoFlow()),
        CuesSeen(),
        CuesSeen(),
    )
    DistillationObjective(cycle, teacher, border=16)(student, batch)
    assert batch.cues is not None and student.seen[0] is not None
    assert torch.equal(student.seen[0], batch.cues[..., 4:20, 4:20])
    assert teacher.seen == [batch.cues]


def test_cues_of_hidden_pixels_are_withheld() -> None:
    batch = random_batch()._replace(cues=torch.rand(2, 3, 15, 16, 16))
    network = CuesSeen()
    CycleObjective({"Charbonnier": 1.0}, flow=NoFlow(), hidden_share=0.2)(network, batch)
    assert network.seen == [None]


def first_pixels(pairs: Tensor, scan_times: Tensor, times: Tensor) -> Tensor:
    """Stands for cues (B, 3, 2, H / 4, W / 4): the green of a pixel, its row's time plus t."""
    cells = pairs[:, 0, 1, None, ::4, ::4].expand(-1, 3, -1, -1)
    rows = (scan_times[:, None, ::4] + times[..., None])[..., None].expand_as(cells)
    return torch.stack((cells, rows), dim=2)


def test_cues_are_found_once_for_teacher_and_student() -> None:
    batch = random_batch(96)
    cycle, student, teacher = (
        CycleObjective({"Charbonnier": 1.0}, flow=NoFlow()),
        CuesSeen(),
        CuesSeen(),
    )
    cycle.find_cues = first_pixels
    objective = DistillationObjective(cycle, teacher, border=16)
    objective(student, batch)
    times = torch.stack((torch.zeros(2), batch.t, torch.ones(2)), dim=1)
    expected = first_pixels(batch.pair, batch.scan_time, times)
    assert teacher.seen[0] is not None and student.seen[0] is not None
    assert torch.equal(teacher.seen[0], expected)
    assert torch.equal(student.seen[0], expected[..., 4:20, 4:20])
    known = batch._replace(cues=expected + 1)
    assert objective.with_cues(known) is known


@pytest.mark.parametrize("staged", [False, True])
def test_cues_are_of_the_pixels_that_are_not_hidden(staged: bool) -> None:
    batch, network, given = random_batch(96), CuesSeen(), []

    def find(pairs: Tensor, scan_times: Tensor, times: Tensor) -> Tensor:
        given.append(pairs)
        return first_pixels(pairs, scan_times, times)

    cycle = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow(), hidden_share=0.2)
    cycle.find_cues = find
    objective = DistillationObjective(cycle, CuesSeen(), border=16) if staged else cycle
    objective(network, batch)
    seen = objective.student_batch(batch).pair
    *whole, masked = given
    assert len(whole) == staged and all(part is batch.pair for part in whole)
    changed = (masked != seen).any(2).float().mean()
    assert masked.shape == seen.shape and 0.1 < changed < 0.3
    assert network.seen[0] is not None
    assert torch.equal(network.seen[0][:, 0, 0], masked[:, 0, 1, ::4, ::4])


def test_cues_of_a_supervised_batch_are_found() -> None:
    batch, network = random_batch(64)._replace(truth=torch.rand(2, 3, 3, 64, 64)), CuesSeen()
    objective = SupervisedObjective({"Charbonnier": 1.0})
    objective(network, batch)
    objective.find_cues = first_pixels
    objective(network, batch)
    assert network.seen[0] is None and network.seen[1] is not None
    assert torch.equal(network.seen[1][:, 2, 1, 1, 0], batch.scan_time[:, 4] + 1)


def test_teacher_stays_frozen_and_in_evaluation_mode() -> None:
    cycle = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow())
    objective = DistillationObjective(cycle, Generator(width=0.25), border=16).train()
    assert objective.training
    assert not objective.teacher.training
    assert not any(parameter.requires_grad for parameter in objective.teacher.parameters())


def test_a_student_equal_to_its_teacher_pays_only_for_its_border() -> None:
    """With no receptive field beyond a pixel both agree: the distance is the Charbonnier floor."""

    class Pointwise(nn.Module):
        def forward(self, pair: Tensor, offsets: Tensor) -> object:
            flow = pair.new_zeros(pair.shape[0], 12, pair.shape[-2] // 2, pair.shape[-1] // 2)
            return CorrectionOutput(
                pair.mean(1, keepdim=True).expand(-1, 3, -1, -1, -1), (flow,) * 4
            )

    cycle = CycleObjective({"Charbonnier": 1.0}, flow=NoFlow())
    _, terms = DistillationObjective(cycle, Pointwise(), border=16)(Pointwise(), random_batch(96))
    assert float(terms["TeacherCharbonnier"]) == pytest.approx(1e-9**0.5, rel=1e-2)


def test_supervised_measures_distance_to_the_truth() -> None:
    generator, batch = Generator(width=0.25), random_batch(truth=True)
    frames = correct_batch(generator, batch).frames
    total, terms = SupervisedObjective({"Charbonnier": 1.0})(generator, batch)
    expected = torch.sqrt((frames - batch.truth).square() + 1e-9).mean()
    torch.testing.assert_close(total, expected)
    assert list(terms) == ["Charbonnier"]


def test_supervised_at_fixed_instants() -> None:
    network, batch = IFED(5, n_feats=8, width=0.05), random_batch()
    maps = offset_maps(batch.scan_time, torch.tensor([[0.0, 0.25, 0.5, 0.75, 1.0]] * len(batch.t)))
    frames = network(batch.pair, maps.expand(-1, -1, -1, batch.pair.shape[-1])).frames
    batch = batch._replace(truth=torch.rand_like(frames))
    objective = SupervisedObjective(
        {"Charbonnier": 1.0}, instants=network.instants, charbonnier_epsilon=1e-6
    )
    expected = torch.sqrt((frames - batch.truth).square() + 1e-6).mean()
    torch.testing.assert_close(objective(network, batch).total, expected)


def test_missing_ingredients_are_named() -> None:
    generator = Generator(width=0.25)
    with pytest.raises(ValueError, match="needs true frames"):
        SupervisedObjective({"Charbonnier": 1.0})(generator, random_batch())
    with pytest.raises(ValueError, match="Flow needs exact flows"):
        SupervisedObjective({"Flow": 1.0})(generator, random_batch(truth=True))
    with pytest.raises(
        ValueError, match="the term Perceptual is weighted, but its network is not given"
    ):
        CycleObjective({"Perceptual": 1.0}, flow=NoFlow())
    with pytest.raises(ValueError, match="border must be at least 1, got 0"):
        DistillationObjective(CycleObjective({"Charbonnier": 1.0}, flow=NoFlow()), generator, 0)
