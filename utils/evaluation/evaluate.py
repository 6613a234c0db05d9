"""Correct the captures of a benchmark and score every frame against its truth."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from data.capture import CapturePair
from data.files.images import Image, to_uint8
from data.layouts import CaptureFolder, ends_of_sequences
from utils.evaluation.methods import Method, make_frames
from utils.evaluation.plan import EvaluationPlan
from utils.evaluation.saving import save_frames
from utils.evaluation.scores import BandScore, FrameScore, score_frame
from utils.metrics import PROTOCOLS, Protocol, Rounding
from utils.system.distributed import Processes


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
    ends, tested = ends_of_sequences(captures), next(iter(methods))
    share = range(processes.rank, len(captures), processes.world_size)
    numbers = plan.truth_frames or range(len(plan.times))
    scores: list[FrameScore] = []
    for index in tqdm(share, desc="captures", unit="pair", disable=not processes.is_main):
        capture = plan.load(captures, index)
        for method, source in methods.items():
            frames = make_frames(source, capture, plan.times).frames
            # Scored before they are saved: images that are too small leave no frames behind.
            for name in plan.protocols:
                found = zip(plan.times, score_frames(frames, capture, PROTOCOLS[name]), strict=True)
                scores += [
                    FrameScore(name, method, capture.name, number, time, *values)
                    for number, (time, values) in zip(numbers, found, strict=True)
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
