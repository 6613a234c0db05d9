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
from data.files.images import Image, to_uint8
from data.layouts import CaptureFolder
from models.parts.settings import frame_instants
from utils.errors import InputError
from utils.evaluation.methods import Method, make_frames
from utils.evaluation.saving import save_frames
from utils.evaluation.scores import BandScore, FrameScore, score_frame
from utils.metrics import PROTOCOLS, Protocol, Rounding
from utils.options.evaluation import EvaluationOptions
from utils.options.frame_names import FrameLayoutName
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
        folder: where to save frames; None saves none.
        layout: names of saved frames.
        saved: methods whose frames to save, each in a folder of its own; None saves those of the
            first method, in no folder of its own.
    """

    times: tuple[float, ...]
    protocols: tuple[str, ...]
    baselines: bool
    folder: Path | None
    layout: FrameLayoutName = "ours"
    saved: tuple[str, ...] | None = None

    @property
    def roundings(self) -> tuple[Rounding, ...]:
        """How frames are converted to 8 bit, each way once."""
        needed: list[Rounding] = [PROTOCOLS[name].rounding for name in self.protocols]
        return tuple(dict.fromkeys(needed)) or ("rounded",)

    def frames_folder(self, method: str, rounding: Rounding, *, is_first: bool) -> Path | None:
        """Folder of the saved frames of a method; None if they are not saved."""
        if self.folder is None:
            return None
        folder = self.folder / FRAME_FOLDERS[rounding]
        if self.saved is None:
            return folder if is_first else None
        return folder / method if method in self.saved else None


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
    return EvaluationPlan(
        times=frame_instants(truth or options.frames or DEFAULT_FRAMES),
        protocols=protocols,
        baselines=options.baselines and truth > 0,
        folder=folder if options.save_images else None,
        layout=options.frame_layout,
    )


def evaluate(
    captures: CaptureFolder,
    methods: Mapping[str, Method],
    plan: EvaluationPlan,
    processes: Processes,
) -> list[FrameScore]:
    """Make or read the frames of all captures, score them, and save those that the plan names.

    Process r of N takes captures r, r + N, ...; scores are of the 8-bit images.

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
        for method, source in methods.items():
            frames = make_frames(source, capture, plan.times).frames
            # Scored before they are saved: images that are too small leave no frames behind.
            for name in plan.protocols:
                found = zip(plan.times, score_frames(frames, capture, PROTOCOLS[name]), strict=True)
                scores += [
                    FrameScore(name, method, capture.name, number, time, *values)
                    for number, (time, values) in enumerate(found)
                    if not (PROTOCOLS[name].drops_ends and capture.name in ends)
                ]
            for rounding in plan.roundings:
                folder = plan.frames_folder(method, rounding, is_first=method == tested)
                if folder is not None:
                    images = [to_8bit(frame, rounding) for frame in frames]
                    save_frames(folder, capture.name, images, plan.times, layout=plan.layout)
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


def _ends_of_sequences(captures: CaptureFolder) -> set[str]:
    """Names of the first and last pair of each sequence."""
    names: dict[str, list[str]] = {}
    for name in captures.names:
        names.setdefault(name.rpartition("/")[0], []).append(name)
    return {end for sequence in names.values() for end in (sequence[0], sequence[-1])}
