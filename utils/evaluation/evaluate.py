"""Correct the captures of a benchmark and score every frame against its truth."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from data.capture import CapturePair
from data.files.folders import prepare_output_folder
from data.files.images import Image, to_uint8
from data.layouts import CaptureFolder
from models.inference.correction import BASELINES, Correction
from models.parts.settings import frame_instants
from utils.errors import InputError
from utils.evaluation.scores import BandScore, FrameScore, score_frame
from utils.metrics import PROTOCOLS, Rounding
from utils.options.evaluation import EvaluationOptions
from utils.pictures.frame_files import write_frames
from utils.system.distributed import Processes

DEFAULT_FRAMES = 9
"""Frames made of a capture without truth unless the options say how many."""

FRAME_FOLDERS: Mapping[Rounding, str] = {"rounded": "frames", "floored": "frames_floored"}


@dataclass(frozen=True)
class EvaluationPlan:
    """What to make of each capture.

    Attributes:
        times: instants of the frames, and of the true frames if there are any.
        protocols: keys of `PROTOCOLS` to score under; none where there is no truth.
        baselines: whether to score `BASELINES`, too.
        folder: where the frames of the method under test go, if anywhere.
    """

    times: tuple[float, ...]
    protocols: tuple[str, ...]
    baselines: bool
    folder: Path | None

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """The kinds of 8-bit images needed, each once."""
        needed: list[Rounding] = [PROTOCOLS[name].rounding for name in self.protocols]
        return tuple(dict.fromkeys(needed)) or ("rounded",)


def plan_evaluation(
    captures: CaptureFolder, options: EvaluationOptions, folder: Path
) -> EvaluationPlan:
    """Decide what to make of each capture: frames at the instants of its truth, if it has any.

    Args:
        captures: the benchmark; all its captures have as many true frames.
        options: protocols, number of frames, and whether to save them.
        folder: the folder of the test.

    Raises:
        InputError: the number of true frames is not the one asked for, a protocol leaves out all
            pairs, or there is nothing to do.
    """
    truth = captures.frame_count(0)
    if truth and options.frames not in (None, truth):
        raise InputError(
            f"{captures.names[0]}: {truth} true frames, but the options ask for "
            f"{options.frames}; set frames={truth} or frames=null"
        )
    if not truth and not options.save_images:
        raise InputError(
            f"{captures.names[0]}: no true frames to score against, and frames are not to be "
            "saved; set save_images=true"
        )
    protocols = options.protocols if truth else ()
    _check_protocols(captures, protocols)
    return EvaluationPlan(
        times=frame_instants(truth or options.frames or DEFAULT_FRAMES),
        protocols=protocols,
        baselines=options.baselines and truth > 0,
        folder=folder if options.save_images else None,
    )


def choose_methods(name: str, method: Correction, plan: EvaluationPlan) -> dict[str, Correction]:
    """What to evaluate by the name that tables show: `method` first, then the other baselines."""
    methods = {name: method}
    if plan.baselines:
        methods = methods | {name: way for name, way in BASELINES.items() if name not in methods}
    return methods


def evaluate(
    captures: CaptureFolder,
    methods: Mapping[str, Correction],
    plan: EvaluationPlan,
    processes: Processes,
) -> list[FrameScore]:
    """Make and score the frames of all captures, shared among the processes.

    Process r of N takes captures r, r + N, ...; what is scored are 8-bit images, and those of the
    first of the methods are saved.

    Returns:
        All scores, the same in every process, in the order of captures, methods and frames.

    Raises:
        InputError: an image cannot be read, is too small to score, or cannot be saved.
    """
    ends, tested = _ends_of_sequences(captures), next(iter(methods))
    share = range(processes.rank, len(captures), processes.world_size)
    scores: list[FrameScore] = []
    for index in tqdm(share, desc="captures", unit="pair", disable=not processes.is_main):
        capture = captures[index]
        for method, correct in methods.items():
            frames = correct(capture.pair, plan.times, scan_time=capture.scan_time).frames
            # Scored first: images that are too small for it leave no frames behind.
            scores += _score_method(capture, method, frames, plan)
            if method == tested and plan.folder is not None:
                _save(capture.name, frames, plan, plan.folder)
    counted = [
        score
        for share_of_one in processes.gather(scores)
        for score in share_of_one
        if not (PROTOCOLS[score.protocol].drops_ends and score.pair in ends)
    ]
    order = {name: index for index, name in enumerate(captures.names)}
    return sorted(counted, key=lambda score: order[score.pair])


def to_8bit(image: Tensor, rounding: Rounding) -> Image:
    """(3, H, W) in [0, 1] to (H, W, 3), rounded to the nearest level or down to the one below."""
    if rounding == "rounded":
        return to_uint8(image)
    return to_uint8(torch.floor(image.float() * 255) / 255)


def _save(name: str, frames: Tensor, plan: EvaluationPlan, folder: Path) -> None:
    """Save the frames of a capture, in each kind of 8-bit images."""
    for rounding in plan.roundings:
        images = [to_8bit(frame, rounding) for frame in frames]
        place = prepare_output_folder(folder / FRAME_FOLDERS[rounding] / name)
        write_frames(place, images, plan.times)


def _score_method(
    capture: CapturePair, method: str, frames: Tensor, plan: EvaluationPlan
) -> list[FrameScore]:
    """Score the frames one method made of a capture under each protocol."""
    scores: list[FrameScore] = []
    for name in plan.protocols:
        protocol = PROTOCOLS[name]
        images = [to_8bit(frame, protocol.rounding) for frame in frames]
        figures = _score_frames(images, capture, protocol.border)
        scores += [
            FrameScore(name, method, capture.name, number, instant, *figure)
            for number, (instant, figure) in enumerate(zip(plan.times, figures, strict=True))
        ]
    return scores


def _score_frames(
    images: Sequence[Image], capture: CapturePair, border: int
) -> list[tuple[dict[str, float], tuple[BandScore, ...]]]:
    """What `score_frame` says of each frame."""
    if capture.truth is None:
        raise ValueError(f"{capture.name}: no truth to score against")
    truth = [to_uint8(frame) for frame in capture.truth]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(score_frame, border=border), images, truth))


def _check_protocols(captures: CaptureFolder, protocols: Sequence[str]) -> None:
    """Make sure that every protocol has pairs to score."""
    ends = _ends_of_sequences(captures)
    for name in protocols:
        if PROTOCOLS[name].drops_ends and len(ends) == len(captures):
            raise InputError(
                f"protocol '{name}' leaves out the first and last pair of each sequence, and no "
                "sequence has more than these; choose another protocol"
            )


def _ends_of_sequences(captures: CaptureFolder) -> set[str]:
    """Names of the first and last pair of each sequence."""
    names: dict[str, list[str]] = {}
    for name in captures.names:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    return {end for sequence in names.values() for end in (sequence[0], sequence[-1])}
