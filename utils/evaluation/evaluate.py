"""Correct the captures of a benchmark and score every frame against its truth."""

import os
from collections.abc import Mapping
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
from data.layouts import CaptureFolder, ends_of_sequences, frame_at
from models.inference.correction import BASELINES, Correction, correct_classically
from models.parts.settings import Blending, frame_instants, list_instants
from utils.errors import InputError
from utils.evaluation.scores import BandScore, FrameScore, score_frame
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
        truth_frames: indices of the true frames at `times`; None: all of them.
        blending: of the classical baseline.
    """

    times: tuple[float, ...]
    protocols: tuple[str, ...]
    baselines: bool
    folder: Path | None
    truth_frames: tuple[int, ...] | None = None
    blending: Blending = "choose"

    def load(self, captures: CaptureFolder, index: int) -> CapturePair:
        """Read a capture with its true frames at `times`."""
        if self.truth_frames is None:
            return captures[index]
        return captures.load(index, self.truth_frames)

    @property
    def remark(self) -> str:
        """Which instants are scored, if they are not all those with true frames."""
        if self.truth_frames is None:
            return ""
        listed = list_instants(self.times)
        return f"Scored at t = {listed} only, where the network makes frames and truth exists."

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """How frames are converted to 8 bit, each way once."""
        needed: list[Rounding] = [PROTOCOLS[name].rounding for name in self.protocols]
        return tuple(dict.fromkeys(needed)) or ("rounded",)


def plan_evaluation(
    captures: CaptureFolder,
    options: EvaluationOptions,
    folder: Path,
    instants: tuple[float, ...] | None = None,
) -> EvaluationPlan:
    """Plan frames at the instants of the truth or, without truth, at equally spaced instants.

    If the method under test makes certain instants only, all methods are scored at those of them
    that have true frames.

    Args:
        captures: the benchmark; all its captures have the same number of true frames.
        options: protocols, number of frames, and whether to save them.
        folder: the folder of the test.
        instants: the only instants of the method under test; None: any.

    Raises:
        InputError: the number of true frames, or of the method's instants, differs from the option;
            there is no true frame at these instants; a protocol leaves out all pairs; or frames
            would be neither scored nor saved.
    """
    truth = captures.frame_count(0)
    if instants is not None:
        _expect_count(instants, options)
    elif truth and options.frames not in (None, truth):
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
    if dropping and len(ends_of_sequences(captures)) == len(captures):
        raise InputError(
            f"protocol '{dropping[0]}' leaves out the first and last pair of each sequence, and no "
            "sequence has more than these; choose another protocol"
        )
    times = frame_instants(truth or options.frames or DEFAULT_FRAMES)
    truth_frames = None
    if instants is not None and instants != times:
        times, truth_frames = _with_truth(captures, instants) if truth else (instants, None)
    return EvaluationPlan(
        times=times,
        protocols=protocols,
        baselines=options.baselines and truth > 0,
        folder=folder if options.save_images else None,
        truth_frames=truth_frames,
        blending=options.blending,
    )


def _expect_count(instants: tuple[float, ...], options: EvaluationOptions) -> None:
    """Check that as many frames are asked for as the network makes."""
    if options.frames not in (None, len(instants)):
        raise InputError(
            f"{options.path.pretrained_netG}: its network makes {len(instants)} "
            f"frame{'s'[: len(instants) > 1]}, at t = {list_instants(instants)}, but the options "
            f"ask for {options.frames}; set frames=null or use other weights"
        )


def _with_truth(
    captures: CaptureFolder, instants: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The instants that have true frames, and the indices of these frames."""
    truth = captures.frame_count(0)
    found = {t: frame_at(t, truth) for t in instants}
    numbers = {t: number for t, number in found.items() if number is not None}
    if not numbers:
        raise InputError(
            f"{captures.names[0]}: {truth} true frames, none of them at t = "
            f"{list_instants(instants)}, which is all that the network makes; use other weights"
        )
    return tuple(numbers), tuple(numbers.values())


def choose_methods(name: str, method: Correction, plan: EvaluationPlan) -> dict[str, Correction]:
    """The methods to evaluate by name: `method` first, then the baselines of the plan."""
    baselines = dict(BASELINES) if plan.baselines else {}
    if plan.baselines and plan.blending != "choose":
        baselines["classical"] = partial(correct_classically, blending=plan.blending)
    return {name: method} | {other: baselines[other] for other in baselines if other != name}


def evaluate(
    captures: CaptureFolder,
    methods: Mapping[str, Correction],
    plan: EvaluationPlan,
    processes: Processes,
) -> list[FrameScore]:
    """Make and score the frames of all captures; save those of the first method.

    Process r of N takes captures r, r + N, ...; scores are of the 8-bit images.

    Returns:
        All scores, the same in every process, in the order of captures, methods and frames.

    Raises:
        InputError: an image cannot be read, is too small to score, or cannot be saved.
    """
    ends, tested = ends_of_sequences(captures), next(iter(methods))
    share = range(processes.rank, len(captures), processes.world_size)
    numbers = plan.truth_frames or range(len(plan.times))
    scores: list[FrameScore] = []
    for index in tqdm(share, desc="captures", unit="pair", disable=not processes.is_main):
        capture = plan.load(captures, index)
        for method, correct in methods.items():
            frames = correct(capture.pair, plan.times, scan_time=capture.scan_time).frames
            # Scored before they are saved: images that are too small leave no frames behind.
            for name in plan.protocols:
                found = zip(plan.times, score_frames(frames, capture, PROTOCOLS[name]), strict=True)
                scores += [
                    FrameScore(name, method, capture.name, number, time, *values)
                    for number, (time, values) in zip(numbers, found, strict=True)
                    if not (PROTOCOLS[name].drops_ends and capture.name in ends)
                ]
            if method == tested and plan.folder is not None:
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
    if capture.truth is None:
        raise ValueError(f"{capture.name}: no truth to score against")
    images = [to_8bit(frame, protocol.rounding) for frame in frames]
    truth = [to_uint8(frame) for frame in capture.truth]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(score_frame, border=protocol.border), images, truth))


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
