"""Correct the captures of a benchmark and score every frame against its truth."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from data.capture import CapturePair
from data.dataset_writer.folder import read_unconnected
from data.files.folders import prepare_output_folder
from data.files.images import Image, to_uint8
from data.layouts import CaptureFolder
from models.inference.correction import BASELINES, Correction
from models.parts.settings import frame_instants
from utils.errors import InputError
from utils.evaluation.scores import BandScore, FrameScore, score_frame
from utils.evaluation.smoothness import StepErrors, find_followers
from utils.metrics import PROTOCOLS, Protocol, Rounding
from utils.options.evaluation import EvaluationOptions
from utils.pictures.frame_files import write_frames
from utils.system.distributed import Processes

DEFAULT_FRAMES = 9
"""Number of frames of a capture without truth where the options name none."""

FRAME_FOLDERS: Mapping[Rounding, str] = {"rounded": "frames", "floored": "frames_floored"}


@dataclass(frozen=True)
class EvaluationPlan:
    """Which frames to make of each capture, and how to score them.

    Attributes:
        times: instants of the frames, and of the true frames if there are any.
        protocols: keys of `PROTOCOLS` to score under; empty without truth.
        baselines: whether to score `BASELINES`, too.
        folder: where to save the frames of the method under test; None saves none.
        followers: of each pair the one that follows it without a gap.
    """

    times: tuple[float, ...]
    protocols: tuple[str, ...]
    baselines: bool
    folder: Path | None
    followers: Mapping[str, str] = field(default_factory=dict)

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """How frames are converted to 8 bit, each way once."""
        needed: list[Rounding] = [PROTOCOLS[name].rounding for name in self.protocols]
        return tuple(dict.fromkeys(needed)) or ("rounded",)


def plan_evaluation(
    captures: CaptureFolder, options: EvaluationOptions, folder: Path
) -> EvaluationPlan:
    """Plan frames at the instants of the truth or, without truth, at equally spaced instants.

    Args:
        captures: the benchmark; all its captures have the same number of true frames.
        options: protocols, number of frames, and whether to save them.
        folder: the folder of the test.

    Raises:
        InputError: the number of true frames differs from the option, a protocol leaves out all
            pairs, or frames would be neither scored nor saved.
    """
    truth = captures.frame_count(0)
    if truth and options.frames not in (None, truth):
        raise InputError(
            f"{captures.names[0]}: {truth} true frames, but the options ask for "
            f"{options.frames}; set frames={truth} or frames=null"
        )
    if not truth and not options.save_images:
        raise InputError(
            f"{captures.names[0]}: no true frames to score against, and save_images is false; "
            "set save_images=true"
        )
    protocols = options.protocols if truth else ()
    dropping = [name for name in protocols if PROTOCOLS[name].drops_ends]
    if dropping and len(_ends_of_sequences(captures)) == len(captures):
        raise InputError(
            f"protocol '{dropping[0]}' leaves out the first and last pair of each sequence, and no "
            "sequence has more than these; choose another protocol"
        )
    data = options.datasets.test
    unconnected = read_unconnected(data.data_root, data.split)
    return EvaluationPlan(
        times=frame_instants(truth or options.frames or DEFAULT_FRAMES),
        protocols=protocols,
        baselines=options.baselines and truth > 0,
        folder=folder if options.save_images else None,
        followers=find_followers(captures.names, unconnected),
    )


def choose_methods(name: str, method: Correction, plan: EvaluationPlan) -> dict[str, Correction]:
    """The methods to evaluate by name: `method` first, then the baselines of the plan."""
    baselines = BASELINES if plan.baselines else {}
    return {name: method} | {other: baselines[other] for other in baselines if other != name}


def evaluate(
    captures: CaptureFolder,
    methods: Mapping[str, Correction],
    plan: EvaluationPlan,
    processes: Processes,
) -> list[FrameScore]:
    """Make and score the frames of all captures; save those of the first method.

    Each process takes neighbouring captures, and makes the frames of the one before them to compare
    with; scores are of the 8-bit images.

    Returns:
        All scores, the same in every process, in the order of captures, methods and frames.

    Raises:
        InputError: an image cannot be read, is too small to score, or cannot be saved.
    """
    ends, tested = _ends_of_sequences(captures), next(iter(methods))
    share = _share_of(len(captures), processes)
    precedes = (
        bool(plan.protocols)
        and share.start > 0
        and captures.names[share.start - 1] in plan.followers
    )
    everyone = range(share.start - precedes, share.stop) if share else share
    scores: list[FrameScore] = []
    steps = StepErrors(plan.followers)
    for index in tqdm(everyone, desc="captures", unit="pair", disable=not processes.is_main):
        capture = captures[index]
        for method, correct in methods.items():
            frames = correct(capture.pair, plan.times, scan_time=capture.scan_time).frames
            # Scored before they are saved: images that are too small leave no frames behind.
            for name in plan.protocols:
                mine = index in share
                found = score_frames(frames, capture, PROTOCOLS[name]) if mine else []
                changes = _add_steps(steps, (name, method), capture, frames)
                times = plan.times
                scores += [
                    FrameScore(name, method, capture.name, n, times[n], *values, change=changes[n])
                    for n, values in enumerate(found)
                    if not (PROTOCOLS[name].drops_ends and capture.name in ends)
                ]
            if method == tested and plan.folder is not None and index in share:
                _save(capture.name, frames, plan, plan.folder)
    everything = [score for part in processes.gather(scores) for score in part]
    order = {name: index for index, name in enumerate(captures.names)}
    return sorted(everything, key=lambda score: order[score.pair])


def score_frames(
    frames: Tensor, capture: CapturePair, protocol: Protocol
) -> list[tuple[dict[str, float], tuple[BandScore, ...]]]:
    """Score frames (T, 3, H, W) in [0, 1] with `score_frame`, as 8-bit images.

    Raises:
        InputError: the images are too small.
        ValueError: the capture has no truth.
    """
    images, truth = _images(frames, capture, protocol)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(score_frame, border=protocol.border), images, truth))


def _images(
    frames: Tensor, capture: CapturePair, protocol: Protocol
) -> tuple[list[Image], list[Image]]:
    """Frames and their truth as 8-bit images.

    Raises:
        ValueError: the capture has no truth.
    """
    if capture.truth is None:
        raise ValueError(f"{capture.name}: no truth to score against")
    images = [to_8bit(frame, protocol.rounding) for frame in frames]
    return images, [to_uint8(frame) for frame in capture.truth]


def _share_of(count: int, processes: Processes) -> range:
    """The captures of this process, as many as those of others or one more."""
    least, more = divmod(count, processes.world_size)
    start = least * processes.rank + min(processes.rank, more)
    return range(start, start + least + (processes.rank < more))


def _add_steps(
    steps: StepErrors, source: tuple[str, str], capture: CapturePair, frames: Tensor
) -> list[float | None]:
    """`StepErrors.add` of frames (T, 3, H, W) under the protocol in `source`."""
    protocol = PROTOCOLS[source[0]]
    images, truth = _images(frames, capture, protocol)
    return steps.add(source, capture.name, images, truth, border=protocol.border)


def to_8bit(image: Tensor, rounding: Rounding) -> Image:
    """Convert (3, H, W) in [0, 1] to (H, W, 3) uint8, rounded to nearest or down."""
    if rounding == "rounded":
        return to_uint8(image)
    return to_uint8(torch.floor(image.float() * 255) / 255)


def _save(name: str, frames: Tensor, plan: EvaluationPlan, folder: Path) -> None:
    """Save the frames of a capture once for each rounding."""
    for rounding in plan.roundings:
        images = [to_8bit(frame, rounding) for frame in frames]
        target = prepare_output_folder(folder / FRAME_FOLDERS[rounding] / name)
        write_frames(target, images, plan.times)


def _ends_of_sequences(captures: CaptureFolder) -> set[str]:
    """Names of the first and last pair of each sequence."""
    names: dict[str, list[str]] = {}
    for name in captures.names:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    return {end for sequence in names.values() for end in (sequence[0], sequence[-1])}
