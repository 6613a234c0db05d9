"""Score a generator during training, and show what it makes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from data.capture import CapturePair, TrainingSample, to_device
from data.transforms import crop
from models.correction import correct
from models.generator import SIZE_MULTIPLE
from models.networks import Corrector
from models.objectives import CycleObjective, DistillationObjective, correct_batch
from utils.distributed import Processes
from utils.image_io import to_uint8
from utils.metrics import mean_psnr, psnr
from utils.training_data import Captures


class Validation(NamedTuple):
    """What validation found.

    Attributes:
        values: named means over the captures: `valid_psnr` (dB) with true frames; without, the
            cycle objective's total and terms.
        score: the higher, the better: the PSNR, or the negative total.
    """

    values: dict[str, float]
    score: float


@torch.no_grad()
def validate(
    generator: Corrector, objective: nn.Module, captures: Captures, processes: Processes
) -> Validation:
    """Score a generator on captures, shared among the processes.

    Args:
        generator: left in the mode it was in.
        objective: what it is trained with; scores captures without truth, as a whole.
        captures: at least one; all with truth, or none.
        processes: each scores every `world_size`-th capture.
    """
    mine = range(processes.rank, len(captures), processes.world_size)
    was_training = generator.training
    generator.eval()
    scores = [_score(generator, objective, captures[index]) for index in mine]
    generator.train(was_training)
    everyone = [score for scores in processes.gather(scores) for score in scores]
    values = {
        f"valid_{name}": _mean(name, [score[name] for score in everyone]) for name in everyone[0]
    }
    best_high = "valid_psnr" in values
    return Validation(values, values["valid_psnr"] if best_high else -values["valid_total"])


@torch.no_grad()
def preview(generator: Corrector, objective: nn.Module, batch: TrainingSample) -> Tensor:
    """Strip of a batch's first sample: both inputs, three frames, then truth or rebuilt inputs.

    Returns:
        (3, H, N * W) on the CPU.
    """
    truth = None if batch.truth is None else batch.truth[:1]
    first = TrainingSample(batch.pair[:1], batch.scan_time[:1], batch.t[:1], truth)
    if isinstance(objective, DistillationObjective):
        first = objective.inner_batch(first)
    frames = correct_batch(generator, first).frames
    images = [first.pair[0], frames[0]]
    cycle = _cycle(objective)
    if first.truth is not None:
        images.append(first.truth[0])
    elif cycle is not None:
        images.append(cycle.rebuild(frames, first).whole[0])
    return torch.cat(list(torch.cat(images)), dim=-1).float().cpu()


def _cycle(objective: nn.Module) -> CycleObjective | None:
    """The cycle objective in an objective, if there is one."""
    if isinstance(objective, DistillationObjective):
        return objective.cycle
    return objective if isinstance(objective, CycleObjective) else None


def _score(generator: Corrector, objective: nn.Module, capture: CapturePair) -> dict[str, float]:
    if capture.truth is not None and capture.truth_times is not None:
        times = capture.truth_times.tolist()
        frames = correct(generator, capture.pair, times, scan_time=capture.scan_time)
        pairs = zip(frames, capture.truth, strict=True)
        return {"psnr": mean_psnr(psnr(to_uint8(frame), to_uint8(true)) for frame, true in pairs)}
    cycle = _cycle(objective)
    assert cycle is not None  # supervised validation without truth is refused at start-up
    device = next(generator.parameters()).device
    total, terms = cycle(generator, to_device(_whole(capture), device))
    return {"total": float(total)} | {name: float(value) for name, value in terms.items()}


def _whole(capture: CapturePair) -> TrainingSample:
    """A batch of one: the capture at t = 0.5, cut at right and bottom to the generator's grid."""
    height, width = (
        size // SIZE_MULTIPLE * SIZE_MULTIPLE for size in (capture.height, capture.width)
    )
    cut = crop(capture, top=0, left=0, height=height, width=width)
    return TrainingSample(cut.pair[None], cut.scan_time[None], torch.tensor([0.5]))


def _mean(name: str, values: list[float]) -> float:
    return mean_psnr(values) if name == "psnr" else sum(values) / len(values)
