"""Score a network during training, and preview its frames."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from data.capture import CapturePair, TrainingSample, to_device
from data.files.images import to_uint8
from data.transforms import crop
from models.inference.correction import AS_TRAINED, correct
from models.losses.disagreement import find_disagreement
from models.objectives import CorrectionObjective, CycleObjective, correct_batch
from models.parts.network import CorrectionNetwork
from models.parts.settings import SIZE_MULTIPLE, InferenceSettings
from utils.errors import InputError
from utils.evaluation.evaluate import to_8bit
from utils.metrics import METRICS, PROTOCOLS, Protocol, psnr, ssim
from utils.quality.similarity import quicker_device
from utils.system.distributed import Processes
from utils.training.data import Captures

_BRIGHTENING = 4.0  # factor on the disagreement in previews
_HIDING_SEED = 0

S = TypeVar("S")
T = TypeVar("T")


class Validation(NamedTuple):
    """Result of a validation.

    Attributes:
        values: named means over the captures. With true frames: `valid_psnr` in dB and
            `valid_ssim`. Without: `valid_cycle_psnr`, in dB, of the inputs rebuilt from the frames;
            `valid_disagreement`, the mean absolute difference, out of 255, between both inputs
            warped to the same instant (`models.losses.disagreement`).
        score: higher is better: the PSNR; without truth, the sum of the RMS cycle error and the
            disagreement, in dB. Either alone could be fooled: blank frames agree, and copies of the
            inputs rebuild them.
    """

    values: dict[str, float]
    score: float


def score_all(
    network: nn.Module,
    captures: Captures[T],
    score: Callable[[T], S],
    processes: Processes,
) -> list[S]:
    """Score all captures with the network in evaluation mode, shared among the processes.

    Args:
        network: left in the mode it was in.
        captures: each process scores every `world_size`-th.
        score: of one capture.
        processes: that take part.

    Returns:
        All scores, the same in every process.
    """
    was_training = network.training
    network.eval()
    mine = range(processes.rank, len(captures), processes.world_size)
    scores = [score(captures[index]) for index in mine]
    network.train(was_training)
    return [found for part in processes.gather(scores) for found in part]


@torch.no_grad()
def validate(
    network: CorrectionNetwork,
    objective: CorrectionObjective,
    captures: Captures[CapturePair],
    processes: Processes,
    protocol: str = "full",
    settings: InferenceSettings = AS_TRAINED,
) -> Validation:
    """Score a network on captures, shared among the processes.

    Args:
        network: left in the mode it was in.
        objective: that it is trained with; rebuilds whole captures without truth. If training hides
            pixels, only hidden ones count, the same ones in every validation.
        captures: at least one; all with truth, or none.
        processes: that share the captures.
        protocol: a key of `PROTOCOLS`, for captures with truth.
        settings: of the network on captures with truth.
    """
    score = partial(_score, network, objective, PROTOCOLS[protocol], settings)
    scores = score_all(network, captures, score, processes)
    values = {f"valid_{name}": _mean(name, [score[name] for score in scores]) for name in scores[0]}
    if "valid_psnr" in values:
        return Validation(values, values["valid_psnr"])
    error = 10 ** (-values["valid_cycle_psnr"] / 20) + values["valid_disagreement"] / 255
    return Validation(values, -20 * math.log10(error) if error else math.inf)


@torch.no_grad()
def preview(
    network: CorrectionNetwork, objective: CorrectionObjective, batch: TrainingSample
) -> Tensor:
    """Image strip of a batch's first sample: inputs, frames, then truth or rebuilt inputs.

    Without truth, the last image is the disagreement of the inputs at t, brightened.

    Returns:
        (3, H, N * W) on the CPU.
    """
    truth = None if batch.truth is None else batch.truth[:1]
    first = TrainingSample(batch.pair[:1], batch.scan_time[:1], batch.t[:1], truth)
    first = objective.student_batch(first)
    output = correct_batch(network, objective.with_cues(first), network.instants)
    frames = output.frames
    images = [first.pair[0], frames[0]]
    cycle = objective.rebuilding
    if first.truth is not None:
        images.append(first.truth[0])
    elif cycle is not None:
        images.append(cycle.rebuild(frames, first).whole[0])
        middle = find_disagreement(first.pair, output.flows[-1]).difference[0, 1:2]
        images.append((_BRIGHTENING * middle).clamp(0, 1).expand(-1, 3, -1, -1))
    return torch.cat(list(torch.cat(images)), dim=-1).float().cpu()


def _score(
    network: CorrectionNetwork,
    objective: CorrectionObjective,
    protocol: Protocol,
    settings: InferenceSettings,
    capture: CapturePair,
) -> dict[str, float]:
    if capture.truth is not None and capture.truth_times is not None:
        times, truth = capture.truth_times.tolist(), capture.truth
        if network.instants is not None:
            chosen = [index for index, t in enumerate(times) if t in network.instants]
            times, truth = [times[index] for index in chosen], truth[chosen]
        made = correct(network, capture.pair, times, scan_time=capture.scan_time, settings=settings)
        frames = made.frames
        return _score_frames(frames, truth, protocol)
    cycle = objective.rebuilding
    assert cycle is not None  # supervised validation without truth is refused at start-up
    return _score_cycle(network, cycle, capture)


def _score_frames(frames: Tensor, truth: Tensor, protocol: Protocol) -> dict[str, float]:
    """Mean PSNR in dB and SSIM of frames (T, 3, H, W) in [0, 1], on their device if it is CUDA."""
    of_device = partial(ssim, device=quicker_device(frames.device))
    scored: dict[str, Callable[..., float]] = {"psnr": psnr, "ssim": of_device}

    def measure(frame: Tensor, true: Tensor) -> list[float]:
        images = to_8bit(frame, protocol.rounding), to_uint8(true)
        return [score(*images, protocol.border) for score in scored.values()]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        columns = zip(*pool.map(measure, frames.cpu(), truth), strict=True)
        return {
            name: METRICS[name].mean(found) for name, found in zip(scored, columns, strict=True)
        }


def _score_cycle(
    network: CorrectionNetwork, cycle: CycleObjective, capture: CapturePair
) -> dict[str, float]:
    """Scores of a capture without truth."""
    device = next(network.parameters()).device
    sample = to_device(_whole(capture), device)
    with torch.random.fork_rng():
        torch.manual_seed(_HIDING_SEED)
        seen, hidden = cycle.hide(sample)
    output = correct_batch(network, seen)
    rebuilt = cycle.rebuild(output.frames, sample)
    errors = (torch.stack((rebuilt.whole, rebuilt.split), dim=1) - sample.pair[:, None]).square()
    if hidden is not None:
        errors = errors[hidden[:, None].expand_as(errors)]
    mean = float(errors.double().mean())
    disagreement = find_disagreement(sample.pair, output.flows[-1]).mean
    return {
        "cycle_psnr": -10 * math.log10(mean) if mean else math.inf,
        "disagreement": 255 * float(disagreement),
    }


def _whole(capture: CapturePair) -> TrainingSample:
    """A batch of one at t = 0.5, cropped right and bottom to a multiple of `SIZE_MULTIPLE`.

    Raises:
        InputError: the capture is smaller than `SIZE_MULTIPLE`.
    """
    if min(capture.height, capture.width) < SIZE_MULTIPLE:
        raise InputError(
            f"{capture.name}: {capture.height}x{capture.width} (rows x columns) is too small to "
            f"validate on; expected at least {SIZE_MULTIPLE} of either"
        )
    height = capture.height // SIZE_MULTIPLE * SIZE_MULTIPLE
    width = capture.width // SIZE_MULTIPLE * SIZE_MULTIPLE
    cut = crop(capture, top=0, left=0, height=height, width=width)
    return TrainingSample(cut.pair[None], cut.scan_time[None], torch.tensor([0.5]))


def _mean(name: str, values: list[float]) -> float:
    metric = METRICS.get(name.removeprefix("cycle_"))
    return sum(values) / len(values) if metric is None else metric.mean(values)
